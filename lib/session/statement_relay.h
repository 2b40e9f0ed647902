// Between a client and the server that it has for a transaction: gives prepared statements names of ours on
// the server, prepares them there when they are first needed, and makes the answers look as if the client had
// the server for itself. One for each server; what is the client's comes in as ClientStatements.
// https://www.postgresql.org/docs/current/protocol-flow.html#PROTOCOL-FLOW-EXT-QUERY
//
// Of what is asked, some messages are marked; TransactionTracker tells when it is a marked one's turn:
//
//   the client sends               the server gets                     the client gets
//   Parse x                        Parse ours_7; Describe ours_7       the answer to the Parse
//   Parse x; Describe x            Parse ours_7; Describe ours_7       both answers
//   Parse x, a command, there      nothing                             our ParseComplete, in its turn
//   Parse x, though x lives        Parse ours_7, which lives           42P05 with the client's name
//   Bind or Describe x, there      Bind ours_7                         the answer to it
//   Bind or Describe x, new there  Parse ours_8; Describe ours_8;      nothing; then the answer to the Bind,
//   or
//                                  Flush; then the Bind                0A000 if the rows are others here
//   Close x                        nothing                             our CloseComplete, in its turn
//   something that is refused      Bind or Query that must fail        the refusal, for that error
//
// A client's Parse is PostgreSQL's: names, types and rows are what exists at that moment makes of them. What
// that was, a Describe of ours behind it finds out; from then on those share a copy to whom PostgreSQL gave
// the same. On another server a statement is prepared with those parameter types; if its rows are others
// there, PostgreSQL would say "cached plan must not change result type" on a direct connection, and the
// client hears that. A Bind is held back that long, since its Execute would have run before the answer tells.
// Commands that PostgreSQL does not analyse when it parses them (BEGIN, SET, SHOW, FETCH) have no such
// answer.
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
#include <vector>

#include "lib/base/result.h"
#include "lib/session/client_statements.h"
#include "lib/session/ring.h"
#include "lib/session/row_shape.h"
#include "lib/session/server_statements.h"
#include "lib/session/session_watch.h"
#include "lib/session/settings_statement.h"
#include "lib/session/transaction_tracker.h"
#include "lib/sql/settings_of_texts.h"
#include "lib/wire/frame_cursor.h"

namespace tidepool::session {

class StatementRelay {
 public:
  // `names`: what names of ours begin with on this server; nobody can guess it.
  explicit StatementRelay(TransactionTracker& tracker, std::string names = "tidepool_")
      : tracker_(tracker), statements_(std::move(names)) {}
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
    // On a server; 0: they are not shared, and keep the session on its server.
    uint32_t max_prepared_statements;
    size_t most_bytes = size_t{16} * 1024 * 1024;  // of its statements' names and texts
    // A Parse of what is there already is answered from here (parse: shared).
    bool shares_parses = false;
  };

  // Whether so much of a message is here that client_sent() can decide. `body`: what is here of it.
  static bool is_enough(char type, base::Bytes body, size_t body_size);
  // At most so much of a message is waited for; of a longer one client_sent() gets what is here.
  static constexpr size_t kLongestWhole = size_t{60} * 1024;

  enum class Pass {
    AsItIs,    // pass its bytes on
    Changed,   // leave its bytes (what is here of them) out
    Wait,      // not now: again when ready_owed() is 0 and the relay asks() nothing
    NeedsMore  // again when more of it is here
  };
  // The client sent `message`; tells the tracker. What was appended to `out` goes to the server in front of
  // it.
  Pass client_sent(const wire::Message& message, Client& client, std::string& out);
  // The rest of a message whose beginning client_sent() was given comes to it too, if it wants_client_rest().
  bool wants_client_rest() const { return long_.left > 0; }
  void client_sent_rest(base::Bytes piece, Client& client);
  // Answers of ours that a Flush makes due at once, to be asked for when the client has been told whole
  // messages.
  void take_flushed(std::string& out) {
    if (std::exchange(flushes_, false)) server_paused(out);
  }
  // The client's open batch has prepared, which is answered, and nothing else: it need not keep the server.
  bool has_only_prepared() const {
    return tracker_.batch_is_open() && !batch_binds_ && !tracker_.skips_to_sync() &&
           tracker_.status() == 'I' && !tracker_.is_answering() && undescribed_.number == 0 && !asks();
  }
  // Ends that batch by a Sync of ours. The client does not hear the answer.
  void end_prepared_batch(Client& client, std::string& out);

