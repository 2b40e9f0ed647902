// Between a client and the server that it has for a transaction: gives prepared statements names of ours on
// the server, prepares them there when they are first needed, and makes the answers look as if the client had
// the server for itself. One for each server; what is the client's comes in as ClientStatements.
//
// Of what is asked, some messages are marked; TransactionTracker tells when it is a marked one's turn:
//
//   the client sends               the server gets                     the client gets
//   Parse x, new there             Parse tidepool_7                    its answer
//   Parse x, there already         nothing                             our ParseComplete, in its turn
//   Parse x, though x lives        Parse tidepool_7, which lives       42P05 with the client's name
//   Bind or Describe x, new there  Parse tidepool_8; Bind tidepool_8   the answer to the Bind
//   Close x                        nothing                             our CloseComplete, in its turn
//   something that is refused      Bind or Query that must fail        the refusal, for that error
//   Bind or Describe x, of which   Parse tidepool_9; Describe          nothing; then the answer to the Bind,
//     it was told the rows         tidepool_9; Flush; then the Bind    or 0A000 if the rows are others here
//   Describe of a portal of x      Describe tidepool_9; Describe       the answer to its own Describe
//
// Who was told what a statement's rows look like must not get others (drivers decode by what they were told):
// PostgreSQL says "cached plan must not change result type", but only where it has prepared the statement
// before the table changed. So the relay notes what each copy's rows look like (RowShape), and asks where it
// does not know: once for a statement on a server, as a rule. A Bind is held back that long, since its
// Execute would have run before the answer tells.
//
// After an error PostgreSQL skips everything up to the next Sync: what was assumed of skipped messages is
// taken back. A message that depends on names waits until earlier batches are answered, if what they did to
// names is not known yet (Pass::Wait); within its own batch it need not, since if anything fails there, it is
// skipped itself. Steady use allocates nothing.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "lib/base/result.h"
#include "lib/session/client_statements.h"
#include "lib/session/ring.h"
#include "lib/session/row_shape.h"
#include "lib/session/server_statements.h"
#include "lib/session/session_watch.h"
#include "lib/session/transaction_tracker.h"
#include "lib/sql/settings_of_texts.h"
#include "lib/wire/frame_cursor.h"

namespace tidepool::session {

class StatementRelay {
 public:
  explicit StatementRelay(TransactionTracker& tracker) : tracker_(tracker) {}
  StatementRelay(const StatementRelay&) = delete;
  StatementRelay& operator=(const StatementRelay&) = delete;

  // The client that has the server now. All of it outlives the link.
  struct Client {
    uint64_t id;  // never of two sessions
    ClientStatements& statements;
    SessionWatch& watch;
    StatementSource& source;
    const SessionWatch::Policy& policy;
    const sql::Options& options;
    uint32_t
        max_prepared_statements;  // on a server; 0: they are not shared, and keep the session on its server
  };

  // Whether so much of a message is here that client_sent() can decide. `body`: what is here of it.
  static bool is_enough(char type, base::Bytes body, size_t body_size);
  // At most so much of a message is waited for; of a longer one client_sent() gets what is here.
  static constexpr size_t kLongestWhole = size_t{60} * 1024;

  enum class Pass {
    AsItIs,    // pass its bytes on
    Changed,   // what goes to the server was appended to `out` instead of what is here of the message
    Wait,      // not now: again when ready_owed() is 0 and the relay asks() nothing. If it has begun to ask,
               // that was appended to `out`, to be sent in front
    NeedsMore  // again when more of it is here
  };
  // Whether `bytes`, which the client sends next and between two messages, are a batch that take_repair() may
  // ask for again: the caller keeps a copy. Those that are not short, or not all here, are not.
  bool begin_kept_batch(base::Bytes bytes);
  // The client sent `message`; tells the tracker.
  Pass client_sent(const wire::Message& message, Client& client, std::string& out);
  // Answers of ours that a Flush makes due at once, to be asked for when the client has been told whole
  // messages.
  void take_flushed(std::string& out) {
    if (std::exchange(flushes_, false)) server_paused(out);
  }

  enum class Reply { Pass, LeaveOut, Replaced };
  // The server sent `message`; tells the tracker. `before`: answers of ours whose place is in front of it.
  // `instead`: what the client is told in its place. Needs whole bodies of ReadyForQuery and CommandComplete;
  // of ErrorResponse while has_marks().
  Reply server_sent(const wire::Message& message, Client& client, std::string& before, std::string& instead);
  // The rest of a message whose beginning server_sent() was given comes to it too, if it wants_rest().
  bool wants_rest() const { return rest_.left > 0; }
  Reply server_sent_rest(base::Bytes piece, ClientStatements& statements);
  // What the client sent last waits for an answer to a question of ours, which no ReadyForQuery follows.
  bool asks() const { return asked_.number != 0 && asked_.shape == RowShape::kUnknown; }
  // The server has said all that it has to say for now, and stands between two messages.
  void server_paused(std::string& out);

