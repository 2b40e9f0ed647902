// One client, from its accept to its end, on one worker.
//
//   LoggingIn -> (AskingServer) -> Idle -> Waiting -> Linked -> gone
//                                   ^________|  refused: an error, the session stays
//   Console: the administration console.   Cancelling: a cancel request, held until it had its effect.
//   Ending: last words are being sent.
//
// A server is taken at the first request. In session mode it is kept until the client leaves; in transaction
// mode (client_pooling.cc) it is given back when the client's transaction is over, Linked -> Idle, unless it
// has to be pinned.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "daemon/event/client_socket.h"
#include "daemon/link.h"
#include "daemon/listener.h"
#include "daemon/login_rules.h"
#include "daemon/switchboard.h"
#include "lib/admin/console.h"
#include "lib/session/client_login.h"
#include "lib/session/greeting_book.h"
#include "lib/session/request_refusal.h"
#include "lib/session/server_cleanup.h"
#include "lib/session/server_prelude.h"
#include "lib/session/session_settings.h"
#include "lib/session/statement_relay.h"
#include "lib/stats/snapshot.h"
#include "lib/wire/frame_cursor.h"
#include "lib/wire/held_messages.h"

namespace tidepool::daemon {

class ServerConnection;
class Worker;
struct PoolHere;

class ClientSession final : public event::ClientSocketEvents {
 public:
  enum class State : uint8_t {
    LoggingIn,
    AskingServer,
    Idle,
    Waiting,
    Linked,
    Refusing,
    Console,
    Cancelling,
    Ending
  };

  ClientSession(Worker& worker, SessionId id, const ListenerHere& from, int fd);
  ~ClientSession() override;
  ClientSession(const ClientSession&) = delete;
  ClientSession& operator=(const ClientSession&) = delete;

  // Starts reading. An errno, or 0.
  int open() { return socket_.open(); }
  // It takes one of the places of those who log in. False: there are too many now.
  bool begin_login();
  // Such a place is wanted for another. False: it does not log in any more.
  bool makes_way(const base::Error& error);

  // From the pool: the answer to this session's ticket.
  void on_server_granted(ServerConnection& server);
  void on_refused(const pool::Refuse& refuse);
  void on_notice(base::Duration waited);
  // It may keep a server. False: it does not wait for that any more.
  bool on_place();
  void on_granted_server_dead();

  // From its server.
  void on_server_bytes(base::Bytes bytes);
  void on_server_drained();
  void on_server_lost(ServerConnection& server);

  // A cancel request with this session's process id. True: the secret is right. `done` is called now or
  // later, in any case then.
  bool cancel(std::string_view secret, std::function<void()> done);
  // What its login waited for.
  void on_peer_named(const std::string& name);
  void on_password_checked(bool is_right);
  // This session is the cancel request, and it has had its effect.
  void on_cancel_finished(bool matched);

  void on_snapshot(const stats::Snapshot& snapshot);
  void on_effect_done(const base::Status& status);

  // FATAL and goodbye.
  void end(const base::Error& error);
  // Goodbye without a word that has not left yet.
  void give_up();
  // It holds a server, waits for one, or carries a cancel request: a daemon that drains lets it finish.
  bool is_at_work() const {
    return state_ == State::Waiting || state_ == State::Linked || state_ == State::Cancelling;
  }
  // By the worker, every 100 ms while need_tick() was called. False: no time is kept here.
  bool tick(base::TimePoint now);

  SessionId id() const { return id_; }
  // As the client knows itself (BackendKeyData).
  uint32_t process_id() const { return process_id_; }
  State state() const { return state_; }
  pool::Ticket ticket() const { return ticket_; }
  PoolHere* pool() const { return pool_; }
  const session::StartupSettings& settings() const { return settings_; }
  stats::ClientRow row(base::TimePoint now) const;

 private:
  void on_client_bytes(base::Bytes bytes) override;
  void on_client_end(int error) override;
  void on_client_drained() override;

  // Login (client_session.cc).
  void end_login();
  session::ClientLogin& login();
  void log_in(base::Bytes bytes);
  void take_login_step(session::LoginStep step, base::Bytes rest);
  void on_accepted(session::Accepted accepted);
  void ask_for_cancel(const session::CancelAsked& asked);
  void greet_or_ask_server();
  void greet();
  void refuse_login(const base::Error& error);
  void rejected(const session::Rejected& rejected);