  enum class Reply { Pass, LeaveOut, Replaced };
  // The server sent `message`; tells the tracker. `before`: answers of ours whose place is in front of it.
  // `instead`: what the client is told in its place. Needs whole bodies of ReadyForQuery and CommandComplete;
  // of ErrorResponse while has_marks().
  Reply server_sent(const wire::Message& message, Client& client, std::string& before, std::string& instead);
  // A NoticeResponse, whole. It may be about a statement of ours.
  // Answers of ours whose place is in front of it are appended to `instead`, too.
  Reply notice_sent(base::Bytes body, const ClientStatements& statements, std::string& instead);
  // The rest of a message whose beginning server_sent() was given comes to it too, if it wants_rest().
  bool wants_rest() const { return rest_.left > 0; }
  Reply server_sent_rest(base::Bytes piece, Client& client);
  // What the client sent last waits for an answer to a question of ours, which no ReadyForQuery follows.
  bool asks() const { return asked_.number != 0 && !asked_.is_answered; }
  // The server has said all that it has to say for now, and stands between two messages.
  void server_paused(std::string& out);

  // A Parse of ours failed in front of a Query: its Sync, to be sent now.
  bool take_missing_sync(std::string& out);
  // What the client sent last may have taken a setting back to the server's own value; and what it did last
  // to the application_name, as far as its text tells.
  enum class NameChange : uint8_t { None, Set, Reset };
  bool resets() const { return changes_.resets; }
  NameChange name_change() const { return changes_.name; }
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
  // Only these are there: by DEALLOCATE ALL the client's own are gone with the others, but for those that it
  // has prepared behind that.
  void lose_all_but(ServerStatements::Census those, ClientStatements& statements);
  // The server has said what is there.
  void statements_are_known() { doubts_.clear(); }
  // What it has is not what was believed.
  void forget() { statements_.clear(); }
  // Something of ours used the unnamed statement and closed it.
  void unnamed_is_gone() { unnamed_of_ = kNobody; }
  // The server is cleaned, perhaps by a Query of ours, which ends it.
  void unnamed_is_unknown() { unnamed_of_ = kSomebody; }

  const ServerStatements& statements() const { return statements_; }
  void note_question(ServerStatements::Question question) { statements_.question = question; }
  // Statements prepared under names of ours, since the beginning.
  uint64_t parses() const { return parses_; }

 private:
  using Entry = ClientStatements::Entry;
  struct Mark {
    enum class Kind : uint8_t {
      Nothing,
      ClientParse,    // of a new name
      FakeParse,      // of a new name, of a statement that is there already
      InjectedParse,  // ours: its answer is left out
      InjectedDescribe,
      InjectedClose,
      InjectedSetting,
      ParseOfWitness,    // ours: must fail, unless all was deallocated
      UnnamedParse,      // or its Close
      DuplicateParse,    // must fail
      Use,               // Bind, Describe, or a Query that names it
      DescribeAsParsed,  // of a stand-in
      FakeClose,
      OwnClose,       // of a statement under the client's own name
      DeallocateAll,  // an Execute or Query of it, or of DISCARD ALL
      DeallocateOne,  // of one of the client's, in words of ours
      Refusal,        // must fail
      OtherRows       // must fail, as "cached plan must not change result type"
    } kind = Kind::Nothing;
    bool tells = false;   // a Describe whose answer says what a statement is
    bool done = false;    // DEALLOCATE
    uint32_t number = 0;  // of the statement on the server; 0: it is not under a name of ours
    uint64_t entry = 0;   // tells: the client's statement, or its unnamed one's version
    Era client_era, server_era;
    std::string name;             // the client's; DescribeAsParsed: the RowDescription that is told
    std::optional<Entry> before;  // what the name stood for
    std::unique_ptr<base::Error> error;
    // UnnamedParse behind others of its batch, which may fail: what it replaces.
    std::string unnamed_before, unnamed_fingerprint_before, unnamed_parameters_before;
    sql::StatementTraits unnamed_traits_before;
    uint64_t unnamed_version_before = 0, unnamed_shape_before = RowShape::kUnknown;
    uint64_t unnamed_of_before = 0, unnamed_here_before = 0;
    uint32_t unnamed_follows = 0;  // the number of the one that made that
    bool keeps_unnamed = false;

