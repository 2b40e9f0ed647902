// What is put in front of a client's message.
#include <algorithm>

#include "lib/session/session_settings.h"
#include "lib/session/statement_relay.h"
#include "lib/wire/message_writer.h"

namespace tidepool::session {

using sql::Trait;

bool StatementRelay::is_unsettling(Mark::Kind kind) {
  using Kind = Mark::Kind;
  return kind != Kind::Use && kind != Kind::UnnamedParse && kind != Kind::Refusal &&
         kind != Kind::OtherRows && kind != Kind::InjectedSetting && kind != Kind::InjectedDescribe &&
         kind != Kind::DescribeAsParsed;
}

StatementRelay::Mark& StatementRelay::mark(Mark::Kind kind) {
  if (is_unsettling(kind)) ++unsettled_;
  Mark& fresh = marks_.push();
  fresh.kind = kind;
  return fresh;
}

StatementRelay::Mark& StatementRelay::mark_use(uint32_t number, std::string_view name) {
  Mark& use = mark(Mark::Kind::Use);
  use.number = number;
  use.name = name;
  return use;
}

// Of a text that is too long to be waited for: it cannot be refused any more.
void StatementRelay::note_beginning(std::string_view text, Client& client) {
  sql::Options options = client.options;
  options.is_unsure = true;
  static_cast<void>(client.watch.note(sql::classify(text, options), text, client.policy));
  client.watch.note_everything(text);
}

// It is about to be another one, or none, unless that is skipped.
void StatementRelay::keep_unnamed(Client& client, Mark& in) {
  ClientStatements& own = client.statements;
  in.keeps_unnamed = true;
  ++unsettled_unnamed_;
  in.unnamed_follows = in.number - 1;
  in.unnamed_of_before = unnamed_of_;
  in.unnamed_version_before = own.unnamed_version;
  in.unnamed_here_before = unnamed_version_;
  in.unnamed_before = std::exchange(own.unnamed, {});
  in.unnamed_fingerprint_before = own.unnamed_fingerprint;
  in.unnamed_parameters_before = own.unnamed_parameters;
  in.unnamed_shape_before = own.unnamed_shape;
  in.unnamed_traits_before = std::exchange(own.unnamed_traits, {});
}

// What another client's nextval has left must not be seen: DISCARD SEQUENCES in front of the first currval or
// lastval, unless the session may have values of its own there. In front of the nextval that keeps the
// server, too: it may fail, and is of one sequence only.
bool StatementRelay::needs_own_sequences(const sql::StatementTraits& traits, const Client& client) const {
  const bool names = traits.has(Trait::NamesCurrentValue) ||
                     (traits.has(Trait::MayAdvance) && client.watch.names_current_value());
  return names && !advanced_ && tracker_.status() != 'E';  // there it would fail in place of a ROLLBACK
}

void StatementRelay::need_own_sequences(const sql::StatementTraits& traits, Client& client,
                                        std::string& out) {
  const bool needs = needs_own_sequences(traits, client);
  advanced_ = advanced_ || traits.has_any({Trait::NamesCurrentValue, Trait::MayAdvance});
  if (needs) run_unseen("DISCARD SEQUENCES", out);
}

bool StatementRelay::may_deallocate_unseen(const sql::StatementTraits& traits, Client& client) {
  const auto runs_more = [](const sql::StatementTraits& of) {
    return of.has_any({Trait::Calls, Trait::Dynamic, Trait::Unreadable});
  };
  if (runs_more(traits)) return true;
  const auto& names = traits.named_statements;
  return traits.has(Trait::Executes) && !std::all_of(names.begin(), names.end(), [&](const auto& named) {
           const auto* entry = client.statements.find(named.name);
           return entry != nullptr && !entry->is_own && !runs_more(entry->statement->traits());
         });
}

// In front of whatever may deallocate all statements unseen: by this one it is seen, even where none of the
// client's is.
void StatementRelay::leave_witness(const Client& client, std::string& out) {
  if (!client.watch.asks_statements()) return;
  if (client.statements.has_shared() && !statements_.has_witness())
    statements_.set_witness(prepare_nothing(out));
  if (doubts_.size() >= kMostDoubts) doubts_.pop_back();
  doubts_.push_back({client.statements.last_number() + 1, statements_.last_number() + 1});
}

// What was there when the client's statement was, if all may have been deallocated since: if that is gone, so
// is the client's. What the client has parsed behind the first doubt has a copy of its own here. 0: there is
// nothing to ask.
uint32_t StatementRelay::witness_of(const Entry& entry) {
  if (is_in_doubt(entry)) return statements_.witness();
  const uint32_t own = entry.there_at < last_doubt().entries ? statements_.find(*entry.statement) : 0;
  return is_as_old(own, entry) ? own : 0;
}

// The client's statement of this name is about to be prepared where it may be lost: if `witness` is gone,
// this error is the client's.
void StatementRelay::ask_witness(std::string_view name, uint32_t witness, std::string& out) {
  if (witness == 0 || (said_ == 'Q' && tracker_.status() == 'E')) return;  // there a Query fails anyway
  describe_statement(statements_.name_of(witness), witness, 0, name, out);
}

StatementRelay::Mark& StatementRelay::inject_close(uint32_t number, std::string_view name, std::string& out) {
  wire::append_close(out, 'S', name);
  tracker_.client_sent_marked('C');
  Mark& closed = mark(Mark::Kind::InjectedClose);
  closed.number = number;
  return closed;
}

// In front of a batch no error of the client's can skip it.
void StatementRelay::close_unwanted(const Client& client, std::string& out) {
  while (statements_.has_unwanted()) {
    const uint32_t surplus = statements_.take_surplus(client.max_prepared_statements);
    inject_close(surplus, statements_.name_of(surplus), out);
  }
}

void StatementRelay::make_room(const Client& client, std::string& out) {
  while (const uint32_t surplus = statements_.take_surplus(client.max_prepared_statements))
    inject_close(surplus, statements_.name_of(surplus), out);
}

void StatementRelay::describe_unseen(std::string& out) {
  const Undescribed fresh = std::exchange(undescribed_, {});
  describe_statement(statements_.name_of(fresh.number), fresh.number, fresh.entry, fresh.name, out);
}

// The client does not hear the answer.
void StatementRelay::describe_statement(std::string_view server_name, uint32_t number, uint64_t entry,
                                        std::string_view name, std::string& out) {
  wire::append_describe(out, 'S', server_name);
  if (!tracker_.client_sent_marked('D')) return;
  Mark& described = mark(Mark::Kind::InjectedDescribe);
  described.number = number;
  described.entry = entry;
  described.name = name;
}

// Under settings that are not known now, where names mean what they do for no other session, or in a
// transaction that has changed what there is, a statement is the client's alone.
std::string StatementRelay::fingerprint_of(const Client& client) {
  std::string fingerprint = client.statements.settings().fingerprint;
  std::string owner;
  if (is_unsure_of_settings(client) || changes_objects_)
    owner = std::to_string(client.id) + "." + std::to_string(++last_private_);
  if (hides_names_ || has_temporary_objects(client)) owner += behind_temporary_objects(client);
  if (!owner.empty()) make_private(owner, fingerprint);
  return fingerprint;
}

std::string StatementRelay::run_under(std::string_view parsed_under, const Client& client) {
  const ParseSettings& now = client.statements.settings();
  std::string under;
  if (parsed_under != now.fingerprint && literals_in(parsed_under) != now.literals)
    under = "as " + now.literals;
  if (!now.custom.empty()) under += "with " + now.custom;
  return under;
}

void StatementRelay::see_what_lasts_for_the_transaction(const sql::StatementTraits& traits) {
  const bool is_dynamic = traits.has_any({Trait::Dynamic, Trait::Unreadable});
  changes_letters_ = changes_letters_ || traits.has_any(kMayChangeLetters);
  sets_locally_ = sets_locally_ || is_dynamic || traits.has(Trait::SetsLocally);
  sets_literals_locally_ = sets_literals_locally_ || is_dynamic || traits.has(Trait::SetsLiteralsLocally);
  sets_custom_locally_ = sets_custom_locally_ || is_dynamic || traits.has(Trait::SetsCustomLocally);
  changes_objects_ =
      changes_objects_ || is_dynamic ||
      traits.has_any({Trait::Creates, Trait::ChangesObjects, Trait::TemporaryObject, Trait::Calls});
  if (is_dynamic || traits.has(Trait::TemporaryObject)) hides_names_ = makes_temporary_ = true;
}

void StatementRelay::end_what_lasted_for_the_transaction() {
  sets_locally_ = sets_literals_locally_ = sets_custom_locally_ = changes_letters_ = changes_objects_ = false;
  if (statements_.has_doubtful()) statements_.give_up_doubtful();
}

// A text is parsed again under the settings of its first Parse. By SET, which has no rows and needs no
// snapshot: the client's own transaction does not notice, and what a failure takes back of it, it takes back
// of both, as does a Parse that fails. Around the Parse of a command it is a transaction of its own, so that
// what the client runs behind it is the first of its own (VACUUM): no such Parse fails. Where the settings of
// the moment are not known, a savepoint takes them back. In a failed transaction no SET can run: what can is
// a command without literals.
void StatementRelay::begin_parse_under(const PreparedStatement& statement, bool is_unsure, Client& client,
                                       std::string& out) {
  const char status = tracker_.status();
  if (status == 'E') return;
  if (!is_unsure)
    return set_for_parse(*statement.text, client.statements.settings().fingerprint, statement.fingerprint,
                         "SET ", out);
  if (status != 'T' || !statement.text->is_analysed) return;
  run_unseen("SAVEPOINT tidepool", out);
  set_for_parse(*statement.text, {}, statement.fingerprint, "SET LOCAL ", out);
}

void StatementRelay::end_parse_under(const PreparedStatement& statement, bool is_unsure, Client& client,
                                     std::string& out) {
  const char status = tracker_.status();
  if (status == 'E') return;
  if (!is_unsure)
    return set_for_parse(*statement.text, statement.fingerprint, client.statements.settings().fingerprint,
                         "SET ", out);
  if (status != 'T' || !statement.text->is_analysed) return;
  run_unseen("ROLLBACK TO SAVEPOINT tidepool", out);
  run_unseen("RELEASE SAVEPOINT tidepool", out);
}

SettingChanges StatementRelay::settings_for_parse(const StatementText& text, std::string_view from,
                                                  std::string_view to) {
  SettingChanges changes = parse_settings_between(from, to);
  std::erase_if(changes, [&](const SettingChange& change) {
    return sql::decides_letters(change.name) ? !text.has_odd_letters
                                             : !text.has_literals || !text.is_analysed;
  });
  return changes;
}

bool StatementRelay::has_to_set_for_parse(const PreparedStatement& statement, const Client& client) {
  const std::string& now = client.statements.settings().fingerprint;
  return now != statement.fingerprint &&
         !settings_for_parse(*statement.text, now, statement.fingerprint).empty();
}

// `from` without storage: whatever it is.
void StatementRelay::set_for_parse(const StatementText& text, std::string_view from, std::string_view to,
                                   std::string_view verb, std::string& out) {
  const SettingChanges changes = settings_for_parse(text, from, to);
  if (changes.empty()) return;
  const bool in_its_own =
      !text.is_analysed && tracker_.status() == 'I' && !batch_has_run_ && tracker_.ready_owed() == 0;
  if (in_its_own) run_unseen("BEGIN", out);
  for (const auto& [name, value, is_utf8] : changes) {
    std::string sql = std::string(verb) + name + " TO ";
    if (value) {
      append_literal(*value, sql);
    } else {
      sql += "DEFAULT";
    }
    run_unseen(sql, out);
  }
  if (in_its_own) run_unseen("COMMIT", out);
}

void StatementRelay::run_unseen(std::string_view sql, std::string& out) {
  const std::string name = statements_.names() + "set";
  wire::append_parse(out, name, sql);
  wire::append_bind(out, name, name);
  wire::append_execute(out, name);
  wire::append_close(out, 'P', name);
  wire::append_close(out, 'S', name);
  for (char type : {'P', 'B', 'E', 'C', 'C'})
    if (tracker_.client_sent_marked(type)) mark(Mark::Kind::InjectedSetting);
}

// What SQL's PREPARE has prepared, or the client under its own names. A session's first temporary object
// changes its search path, whereupon PostgreSQL parses statements again; in a process that had temporary
// objects of others before it does not.
bool StatementRelay::plans_may_be_old(Client& client) {
  bool& has_had_some = client.statements.has_had_temporary_objects;
  const bool has_some = has_temporary_objects(client);
  const bool is_first = (makes_temporary_ || has_some) && !has_had_some;
  has_had_some = has_had_some || has_some;
  return is_first && client.watch.has_own_statements() && tracker_.status() != 'E';
}

// The BEGIN and COMMIT are there for a VACUUM behind it.
void StatementRelay::discard_plans(std::string& out) {
  makes_temporary_ = false;
  const bool in_its_own = tracker_.status() == 'I' && !batch_has_run_;
  if (in_its_own) run_unseen("BEGIN", out);
  run_unseen("DISCARD PLANS", out);
  if (in_its_own) run_unseen("COMMIT", out);
}

void StatementRelay::deallocate_all(Client& client) {
  Mark& all = mark(Mark::Kind::DeallocateAll);
  all.client_era = client.statements.begin_era();
  all.server_era = statements_.begin_era();
}

}  // namespace tidepool::session
