// One PostgreSQL connection of a pool, on one worker at a time: at work for a client, being cleaned, checked,
// at rest, or closing. Keeps the conversation's book (tracker, cursor, reported parameters); what
// comes while a client has it is that client's.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "daemon/event/server_socket.h"
#include "daemon/link.h"
#include "daemon/server_dialer.h"
#include "daemon/server_holders.h"
#include "daemon/switchboard.h"
#include "lib/session/greeting_book.h"
#include "lib/session/parameter_map.h"
#include "lib/session/server_cleanup.h"
#include "lib/session/server_prelude.h"
#include "lib/session/session_settings.h"
#include "lib/session/session_trace.h"
#include "lib/session/statement_relay.h"
#include "lib/session/transaction_tracker.h"
#include "lib/stats/snapshot.h"
#include "lib/wire/frame_cursor.h"

namespace tidepool::daemon {

class Worker;
class ClientSession;
struct PoolHere;

class ServerConnection final : public event::ServerSocketEvents {
 public:
  enum class State : uint8_t { Resting, Lent, Cleaning, Checking, Closing };

  // `number`: of no other server of this process; the console shows it.
  // `flavour`: the settings that it was dialed with.
  ServerConnection(std::unique_ptr<OpenServer> open, session::FlavourPtr flavour, pool::ConnectionId id,
                   uint64_t number, ServerHolders& holders);
  ~ServerConnection() override;
  ServerConnection(const ServerConnection&) = delete;
  ServerConnection& operator=(const ServerConnection&) = delete;

  // It lives on this worker from now on (resting), or does not any more.
  void arrive(Worker& worker, PoolHere& pool);
  void depart();