  // A Parse of ours failed in front of a Query: its Sync, to be sent now.
  bool take_missing_sync(std::string& out);
  // What the client sent last may have taken a setting back to the server's own value.
  bool resets() const { return resets_; }
  bool has_marks() const { return !marks_.is_empty(); }
  // The server reports another value of a setting than the client knew: a function may have set it, for this
  // transaction.
  void parameter_changed(std::string_view name) {
    if (sql::decides_literals(name)) sets_locally_ = sets_literals_locally_ = true;
    if (sql::decides_letters(name)) changes_letters_ = true;
  }
  // Nothing of what is in flight has run, and nothing will: the server is given up, the client will ask again
  // elsewhere.
  void take_back(ClientStatements& statements);
  // The client has left. False: what the server has is not known: it must be reset or closed.
  bool leave();
  // The server was reset by DISCARD ALL.
  void discarded();
  // The first Bind or Describe of a batch met "cached plan must not change result type", of which a client
  // that was never told another row description need not hear: all of the batch was left out, and is to be
  // sent again. Asked when the server owes nothing.
  bool take_repair() {
    return repair_ == Repair::Due && std::exchange(repair_, Repair::Tried) == Repair::Due;
  }
  // Something of ours used the unnamed statement and closed it.
  void unnamed_is_gone() { unnamed_of_ = kNobody; }
  // The server is cleaned, perhaps by a Query of ours, which ends it.
  void unnamed_is_unknown() { unnamed_of_ = kSomebody; }

  const ServerStatements& statements() const { return statements_; }
  void note_question(ServerStatements::Question question) { statements_.question = question; }
  // Statements prepared under names of ours, since the beginning.
  uint64_t parses() const { return parses_; }

 private:
  struct Mark {
    enum class Kind : uint8_t {
      Nothing,
      ClientParse,    // of a new name
      FakeParse,      // of a new name, of a statement that is there already
      InjectedParse,  // ours: its answer is left out
      InjectedDescribe,
      InjectedClose,
      InjectedUnnamed,
      InjectedSetting,
      UnnamedParse,    // or its Close
      DuplicateParse,  // must fail
      Bind,
      FakeClose,
      DeallocateAll,  // an Execute or Query of it, or of DISCARD ALL
      DeallocateOne,  // a Query of it, in words of ours
      Refusal,        // must fail
      OtherRows       // must fail, as "cached plan must not change result type"
    } kind = Kind::Nothing;
    // Bind: it is a Describe whose answer tells the client what the rows of its statement look like.
    enum class Tells : uint8_t { Nothing, OfStatement, OfPortal } tells = Tells::Nothing;
    bool done = false;      // DEALLOCATE
    bool prepared = false;  // DeallocateOne: what it begins with
    bool may_repair = false;
    uint32_t number = 0;  // of the statement on the server
    uint64_t entry = 0;   // tells: the client's statement
    uint32_t client_era = 0, server_era = 0;
    uint32_t deallocates = 0;  // UnnamedParse: the statement on the server, taken for gone
    std::string name;          // the client's
    std::optional<ClientStatements::Entry> before;  // what the name stood for
    std::unique_ptr<base::Error> error;
    // UnnamedParse behind others of its batch, which may fail: what it replaces.
    std::string unnamed_before, unnamed_fingerprint_before;
    sql::StatementTraits unnamed_traits_before;
    uint64_t unnamed_version_before = 0;
    uint64_t unnamed_of_before = 0, unnamed_here_before = 0;
    uint32_t unnamed_follows = 0;  // the number of the one that made that
    bool keeps_unnamed = false;

    void reset() {
      kind = Kind::Nothing;
      tells = Tells::Nothing;
      entry = 0;
      done = prepared = may_repair = false;
      number = client_era = server_era = deallocates = 0;
      name.clear();
      before.reset();
      error.reset();
      if (!keeps_unnamed) return;
      keeps_unnamed = false;
      unnamed_before.clear();
      unnamed_traits_before = {};
    }
  };