    void reset() {
      kind = Kind::Nothing;
      tells = done = false;
      number = 0;
      client_era = server_era = {};
      entry = 0;
      name.clear();
      before.reset();
      error.reset();
      if (!keeps_unnamed) return;
      keeps_unnamed = false;
      unnamed_before.clear();
      unnamed_traits_before = {};
    }
  };

  struct Doubt {
    uint64_t entries = 0;  // the client's statements
    uint32_t copies = 0;   // the server's
  };

  // What the client says (statement_relay.cc).
  Pass parse(const wire::Message& message, Client& client, std::string& out);
  Pass parse_own(const wire::Message& message, std::string_view name, Client& client, std::string& out);
  Pass parse_again(const wire::Message& message, std::string_view name, const Entry& entry, std::string& out);
  Pass parse_unnamed(const wire::Message& message, std::string_view text, Client& client, std::string& out);
  Pass close(const wire::Message& message, Client& client);
  Pass query(const wire::Message& message, Client& client, std::string& out);
  Pass query_executing(std::string_view text, const sql::StatementTraits& traits, Client& client,
                       std::string& out);
  Pass query_deallocating(std::string_view text, const sql::StatementTraits& traits, Client& client,
                          std::string& out);
  void end_unnamed_by_query(Client& client);
  Pass as_it_is(char type) {
    tracker_.client_sent(type);
    return Pass::AsItIs;
  }
  Pass end_of_batch(Client& client, std::string& out);
  void describe_unbound(Client& client, std::string& out);
  void mark_deallocate(Client& client);
  void nothing_is_deallocated() {
    if (execute_deallocates_.number != 0) leave_undeallocated();
  }
  void leave_undeallocated();
  void begin_long(const wire::Message& message, std::string_view name, uint64_t entry, uint32_t number);
  void end_long(Client& client);

  // What uses statements (statement_relay_use.cc).
  Pass bind(const wire::Message& message, Client& client, std::string& out);
  Pass describe(const wire::Message& message, Client& client, std::string& out);
  Pass describe_as_parsed(const wire::Message& message, std::string_view name, const Entry& entry,
                          std::string& out);
  std::optional<base::Error> note_use(const wire::Message& message, const sql::StatementTraits& traits,
                                      std::string_view text, bool is_noted, Client& client, std::string& out);
  // `number`: of the copy to be used.
  enum class Ready : uint8_t { Yes, Asked, OtherRows, NoMemory };
  Ready use(std::string_view name, Entry& entry, Client& client, uint32_t& number, std::string& out) {
    // The usual case: it is there, and nothing has changed.
    auto* copy = statements_.find_copy(*entry.statement);
    if (copy != nullptr && asked_.number == 0 && !hides_names_ && !sets_custom_locally_ &&
        entry.settings == client.statements.settings_version() && is_as_old(copy->number, entry) &&
        !entry.statement->traits().names_statements()) {
      number = copy->number;
      ++copy->uses;
      return Ready::Yes;
    }
    return make_ready(name, entry, client, number, out);
  }
  Ready make_ready(std::string_view name, Entry& entry, Client& client, uint32_t& number, std::string& out);
  Ready make_ready_named(std::string_view name, Entry& entry, uint32_t witness, Client& client,
                         uint32_t& number, std::string& out);
  Ready answered(Entry& entry, std::string_view name, Client& client, uint32_t& number);
  static Entry* named_by(const sql::StatementTraits& traits, Client& client);
  uint32_t prepare_nothing(std::string& out);
  uint32_t prepare_stand_in(std::string_view text, base::Bytes types, std::string& out);
  bool mind_settings(std::string_view name, Entry& entry, Client& client);
  void mind_temporary_objects(std::string_view name, Entry& entry, Client& client);
  void mind_plan(const PreparedStatement& statement);
  uint32_t prepare(std::string_view name, Entry& entry, Client& client, std::string& out);
  Entry* unnamed_entry(Client& client);
  Pass refuse(char type, base::Error error, std::string& out);
  Pass refuse_use(const wire::Message& message, std::string_view name, std::optional<base::Error> error,
                  std::string& out);