  // Resting -> Lent: what comes goes to `client`, until leave_client().
  void lend_to(LinkEnd<ClientSession, ServerConnection>& client);
  // Lent -> Cleaning -> given back, or closed. The client is forgotten at once. A session that showed no
  // trace may be given back unclean: what its client left is discarded by what goes in front of the next
  // one's first message, or a few milliseconds later, whichever comes first.
  // Lent -> Cleaning as in session mode, by the pool's `reset`; or, in transaction mode, to a rollback only
  // if all that the client did is known, and to DISCARD ALL if it is not. What no statement undoes ends it.
  enum class Left : uint8_t { Session, Known, Unknown, Lasting };
  void leave_client(session::ServerCleanup::Leave leave, bool half_sent, Left left = Left::Session);
  // Lent -> Cleaning: an error in what went in front of its client's request has kept that from running.
  // `needs_sync`: nothing that was sent ends what the server skips. `rest`: what came behind the error.
  void leave_refused(bool needs_sync, std::string rest);
  // Lent -> given back, between two transactions. What `applied` and the relay's statements say is all that
  // is left of the client.
  void release();
  // It is lost because its process has closed the connection: what it has not answered by then has not run.
  bool hung_up_itself() const { return hung_up_itself_; }
  // It has reported whether it is a standby: clients that come from now on are to be told, whatever its own
  // one does there.
  void learn_whether_standby();
  bool is_unclean() const { return unclean_since_.has_value(); }
  // What goes in front of the client's message is done: a DISCARD ALL, the undoing of what is in doubt.
  void cleaned_in_front() {
    if (is_unclean()) may_have_temporary_ = false;
    unclean_since_.reset();
    if (std::exchange(is_undone_, false)) doubted_of_ = 0;
  }
  // A client in transaction mode, by its number, may have set here what nobody can list: custom settings.
  // Until that is undone, nobody else may have the server.
  void doubt(uint64_t session) { doubted_of_ = session; }
  bool is_in_doubt() const { return doubted_of_ != 0; }
  bool is_in_doubt_for(uint64_t session) const { return is_in_doubt() && doubted_of_ != session; }
  // It is about to be undone in front of the client's message: nothing that was set here holds any more.
  void begin_undoing() {
    is_undone_ = true;
    applied.clear();
  }
  // Clients in transaction mode have left settings, prepared statements or a temporary schema here, which one
  // in session mode must not meet. False: a DISCARD ALL cannot go in front of its message on this server.
  bool is_shared() const {
    return is_in_doubt() || !applied.entries().empty() || !relay.statements().is_empty() ||
           may_have_temporary_;
  }
  bool discard_in_front();
  // DISCARD ALL is about to run, or has run.
  void discarded() {
    relay.discarded();
    applied.clear();
    doubted_of_ = 0;
  }
  // What it reports, or will as soon as it is clean.
  const session::ParameterMap& parameters_when_clean() const {
    return is_unclean() || is_in_doubt() || !applied.entries().empty() ? parameters_when_clean_ : parameters;
  }
  // What has to be done before a client in session mode may have it.
  session::ServerPrelude::First first_of_prelude() const {
    using First = session::ServerPrelude::First;
    return !is_unclean() ? First::Nothing : may_have_temporary_ ? First::ResetAndAsk : First::Reset;
  }
  // The same as it was when the client got it, whatever the client has set meanwhile.
  const session::ParameterMap& parameters_of_its_own() const { return parameters_when_clean_; }
  // A client of this greeting and application_name was found to have nothing to be told and nothing to be set
  // here. As long as suits() says so, that holds for others like it.
  void note_suits(session::GreetingPtr greeting, const std::string& application_name,
                  const session::CarriedSettings& carried) {
    suited_ = {std::move(greeting),
               application_name,
               carried,
               parameters.version(),
               parameters_when_clean_.version(),
               applied.version(),
               is_unclean()};
  }
  bool suits(const session::GreetingPtr& greeting, const std::string& application_name,
             const session::CarriedSettings& carried) const {
    return suited_.greeting == greeting && suited_.version == parameters.version() &&
           suited_.version_when_clean == parameters_when_clean_.version() &&
           suited_.version_applied == applied.version() && suited_.carried == carried &&
           suited_.was_unclean == is_unclean() && suited_.application_name == application_name;
  }
  // It is unclean and reports what its last client had set.
  bool shows_other_settings() const {
    return is_unclean() && parameters.version() != parameters_when_clean_.version();
  }
  // By the worker, every few milliseconds while there are such. False: not unclean, or not at rest.
  bool clean_if_due(base::TimePoint now);
  // Its client wants another application_name than it reports: it is about to be set. Too many such clients
  // in a row, and the server is replaced by one that was dialed with their name.
  void note_renaming(std::string_view application_name);
  void note_own_name() { renamings_ = 0; }
  // Lent, but nothing was sent: straight back.
  void give_back_unused();
  // Resting -> (Cleaning ->) Checking -> resting, or closed.
  void check();
  // Says Terminate, waits for PostgreSQL to hang up. `decided`: the ledger said so itself; otherwise it is
  // told. A client that still has it is told last (ClientSession::on_server_lost).
  void close(pool::CloseReason reason, std::string_view why, bool decided = false);

  // What it did wrong, before it is closed for that: soon after its login that counts as one that failed.
  void blame(base::Error fault) { fault_ = std::move(fault); }
  // A client's request was answered, and not by an error alone.
  void note_answer() {
    if (!has_answered_) note_first_answer();
  }

  // What it sent cannot be followed any more: it is gone at once, and a client that has it is told.
  void break_off(const std::string& what);
  static constexpr const char* kImpossibleLength = "a message of impossible length";

  // Bytes for the server, walked by the relay already. False: refused at once, nothing was sent.
  bool send(base::Bytes bytes) { return socket_.write(bytes); }
  bool is_congested() const { return socket_.is_congested(); }
  void pause_reading() { socket_.pause_reading(); }
  void resume_reading() { socket_.resume_reading(); }

  // A cancel request is on its way: the server is not given back before it is done.
  void hold_for_cancel() { ++cancels_; }
  void cancel_done();
  bool is_held() const { return cancels_ > 0; }
  uint32_t cancels_in_flight() const { return cancels_; }
  // At rest, and as far as the kernel knows alive. Over TCP that is asked: a write to a server that has hung
  // up would succeed there, where a Unix socket refuses it.
  bool may_be_lent() const;

  // By the worker, every 100 ms while anything here keeps time. False: no time is kept.
  bool tick(base::TimePoint now);