  // Requests (client_relay.cc).
  void on_request(base::Bytes bytes);
  // False: they cannot be followed, and it is over.
  bool keep(base::Bytes bytes);
  bool places_are_taken() const;
  bool waits_for_place(const wire::Message& first, base::Bytes bytes);
  void forget_place();
  void refuse_place(base::TimePoint now);
  std::optional<session::ServerPrelude> link(ServerConnection& server, const std::string& application_name);
  void relay_from_client(base::Bytes bytes);
  bool see_server_message(const wire::Message& message, std::string& ours);
  void see_notification(const wire::Message& message, std::string& ours);
  void see_long_message(const wire::Message& message);
  bool see_parameter_status(const wire::Message& message);
  bool may_reset_name(const wire::Message& message);
  void ask_pool_again();
  enum class Stop : uint8_t { No, Terminated, Violation, Waits };
  struct Passed {
    size_t consumed;
    Stop stop;
    bool broken;
  };
  static Stop stop_at(const wire::Message& message);
  Passed pass_on(base::Bytes bytes, std::string& out, bool& is_changed);
  void refuse_request(const base::Error& error);
  void skip_request(base::Bytes bytes);
  void protocol_violation();
  void server_failed(const base::Error& error);
  session::ParameterMap& told();
  const std::string& wanted_application_name();
  std::string made_application_name() const;
  std::string name_on_server(std::string name) const;
  std::string_view server_encoding() const;
  bool terminate_is_kept() const;

  // What travels in front of them (client_prelude.cc).
  void send_with_prelude(session::ServerPrelude prelude);
  bool see_prelude_reply(const wire::Message& message, std::string& ours);
  void prelude_went_wrong(base::Bytes rest);
  void refuse_for_settings(const base::Error& error, base::Bytes rest);
  void leave_out_what_is_reset(base::Bytes request);
  void see_request_end();
  bool prelude_timed_out();
  bool prelude_runs() const { return extras_ && extras_->prelude_runs; }
  void try_another_server();
  void see_command_tag(base::Bytes body);
  void check_name_at_ready();
  bool name_may_be_lost(bool was_reset);
  void tell_name_at_ready(std::string& out);
  void tell_name(const std::string& name, std::string& out);
  void ask_for_name();
  void tell_ready(std::string& out);
  bool may_rename() const;
  session::ServerPrelude renaming_prelude();

  // Transaction mode (client_pooling.cc).
  struct Pooled;
  void become_pooled();
  void greeted_pooled();
  void tell_differences(const session::ParameterMap& parameters);
  std::optional<session::ServerPrelude> link_pooled(ServerConnection& server,
                                                    const std::string& application_name);
  session::SettingChanges changes_on(ServerConnection& server, const std::string& application_name);
  session::StatementRelay::Client relay_client();
  Passed pass_on_pooled(base::Bytes bytes, std::string& out, bool& is_changed);
  void note_parameter(std::string_view name, std::string_view value);
  void tell_parameters_at_ready(std::string& out);
  void after_server_spoke();
  bool keep_server();
  void ask_for_state();
  bool question_runs() const;
  bool see_question_reply(const wire::Message& message);
  void question_answered(bool is_answered);
  void see_statements(const session::SessionState& state);
  void note_reported(std::string_view name);
  void update_pin();
  void end_pin();
  void release_server();
  bool pooled_waits() const;

  void console_step(admin::ConsoleStep step, std::string& out);

  // Leaving.
  void leave(session::ServerCleanup::Leave how);
  void end_with(base::Bytes last_words);
  void let_server_go(session::ServerCleanup::Leave how);
  void retire();
  bool keeps_time() const;
  bool tick_linked(base::TimePoint now);
  bool tick_idle(base::TimePoint now);
  // Bytes that were kept go the way of fresh ones. Not while the worker's read buffer is in use.
  void replay(std::string kept);
  std::string shown() const;   // for logs
  std::string origin() const;  // for logs, of who has not logged in
  std::string place_of_origin() const;
  std::string peer_address() const;
  void set_state(State state);