  Pass parse(const wire::Message& message, Client& client, std::string& out);
  Pass parse_unnamed(const wire::Message& message, std::string_view text, Client& client, std::string& out);
  Pass bind(const wire::Message& message, Client& client, std::string& out);
  Pass describe(const wire::Message& message, Client& client, std::string& out);
  Pass close(const wire::Message& message, Client& client, std::string& out);
  Pass query(const wire::Message& message, Client& client, std::string& out);
  Pass as_it_is(char type);
  static void note_beginning(std::string_view text, Client& client);
  Pass refuse(char type, base::Error error, std::string& out);
  Pass refuse_use(const wire::Message& message, std::string_view name, std::optional<base::Error> error,
                  std::string& out);
  bool must_wait() const { return unsettled_ > 0 && tracker_.ready_owed() > 0; }
  // An earlier batch may have left it as it was, and then another client's is there.
  bool must_wait_for_unnamed() const {
    return unsettled_unnamed_ > 0 && !unnamed_is_noted_ && tracker_.ready_owed() > 0;
  }
  void keep_unnamed(Client& client, Mark& in);
  bool needs_own_sequences(const sql::StatementTraits& traits, const Client& client) const;
  void need_own_sequences(const sql::StatementTraits& traits, Client& client, std::string& out);
  void need_unnamed(Client& client, std::string& out);
  std::string fingerprint_of(Client& client);
  bool is_unsure_of_settings(const Client& client) const {
    return sets_locally_ || is_unsure_of_letters() || client.watch.asks_settings_of_texts();
  }
  // What is said in this transaction may have changed how strings are read, and the server has not answered.
  bool is_unsure_of_letters() const { return changes_letters_ && !tracker_.is_quiet(); }
  // ... so that this text waits for the answer, or if that takes a Sync of its own batch, is in doubt.
  bool must_know_letters(std::string_view text) const {
    return is_unsure_of_letters() && tracker_.ready_owed() > 0 && sql::depends_on_letters(text);
  }
  sql::StatementTraits classify(std::string_view text, const Client& client) const {
    sql::Options options = client.options;
    options.is_unsure = is_unsure_of_letters();
    return sql::classify(text, options);
  }
  // Whether what the client has is right for the settings that it has now, made so if need be. False: there
  // is no memory for it.
  bool mind_settings(ClientStatements::Entry& entry, Client& client) {
    return entry.settings == client.statements.settings_version() || change_settings(entry, client);
  }
  static StatementPtr share_again(const PreparedStatement& statement, const std::string& parsed_under,
                                  Client& client);
  bool change_settings(ClientStatements::Entry& entry, Client& client);
  // The copy is about to be used. Under settings that are not known PostgreSQL may make something of it that
  // others must not meet.
  void note_use(uint32_t number, const Client& client) {
    if (sets_literals_locally_ || client.watch.asks_settings_of_literals()) statements_.doubt(number);
  }
  // DISCARD PLANS is about to run: PostgreSQL reads all texts again, when they run next, whoever runs them.
  void see_discard(const sql::StatementTraits& traits) {
    if (traits.has(sql::Trait::DiscardPlans)) statements_.give_up_all();
  }
  void see_local_settings(const sql::StatementTraits& traits, bool any) {
    sets_locally_ = sets_locally_ || any || traits.has(sql::Trait::SetsLocally);
    sets_literals_locally_ = sets_literals_locally_ || any || traits.has(sql::Trait::SetsLiteralsLocally);
    changes_letters_ = changes_letters_ || traits.has_any(kMayChangeLetters);
  }
  // What begins a batch waits until it is known what the session has SET in front of it.
  bool is_behind_settings(const Client& client) const {
    return client.watch.asks_settings_of_texts() && tracker_.ready_owed() > 0 && !tracker_.batch_is_open();
  }
  bool must_know_status(const PreparedStatement& statement, Client& client) {
    return is_unsure_of_settings(client) && tracker_.ready_owed() > 0 && statements_.find(statement) == 0;
  }
  void begin_parse_under(const std::string& fingerprint, Client& client, std::string& out);
  void end_parse_under(const std::string& fingerprint, Client& client, std::string& out);
  void set_for_parse(std::string_view from, std::string_view to, std::string_view verb, std::string& out);
  void run_unseen(std::string_view sql, std::string& out);
  static bool is_unsettling(Mark::Kind kind);
  bool has_unnamed_of(const Client& client) const {
    return unnamed_of_ == client.id && unnamed_version_ == client.statements.unnamed_version;
  }
  void unnamed_is_here(const Client& client) {
    unnamed_of_ = client.id;
    unnamed_version_ = client.statements.unnamed_version;
  }
  uint32_t need_prepared(ClientStatements::Entry& entry, Client& client, std::string& out);
  // Whether the rows of a client's statement look here as the client was told. `number`: of the copy to be
  // used, if it is there.
  enum class Rows : uint8_t { Same, Other, Asked };
  Rows compare_rows(std::string_view name, ClientStatements::Entry& entry, Client& client, uint32_t& number,
                    std::string& out) {
    const auto* copy = statements_.find_copy(*entry.statement);
    if (copy == nullptr || copy->shape != entry.told_shape || (telling_ | asked_.number) != 0)
      return find_out_rows(name, entry, client, number, out);
    number = copy->number;
    return Rows::Same;
  }
  Rows find_out_rows(std::string_view name, ClientStatements::Entry& entry, Client& client, uint32_t& number,
                     std::string& out);
  uint32_t copy_that_tells(const ClientStatements::Entry& entry);
  void ask_for_rows(uint32_t number, std::string_view name, std::string& out);
  Pass describe_portal(const wire::Message& message, std::string& out);
  Mark& inject_close(uint32_t number, std::string_view name, std::string& out);
  void deallocate_all(Client& client);
  Mark& mark(Mark::Kind kind);
  bool take_first_of_batch();
  Mark& mark_use(uint32_t number, std::string_view name, bool may_repair);
  void mark_telling(Mark& described, Mark::Tells tells, const ClientStatements::Entry& entry);
  Reply see_answer(Mark& mark, const wire::Message& message, Client& client, std::string& instead);
  Reply see_error(Mark& mark, base::Bytes body, Client& client, std::string& instead);
  void begin_rest(Mark& mark, const wire::Message& message, ClientStatements& statements);
  void read_rest(base::Bytes piece, ClientStatements& statements);
  void shape_is(uint32_t number, uint64_t shape);
  void client_was_told(uint64_t shape, std::string_view name, uint64_t entry, ClientStatements& statements);
  void settle_front(ClientStatements& statements);
  void drop_front(size_t count, ClientStatements& statements, bool first_has_run);
  void take_back(Mark& mark, ClientStatements& statements, bool has_run);
  void leave_to_next_unnamed(Mark& mark, bool has_run);
  void pop_mark();
  void nothing_is_asked();
  void tell_fakes(uint32_t count, std::string& out);