  State state() const { return state_; }
  // Cleaning, and for the pool still lent.
  bool is_on_its_way_back() const { return state_ == State::Cleaning && then_ == Then::GiveBack; }
  pool::ConnectionId id() const { return id_; }
  uint64_t number() const { return number_; }
  const OpenServer& open() const { return *open_; }
  const session::StartupFlavour& flavour() const { return *flavour_; }
  // The application_name that it was logged in with.
  const std::string& own_name() const { return own_name_; }
  ClientSession* client() const { return client_.get(); }
  PoolHere* pool() const { return pool_; }
  stats::ServerRow row() const;

  // The conversation, for the relay.
  session::TransactionTracker tracker;
  session::StatementRelay relay;  // in transaction mode
  // What clients in transaction mode have set here and not taken back, by names in lower case.
  session::ParameterMap applied;
  session::SessionTrace trace;  // of the client that has it
  wire::FrameCursor from_server;
  session::ParameterMap parameters;
  std::string tail;  // what was read but not consumed: an unfinished header or ParameterStatus
  // Whether it reports a change of its application_name, as PostgreSQL does: seen; to be seen when it is set
  // the next time; or not so, it seems.
  enum class NameReports : uint8_t { Expected, Missing, Seen } name_reports = NameReports::Expected;
  // It has reported more than can be followed: it is closed rather than lent again.
  bool parameters_unknown = false;

 private:
  // What becomes of it once it is clean.
  enum class Then : uint8_t { GiveBack, Rest, Check };
  void on_server_bytes(base::Bytes bytes) override;
  void on_server_end(int error) override;
  void on_server_drained() override;

  template <class Handle>
  void each_message(base::Bytes bytes, Handle&& handle);
  void on_resting(const wire::Message& message);
  void on_cleaning(const wire::Message& message);
  void on_checking(const wire::Message& message);
  void clean(Then then);
  void cleaned();
  void carry_out(session::ServerCleanup::Step step, const std::string& out,
                 pool::CloseReason if_closed = pool::CloseReason::Bad);
  void rest(bool used);
  void learn();
  bool is_as_asked_for();
  void on_reported_at_rest(base::Bytes body);
  void note_first_answer();
  void lose(pool::CloseReason reason);
  bool something_runs() const;
  void hung_up(const std::string& why);
  void gone();
  void set_state(State state);

  std::unique_ptr<OpenServer> open_;
  session::FlavourPtr flavour_;
  const std::unique_ptr<ServerHolders::Entry> holder_;
  event::ServerSocket socket_;
  Worker* worker_ = nullptr;
  PoolHere* pool_ = nullptr;
  LinkEnd<ServerConnection, ClientSession> client_{*this};  // Lent
  std::optional<session::ServerCleanup> cleanup_;
  std::optional<base::TimePoint> deadline_;
  std::optional<base::TimePoint> unclean_since_;
  struct Suited {
    session::GreetingPtr greeting;
    std::string application_name;
    session::CarriedSettings carried;
    uint64_t version = 0, version_when_clean = 0, version_applied = 0;
    bool was_unclean = false;
  } suited_;
  bool hung_up_itself_ = false;
  uint64_t learnt_version_ = 0;                  // of parameters, which the pool has heard of
  session::ParameterMap parameters_when_clean_;  // kept while it is unclean or in doubt
  uint64_t doubted_of_ = 0;                      // a client's number; 0: nobody's
  bool is_undone_ = false;                       // it is about to be
  // A client has made temporary objects here, or may have, since PostgreSQL was asked.
  bool may_have_temporary_ = false;
  // The application_name that its last clients wanted in place of its own, and how many of them in a row.
  std::string new_name_;
  const std::string own_name_;
  const bool is_local_;  // over a Unix socket
  size_t said_at_rest_ = 0;
  uint32_t renamings_ = 0;
  int64_t connected_at_us_;
  pool::ConnectionId id_;
  uint64_t number_;
  uint32_t cancels_ = 0;
  State state_ = State::Resting;
  Then then_ = Then::GiveBack;
  bool keeps_role_;            // DISCARD ALL does, there
  bool reset_may_wait_;        // this server lets it
  bool has_answered_ = false;  // a client
  bool check_failed_ = false;
  std::optional<base::Error> fault_;
  bool clean_but_held_ = false;
};

}  // namespace tidepool::daemon