  struct LoginState;
  // Of clients whose server had to be set to something, or told them of something.
  struct Extras {
    session::ServerPrelude prelude;
    std::optional<session::ParameterMap> told = {};  // what the client knows, if not what its greeting said
    // Its application_name went back to the one that its server was dialed with: its own is to be set again.
    // IfReset: unless it has SET that name.
    enum class Rename : uint8_t { No, IfReset, Now } rename = Rename::No;
    enum class Tag : uint8_t { Other, Set, Reset } tag = Tag::Other;  // the last of this request
    Tag last_tag = Tag::Other;                                        // and of the one that is answered
    bool saw_default = false;  // in its text, of SET x TO DEFAULT perhaps
    bool checks_name = false;  // the next ReadyForQuery says whether its name is lost
    bool was_reset = false;    // something, says a tag of this request
    bool name_is_lost = false;
    // ReadyForQuery waits for the server's answer: did a function take the name back, or give it?
    bool name_is_unclear = false, holds_ready = false;
    bool prelude_runs = false;
    base::TimePoint prelude_since{};
    bool prelude_failed = false;
    bool cancelled = false;  // while the prelude ran

    void forget_all_but_told() {
      rename = Rename::No;
      tag = last_tag = Tag::Other;
      prelude_runs = prelude_failed = cancelled = saw_default = checks_name = was_reset = name_is_lost =
          name_is_unclear = holds_ready = false;
    }
  };
  Extras& extras() {
    if (!extras_) extras_ = std::make_unique<Extras>();
    return *extras_;
  }

  Worker& worker_;
  const SessionId id_;
  const uint32_t process_id_;
  event::ClientSocket socket_;
  State state_ = State::LoggingIn;
  bool retired_ = false;
  bool counted_ = false;        // in max_clients
  bool is_logging_in_ = false;  // ... in max_logins
  bool gone_ =
      false;  // said Terminate and closed while its request waited: the request is finished all the same
  bool vanished_ = false;      // hung up while what goes in front of its request was unanswered
  bool request_runs_ = false;  // since requested_at_
  bool cancel_sent_ = false;   // by the query time limit
  bool watch_name_ = false;    // RESET would lead to its server's application_name, not to the client's own
  bool batch_may_reset_ = false, holds_ = false;  // what follows waits until the name is back
  bool may_move_ = false;        // nothing of the client's can have run yet: another server will do
  bool error_was_last_ = false;  // the server's last message: if it closes now, that was its FATAL
  wire::FrameCursor from_client_;
  pool::Ticket ticket_{};
  PoolHere* pool_ = nullptr;
  LinkEnd<ClientSession, ServerConnection> server_{*this};
  static constexpr int kMostMoves = 5;
  int moves_ = 0;  // servers that this request has given up
  base::TimePoint state_since_;
  base::TimePoint asked_since_{};  // when the ticket's first checkout was
  base::TimePoint requested_at_{};
  base::TimePoint quiet_since_{};  // the server owes nothing since then
  base::TimePoint transaction_since_{};
  session::FlavourPtr flavour_;  // of its servers
  session::GreetingPtr greeting_;
  // Bytes of the client's that are not passed on yet: a request that waits for its server (up to one read
  // buffer), one that travelled behind a prelude and may have to move, or the unfinished header at the end of
  // a read.
  wire::HeldMessages pending_;
  size_t travelled_ = 0;  // so much of pending_ is at the server already, behind a prelude
  std::unique_ptr<Extras> extras_;
  std::unique_ptr<Pooled> pooled_;                        // in transaction and statement mode
  std::string application_name_;                          // on servers
  std::shared_ptr<const config::PoolSettings> named_by_;  // whose form it has

  // What a request rarely looks at: with a thousand clients, each line of the cache counts.
  std::string secret_;  // of the cancel key
  std::string user_, database_;
  const ListenerHere from_;
  int64_t connected_at_us_;
  int64_t requested_at_us_ = 0;

  std::unique_ptr<LoginState> login_;
  std::optional<session::RequestRefusal> refusal_;
  std::unique_ptr<admin::Console> console_;
  session::StartupSettings settings_;
};

}  // namespace tidepool::daemon