  TransactionTracker& tracker_;
  ServerStatements statements_;
  Ring<Mark> marks_;
  uint32_t unsettled_ = 0;          // marks that change what names stand for
  uint32_t unsettled_unnamed_ = 0;  // those that change the unnamed statement, unless they are skipped
  uint32_t last_unnamed_ = 0;       // what changed the unnamed statement: Parse, Close and Query are numbered
  // Nobody prepares a statement of this name.
  static constexpr std::string_view kNoStatement = "tidepool: this statement is refused";
  static constexpr uint64_t kNobody = 0, kSomebody = UINT64_MAX;
  uint64_t unnamed_of_ = kNobody;  // the client whose unnamed statement is there
  bool resets_ = false;  // something may go back to the server's own settings: nothing else follows before it
                         // is answered
  bool bound_resets_ = false;
  bool flushes_ = false;
  bool holds_back_ = false;  // a batch that may have to be sent again: nothing follows before it is answered
  bool syncs_after_error_ = false;
  bool advanced_ = false;      // a sequence, perhaps, since the client has the server
  bool sets_locally_ = false;  // in this transaction: what is parsed in it is not shared
  bool sets_literals_locally_ = false;
  bool changes_letters_ = false;  // it may have, in this transaction
  static constexpr std::initializer_list<sql::Trait> kMayChangeLetters{
      sql::Trait::Settings,   sql::Trait::AnySetting,  sql::Trait::Executes, sql::Trait::Dynamic,
      sql::Trait::Unreadable, sql::Trait::SetsLocally, sql::Trait::Calls};
  uint32_t last_private_ = 0;
  uint64_t unnamed_version_ = 0;              // of that client's unnamed statements the one that is there
  bool unnamed_is_noted_ = false;             // by the client's watch, in this batch
  bool execute_deallocates_ = false;          // the next Execute may be of DEALLOCATE ALL
  ClientStatements::Entry* bound_ = nullptr;  // of the last Bind of this batch, not executed yet
  uint32_t bound_number_ = 0;                 // ... on the server
  std::string bound_portal_, bound_name_;     // ... if the client was not told of its rows yet
  uint32_t telling_ = 0;  // Describes on their way whose answer tells a client what rows look like
  // The copy whose rows the relay has asked for, for the message that waits, and the answer.
  struct Asked {
    uint32_t number = 0;
    uint64_t shape = RowShape::kUnknown;
  } asked_;
  uint64_t last_shape_ = RowShape::kUnknown;  // that the server has told
  // A description that is not all here yet, or what is to be left out of one.
  struct Rest {
    size_t left = 0;
    bool is_left_out = false;
    bool is_of_rows = false;
    RowShape shape;
    uint32_t number = 0;  // of the copy
    uint64_t entry = 0;   // of the client's statement that it tells of, if it does
    std::string name;
  } rest_;
  uint64_t parses_ = 0;
  enum class Repair : uint8_t { No, Possible, Running, Due, Tried } repair_ = Repair::No;
};

}  // namespace tidepool::session
