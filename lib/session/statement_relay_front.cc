// What is put in front of a client's message, or in its place.
#include "lib/session/statement_relay.h"

#include "lib/session/session_settings.h"
#include "lib/wire/message_writer.h"

namespace tidepool::session {

namespace {

// A Query that fails, for one that is refused.
constexpr std::string_view kNoQuery = "tidepool refuses this statement";

constexpr size_t kLongestKept = size_t{16} * 1024;

// Up to its Sync, and nothing behind it.
bool is_one_batch(base::Bytes bytes) {
  size_t end = 0;
  wire::FrameCursor cursor;
  cursor.walk(bytes, {}, [&](const wire::Message& message) {
    if (message.type != 'S') return wire::Walk::Go;
    end = message.end();
    return wire::Walk::StopAfter;
  });
  return end == bytes.size();
}

}  // namespace

bool StatementRelay::is_unsettling(Mark::Kind kind) {
  using Kind = Mark::Kind;
  return kind != Kind::Bind && kind != Kind::UnnamedParse && kind != Kind::Refusal &&
         kind != Kind::OtherRows && kind != Kind::InjectedSetting && kind != Kind::InjectedDescribe;
}

StatementRelay::Mark& StatementRelay::mark(Mark::Kind kind) {
  if (is_unsettling(kind)) ++unsettled_;
  Mark& fresh = marks_.push();
  fresh.kind = kind;
  return fresh;
}

bool StatementRelay::begin_kept_batch(base::Bytes bytes) {
  const bool may_be_used_first = !bytes.empty() && (bytes.front() == 'B' || bytes.front() == 'D');
  if (!may_be_used_first || bytes.size() > kLongestKept || !tracker_.is_quiet() || tracker_.status() != 'I' ||
      !is_one_batch(bytes))
    return false;
  if (repair_ != Repair::Tried) repair_ = Repair::Possible;
  return true;
}

bool StatementRelay::take_first_of_batch() {
  if (repair_ != Repair::Possible) return false;
  repair_ = Repair::No;
  return true;
}

StatementRelay::Mark& StatementRelay::mark_use(uint32_t number, std::string_view name, bool may_repair) {
  Mark& use = mark(Mark::Kind::Bind);
  use.may_repair = may_repair;
  holds_back_ = holds_back_ || may_repair;
  use.number = number;
  use.name = name;
  return use;
}

void StatementRelay::mark_telling(Mark& described, Mark::Tells tells, const ClientStatements::Entry& entry) {
  described.tells = tells;
  described.entry = entry.number;
  ++telling_;
}

// Of a text that is too long to be waited for: it cannot be refused any more.
void StatementRelay::note_beginning(std::string_view text, Client& client) {
  sql::Options options = client.options;
  options.is_unsure = true;
  static_cast<void>(client.watch.note(sql::classify(text, options), text, client.policy));
  client.watch.note_everything(text);
}

StatementRelay::Pass StatementRelay::refuse(char type, base::Error error, std::string& out) {
  if (type == 'Q')
    wire::append_query(out, kNoQuery);
  else
    wire::append_bind(out, "", kNoStatement);
  if (tracker_.client_sent_marked(type))
    mark(Mark::Kind::Refusal).error = std::make_unique<base::Error>(std::move(error));
  return Pass::Changed;
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
  in.unnamed_traits_before = std::exchange(own.unnamed_traits, {});
}

// The client's unnamed statement: made again if another server has it, or if another client's is here.
void StatementRelay::need_unnamed(Client& client, std::string& out) {
  if (has_unnamed_of(client)) return;
  const std::string& kept = client.statements.unnamed;
  if (!kept.empty()) {
    const std::string& fingerprint = client.statements.unnamed_fingerprint;
    begin_parse_under(fingerprint, client, out);
    {
      const wire::MessageFrame frame(out, 'P');
      out.append(kept);
    }
    tracker_.client_sent_marked('P');
    mark(Mark::Kind::InjectedUnnamed);
    end_parse_under(fingerprint, client, out);
    unnamed_is_here(client);
  } else if (unnamed_of_ != kNobody) {
    inject_close(0, "", out);  // then the server says that there is none
    unnamed_of_ = kNobody;
  }
}

StatementRelay::Mark& StatementRelay::inject_close(uint32_t number, std::string_view name, std::string& out) {
  wire::append_close(out, 'S', name);
  tracker_.client_sent_marked('C');
  Mark& closed = mark(Mark::Kind::InjectedClose);
  closed.number = number;
  return closed;
}

std::string StatementRelay::fingerprint_of(Client& client) {
  std::string fingerprint = client.statements.fingerprint;
  // Under settings that are not known now it is the client's alone.
  if (is_unsure_of_settings(client))
    make_private(std::to_string(client.id) + "." + std::to_string(++last_private_), fingerprint);
  return fingerprint;
}

StatementPtr StatementRelay::share_again(const PreparedStatement& statement, const std::string& parsed_under,
                                         Client& client) {
  const std::string now = literals_in(client.statements.fingerprint);
  const bool is_run_so = literals_in(parsed_under) == now;
  return client.source.share(statement.text, statement.types, parsed_under, is_run_so ? "" : "as " + now);
}

bool StatementRelay::change_settings(ClientStatements::Entry& entry, Client& client) {
  if (entry.is_unsure) return true;  // not yet
  const std::string& before = entry.parsed_under ? *entry.parsed_under : entry.statement->fingerprint;
  if (!is_private(before)) {
    StatementPtr other = share_again(*entry.statement, before, client);
    if (!other) return false;
    entry.statement = std::move(other);
    entry.parsed_under = nullptr;
  }
  entry.settings = client.statements.settings_version();
  return true;
}

// Its number on the server, where it is prepared if need be. 0: there is no memory for it.
uint32_t StatementRelay::need_prepared(ClientStatements::Entry& entry, Client& client, std::string& out) {
  // Where it was prepared it is as it was, whatever the session has SET since; but that another search_path
  // makes PostgreSQL parse it again.
  if (const uint32_t number = statements_.find(*entry.statement)) return number;
  if (entry.parsed_under) {
    StatementPtr known = share_again(*entry.statement, *entry.parsed_under, client);
    if (!known) return 0;
    entry.statement = std::move(known);
    entry.parsed_under = nullptr;
    if (const uint32_t number = statements_.find(*entry.statement)) return number;
  }
  StatementPtr statement = entry.statement;
  const bool is_read_again = is_parsed_again(statement->fingerprint, client.statements.fingerprint);
  // That is for this once. (In a failed transaction it fails.)
  const bool in_its_own_way = is_unsure_of_settings(client) && (is_read_again || tracker_.status() == 'I');
  if (in_its_own_way || is_read_again) {
    const std::string now = fingerprint_of(client);
    statement = client.source.share(statement->text, statement->types,
                                    in_its_own_way ? now : with_letters_of(statement->fingerprint, now), {});
    if (!statement) return 0;
    if (!in_its_own_way) entry.statement = statement;
    if (const uint32_t number = statements_.find(*statement)) return number;
  }
  while (const uint32_t surplus = statements_.take_surplus(client.max_prepared_statements))
    inject_close(surplus, ServerStatements::name_of(surplus), out);
  const uint32_t number = statements_.add(statement);
  if (!in_its_own_way) begin_parse_under(statement->fingerprint, client, out);
  {
    const wire::MessageFrame frame(out, 'P');
    wire::append_cstring(out, ServerStatements::name_of(number));
    wire::append_cstring(out, statement->text);
    out.append(statement->types);
  }
  ++parses_;
  tracker_.client_sent_marked('P');
  mark(Mark::Kind::InjectedParse).number = number;
  if (!in_its_own_way) end_parse_under(statement->fingerprint, client, out);
  return number;
}

// Not the usual case: the copy is not there, or not known to have the rows that the client was told.
StatementRelay::Rows StatementRelay::find_out_rows(std::string_view name, ClientStatements::Entry& entry,
                                                   Client& client, uint32_t& number, std::string& out) {
  if (asked_.number != 0) {  // this is what waited for the answer
    const Asked answer = std::exchange(asked_, {});
    number = answer.number;
    const bool is_as_told = entry.told_shape == RowShape::kUnknown || entry.told_shape == answer.shape;
    return is_as_told ? Rows::Same : Rows::Other;
  }
  const auto* copy = statements_.find_copy(*entry.statement);
  number = copy != nullptr ? copy->number : 0;
  if (entry.told_shape == RowShape::kUnknown) {
    // It may be about to be told, by an answer on its way: of this copy, or of one that had to go meanwhile.
    const uint32_t told_by = copy_that_tells(entry);
    if (told_by == 0 || told_by == number) return Rows::Same;
  } else if (copy != nullptr && copy->shape == entry.told_shape) {
    return Rows::Same;
  }
  // In a failed transaction it fails, unless it has no rows.
  if (copy != nullptr && tracker_.is_quiet() && tracker_.status() == 'E') return Rows::Same;

  // It is prepared anew: what is there may be older than what the client was told, and fail.
  const uint64_t parses_before = parses_;
  number = need_prepared(entry, client, out);
  while (number != 0 && parses_ == parses_before) {
    copy = statements_.of_number(number);
    if (copy != nullptr && copy->shape != RowShape::kUnknown && copy->shape == entry.told_shape)
      return Rows::Same;
    statements_.give_up(number);
    number = need_prepared(entry, client, out);
  }
  if (number == 0) return Rows::Same;  // no memory: it will be refused
  ask_for_rows(number, name, out);
  wire::append_flush(out);
  asked_ = {number, RowShape::kUnknown};
  take_first_of_batch();
  return Rows::Asked;
}

// The number of the copy whose description is on its way to the client for this statement. 0: none is.
uint32_t StatementRelay::copy_that_tells(const ClientStatements::Entry& entry) {
  if (telling_ == 0) return 0;
  for (size_t i = marks_.size(); i-- > 0;)
    if (marks_[i].entry == entry.number) return marks_[i].number;
  return rest_.entry == entry.number ? rest_.number : 0;
}

// What the rows of the copy look like; the client does not hear the answer.
void StatementRelay::ask_for_rows(uint32_t number, std::string_view name, std::string& out) {
  wire::append_describe(out, 'S', ServerStatements::name_of(number));
  if (!tracker_.client_sent_marked('D')) return;
  Mark& asked = mark(Mark::Kind::InjectedDescribe);
  asked.number = number;
  asked.name = name;
}

// A text is parsed again under the settings of its first Parse. By SET, which has no rows and needs no
// snapshot: the client's own transaction does not notice, and what a failure takes back of it, it takes back
// of both. Where the settings of the moment are not known, a savepoint takes them back.
void StatementRelay::begin_parse_under(const std::string& fingerprint, Client& client, std::string& out) {
  if (!is_unsure_of_settings(client))
    return set_for_parse(client.statements.fingerprint, fingerprint, "SET ", out);
  if (tracker_.status() != 'T') return;
  run_unseen("SAVEPOINT tidepool", out);
  set_for_parse({}, fingerprint, "SET LOCAL ", out);
}

void StatementRelay::end_parse_under(const std::string& fingerprint, Client& client, std::string& out) {
  if (!is_unsure_of_settings(client))
    return set_for_parse(fingerprint, client.statements.fingerprint, "SET ", out);
  if (tracker_.status() != 'T') return;
  run_unseen("ROLLBACK TO SAVEPOINT tidepool", out);
  run_unseen("RELEASE SAVEPOINT tidepool", out);
}

// `from` without storage: whatever it is.
void StatementRelay::set_for_parse(std::string_view from, std::string_view to, std::string_view verb,
                                   std::string& out) {
  for (const auto& [name, value, is_utf8] : parse_settings_between(from, to)) {
    std::string sql = std::string(verb) + name + " TO ";
    if (value) {
      append_literal(*value, sql);
    } else {
      sql += "DEFAULT";
    }
    run_unseen(sql, out);
  }
}

void StatementRelay::run_unseen(std::string_view sql, std::string& out) {
  constexpr std::string_view kName = "tidepool sets what a text means";
  wire::append_parse(out, kName, sql);
  wire::append_bind(out, kName, kName);
  wire::append_execute(out, kName);
  wire::append_close(out, 'P', kName);
  wire::append_close(out, 'S', kName);
  for (char type : {'P', 'B', 'E', 'C', 'C'})
    if (tracker_.client_sent_marked(type)) mark(Mark::Kind::InjectedSetting);
}

void StatementRelay::deallocate_all(Client& client) {
  Mark& all = mark(Mark::Kind::DeallocateAll);
  all.client_era = client.statements.begin_era();
  all.server_era = statements_.begin_era();
  bound_ = nullptr;
}

}  // namespace tidepool::session