  // What goes in front (statement_relay_front.cc).
  static void note_beginning(std::string_view text, Client& client);
  bool must_wait() const { return unsettled_ > 0 && tracker_.ready_owed() > 0; }
  // An earlier batch may have left it as it was, and then another client's is there.
  bool must_wait_for_unnamed() const {
    return unsettled_unnamed_ > 0 && !unnamed_is_noted_ && tracker_.ready_owed() > 0;
  }
  void keep_unnamed(Client& client, Mark& in);
  bool needs_own_sequences(const sql::StatementTraits& traits, const Client& client) const;
  void need_own_sequences(const sql::StatementTraits& traits, Client& client, std::string& out);
  static bool may_deallocate_unseen(const sql::StatementTraits& traits, Client& client);
  void leave_witness(const Client& client, std::string& out);
  // All may have been deallocated since the client parsed it, or since it stood on this server.
  bool is_in_doubt(const Entry& entry) const {
    return !doubts_.empty() && entry.there_at < doubts_.front().entries;
  }
  bool is_in_doubt(uint32_t number) const { return !doubts_.empty() && number < doubts_.front().copies; }
  // If not, that the copy is there does not tell that the client's statement is, or the other way round.
  bool is_as_old(uint32_t number, const Entry& entry) const {
    return is_in_doubt(number) == is_in_doubt(entry);
  }
  uint32_t witness_of(const Entry& entry);
  Doubt last_doubt() const { return doubts_.empty() ? Doubt() : doubts_.back(); }
  void ask_witness(std::string_view name, uint32_t witness, std::string& out);
  void close_unwanted(const Client& client, std::string& out);
  void make_room(const Client& client, std::string& out);
  void describe_unseen(std::string& out);
  void describe_statement(std::string_view server_name, uint32_t number, uint64_t entry,
                          std::string_view name, std::string& out);
  std::string fingerprint_of(const Client& client);
  static std::string behind_temporary_objects(const Client& client) {
    return std::to_string(client.id) + ".temporary";
  }
  static std::string run_under(std::string_view parsed_under, const Client& client);
  bool is_unsure_of_settings(const Client& client) const {
    return sets_locally_ || is_unsure_of_letters() || client.watch.asks_settings_of_texts();
  }
  // A DEBUG line tells of each Parse.
  bool may_hear_debug(const Client& client) const {
    return client.statements.settings().hears_debug || sets_locally_ || client.watch.asks_listed_settings();
  }
  // What is said in this transaction may have changed how strings are read, and the server has not reported
  // it.
  bool is_unsure_of_letters() const {
    return changes_letters_ && (tracker_.ready_owed() > 0 || batch_has_run_);
  }
  // ... so that this text waits for the answer, or if that takes a Sync of its own batch, is in doubt.
  bool must_know_letters(std::string_view text) const {
    return is_unsure_of_letters() && tracker_.ready_owed() > 0 && sql::depends_on_letters(text);
  }
  sql::StatementTraits classify(std::string_view text, const Client& client) const {
    sql::Options options = client.options;
    options.is_unsure = is_unsure_of_letters();
    return sql::classify(text, options);
  }
  // Names may mean what no other session's do: temporary objects, or what this transaction has made.
  static bool has_temporary_objects(const Client& client) {
    return (client.watch.pins() & bit(Pin::Temporary)) != 0;
  }
  // DISCARD PLANS is about to run: PostgreSQL reads all texts again, when they run next, whoever runs them.
  void see_discard(const sql::StatementTraits& traits) {
    if (traits.has(sql::Trait::DiscardPlans)) statements_.give_up_all();
  }
  void see_what_lasts_for_the_transaction(const sql::StatementTraits& traits);
  void end_what_lasted_for_the_transaction();
  // What begins a batch waits until it is known what the session has SET in front of it.
  bool is_behind_settings(const Client& client) const {
    return client.watch.asks_settings_of_texts() && tracker_.ready_owed() > 0 && !tracker_.batch_is_open();
  }
  bool must_know_status(const PreparedStatement& statement, Client& client) {
    return is_unsure_of_settings(client) && tracker_.ready_owed() > 0 && statements_.find(statement) == 0;
  }
  // `is_unsure`: of the settings that are in force, as it was in front of both.
  void begin_parse_under(const PreparedStatement& statement, bool is_unsure, Client& client,
                         std::string& out);
  void end_parse_under(const PreparedStatement& statement, bool is_unsure, Client& client, std::string& out);
  static SettingChanges settings_for_parse(const StatementText& text, std::string_view from,
                                           std::string_view to);
  static bool has_to_set_for_parse(const PreparedStatement& statement, const Client& client);
  void set_for_parse(const StatementText& text, std::string_view from, std::string_view to,
                     std::string_view verb, std::string& out);
  void run_unseen(std::string_view sql, std::string& out);
  bool plans_may_be_old(Client& client);
  void discard_plans(std::string& out);
  static bool is_unsettling(Mark::Kind kind);
  bool has_unnamed_of(const Client& client) const {
    return unnamed_of_ == client.id && unnamed_version_ == client.statements.unnamed_version;
  }
  void unnamed_is_here(const Client& client) {
    unnamed_of_ = client.id;
    unnamed_version_ = client.statements.unnamed_version;
  }
  Mark& inject_close(uint32_t number, std::string_view name, std::string& out);
  void deallocate_all(Client& client);
  Mark& mark(Mark::Kind kind);
  Mark& mark_use(uint32_t number, std::string_view name);

  // What the server says (statement_relay_replies.cc).
  Reply see_answer(Mark& mark, const wire::Message& message, Client& client, std::string& instead);
  Reply see_error(Mark& mark, base::Bytes body, Client& client, std::string& instead);
  static bool changes_objects(base::Bytes tag);
  static bool may_change_objects(base::Bytes tag) {
    const char first = tag.empty() ? '\0' : tag.front();
    return (first == 'C' || first == 'A' || first == 'D') && changes_objects(tag);
  }
  void begin_rest(Mark& mark, const wire::Message& message, Client& client);
  Reply tell_rows(const Mark& mark, const wire::Message& message, Client& client, std::string& instead);
  bool has_rows_of_its_parse(const Mark& mark, ClientStatements& statements);
  void read_rest(base::Bytes piece, Client& client);
  void is_described(uint32_t number, uint64_t entry, std::string_view name, uint64_t shape, Client& client);
  Entry* entry_of(std::string_view name, uint64_t number, ClientStatements& statements);
  const Entry* entry_in_front(std::string_view name, ClientStatements& statements);
  void lose(uint32_t number, std::string_view name, ClientStatements& statements);
  void lose_noticed(ClientStatements& statements);
  void settle_front(ClientStatements& statements);
  void drop_front(size_t count, ClientStatements& statements, bool first_has_run);
  void take_back(Mark& mark, ClientStatements& statements, bool has_run);
  void undo_eras(const Mark& undone, ClientStatements& statements);
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
  static constexpr uint64_t kNobody = 0, kSomebody = UINT64_MAX;
  uint64_t unnamed_of_ = kNobody;    // the client whose unnamed statement is there
  uint64_t unnamed_version_ = 0;     // of that client's unnamed statements the one that is there
  bool unnamed_is_noted_ = false;    // by the client's watch, in this batch
  bool unnamed_is_unbound_ = false;  // it was parsed in this batch, and not bound: a later one may do that
  // Nothing else follows before they are answered.
  struct Changes {
    bool resets = false;
    NameChange name = NameChange::None;
  };
  static Changes changes_of(const sql::StatementTraits& traits);
  static Changes changes_of_function_call(base::Bytes body);
  Changes changes_, bound_changes_;  // of what was sent last, of what was bound
  bool flushes_ = false;
  char said_ = '\0';               // the type of what the client sent last
  bool batch_has_run_ = false;     // something of the client's
  bool batch_binds_ = false;       // or anything else that must not be parted from its batch
  bool leaves_out_ready_ = false;  // the answer to a Sync of ours
  bool advanced_ = false;          // a sequence, perhaps, since the client has the server
  bool sets_locally_ = false;      // in this transaction: what is parsed in it is not shared
  bool sets_literals_locally_ = false;
  bool sets_custom_locally_ = false;  // in this transaction: what a plan holds of it is nobody else's
  bool changes_objects_ = false;      // in this transaction: what is parsed in it is not shared either
  bool hides_names_ = false;          // temporary objects may have been made since the client has the server
  // Temporary objects may have been made since the plans of the client's own statements were discarded.
  bool makes_temporary_ = false;
  bool execute_deallocates_all_ = false;  // the next Execute may be of DEALLOCATE ALL
  struct {
    uint32_t number = 0;          // what is deallocated on the server
    std::string name;             // ... for what the client has under this name
    uint32_t witness = 0;         // ... unless this one is gone. 0: it is there
  } execute_deallocates_;         // ... or of such a DEALLOCATE
  bool changes_letters_ = false;  // it may have, in this transaction
  static constexpr std::initializer_list<sql::Trait> kMayChangeLetters{
      sql::Trait::Settings,   sql::Trait::AnySetting,  sql::Trait::Executes, sql::Trait::Dynamic,
      sql::Trait::Unreadable, sql::Trait::SetsLocally, sql::Trait::Calls};
  struct {
    uint32_t number = 0;  // of the copy that SQL's EXECUTE runs
    std::string name;     // ... which is the client's statement of this name
  } execute_uses_;        // The next Execute is of such an EXECUTE
  uint32_t last_private_ = 0;
  // What may have deallocated all since it was known last what is there: what has lower numbers stood there
  // before. If there are too many, the last stands for those behind.
  static constexpr size_t kMostDoubts = 100;
  std::vector<Doubt> doubts_;
  struct {
    uint32_t number = 0;
    std::string name;
  } lost_;  // it is not there, as the error says that is being told
  // Its Parse is on its way, and its Describe goes in front of what follows.
  struct Undescribed {
    uint32_t number = 0;
    uint64_t entry = 0;
    std::string name;
  } undescribed_;
  // The copy that the relay has asked about, for the message that waits.
  struct Asked {
    uint32_t number = 0;
    uint64_t entry = 0;  // the client's statement; 0: its unnamed one
    bool is_answered = false;
    bool is_for_once = false;  // the client's next use is of another copy
  } asked_;
  // Something of ours goes in front of a Query, which PostgreSQL skips if that fails; one that waits for the
  // answer is not sent any more then.
  enum class InFront : uint8_t { Nothing, OfQuery, OfWaitingQuery, Failed } in_front_ = InFront::Nothing;
  // Copies that a Query is about to execute, which waits for what others are: by the client's statements.
  std::vector<std::pair<uint64_t, uint32_t>> executed_;
  // A Parse too long to be read at once, whose text is collected.
  struct Long {
    size_t left = 0;
    uint64_t entry = 0;  // 0: the unnamed statement
    uint32_t number = 0;
    std::string name, body;
  } long_;
  // A description that is not all here yet, or what is to be left out of one.
  struct Rest {
    size_t left = 0;
    bool is_left_out = false;
    enum class Of : uint8_t { Nothing, Parameters, Rows } of = Of::Nothing;
    RowShape shape;
    uint32_t number = 0;
    uint64_t entry = 0;
    std::string name;
  } rest_;
  std::string described_parameters_;  // of the Describe that is being answered
  std::string described_rows_;
  bool keeps_rows_ = false;
  uint64_t parses_ = 0;
};

}  // namespace tidepool::session
