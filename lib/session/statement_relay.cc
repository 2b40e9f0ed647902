#include "lib/session/statement_relay.h"

#include <algorithm>

#include "lib/base/ascii.h"
#include "lib/session/session_settings.h"
#include "lib/wire/message_reader.h"
#include "lib/wire/message_writer.h"

namespace tidepool::session {

using sql::Trait;

namespace {

// Nobody prepares a statement of this name.
constexpr std::string_view kNoStatement = "tidepool: this statement is refused";
// A Query that fails, for one that is refused.
constexpr std::string_view kNoQuery = "tidepool refuses this statement";
// An unnamed statement is kept up to this length, so that it can be used again on another server.
constexpr size_t kLongestUnnamed = size_t{8} * 1024;

const base::Error kTooManyStatements{
    "53200", "out of memory", "The prepared statements of this pool's clients take too much memory.", ""};

base::Error no_such_statement(std::string_view name) {
  return {"26000", "prepared statement \"" + std::string(name) + "\" does not exist"};
}

std::string_view until_nul(base::Bytes bytes) {
  return bytes.substr(0, bytes.find('\0'));
}

// A message as the client sent it, or what is here of it, with another name in the place of `name`, which is
// a view of its body.
void append_renamed(const wire::Message& message, std::string_view name, std::string_view other,
                    std::string& out) {
  const auto at = static_cast<size_t>(name.data() - message.body.data());
  out.push_back(message.type);
  base::append_u32(out, static_cast<uint32_t>(message.size - 1 - name.size() + other.size()));
  out.append(message.body.substr(0, at)).append(other).append(message.body.substr(at + name.size()));
}

std::string_view field_of_error(base::Bytes body, char wanted) {
  wire::FieldReader fields(body);
  while (fields.ok() && !fields.at_end()) {
    const char letter = fields.byte();
    if (letter == '\0') break;
    const std::string_view value = fields.cstring();
    if (letter == wanted) return value;
  }
  return {};
}

// The error with the client's name for the statement in place of ours.
void append_renamed_error(base::Bytes body, const std::string& ours, std::string_view name,
                          std::string& out) {
  const wire::MessageFrame frame(out, 'E');
  wire::FieldReader fields(body);
  while (fields.ok() && !fields.at_end()) {
    const char letter = fields.byte();
    if (letter == '\0') break;
    std::string value(fields.cstring());
    if (const size_t at = letter == 'M' ? value.find(ours) : std::string::npos; at != std::string::npos)
      value.replace(at, ours.size(), name);
    out.push_back(letter);
    wire::append_cstring(out, value);
  }
  out.push_back('\0');
}

bool is_blank(char c) {
  return c == ' ' || (c >= '\t' && c <= '\r') || c == ';';
}

// Whether `text` ends with `word` (in lower case), blanks behind it aside; takes both off.
bool take_last_word(std::string_view& text, std::string_view word) {
  while (!text.empty() && is_blank(text.back())) text.remove_suffix(1);
  if (text.size() < word.size() || !base::same_letters(text.substr(text.size() - word.size()), word))
    return false;
  text.remove_suffix(word.size());
  return true;
}

// The one statement that the text names is the object of a DEALLOCATE. `alone`: it must be all that the text
// is.
bool is_deallocate(std::string_view text, const sql::StatementTraits& traits, bool alone) {
  if (traits.named_statements.size() != 1) return false;
  const auto& named = traits.named_statements.front();
  std::string_view before = text.substr(0, named.at);
  take_last_word(before, "prepare");
  if (!take_last_word(before, "deallocate")) return false;
  const std::string_view behind = text.substr(named.at + named.size);
  return !alone || (std::all_of(before.begin(), before.end(), is_blank) &&
                    std::all_of(behind.begin(), behind.end(), is_blank));
}

// The values of a set_config's name that travel as parameters of a Bind. False: they cannot be read.
template <class Visitor>
bool each_parameter(base::Bytes bind, const std::vector<uint16_t>& wanted, Visitor&& visit) {
  wire::FieldReader fields(bind);
  fields.cstring();
  fields.cstring();
  for (uint16_t formats = fields.u16(); formats > 0 && fields.ok(); --formats) fields.u16();
  const uint16_t count = fields.u16();
  for (uint16_t i = 1; i <= count && fields.ok(); ++i) {
    const auto size = static_cast<int32_t>(fields.u32());
    const base::Bytes value = size < 0 ? base::Bytes() : fields.bytes(static_cast<size_t>(size));
    if (fields.ok() && std::find(wanted.begin(), wanted.end(), i) != wanted.end()) visit(value);
  }
  return fields.ok();
}

}  // namespace

bool StatementRelay::is_enough(char type, base::Bytes body, size_t body_size) {
  switch (type) {
    case 'B': {
      const size_t portal = body.find('\0');
      if (portal == base::Bytes::npos) break;
      const size_t end = body.find('\0', portal + 1);
      // One of ours is refused, which a Bind that is half on its way cannot be.
      if (end != base::Bytes::npos && !body.substr(portal + 1).starts_with(ServerStatements::kPrefix))
        return true;
      break;
    }
    case 'P':
    case 'Q':
    case 'D':
    case 'C':
      break;
    default:
      return true;
  }
  return body.size() >= std::min(body_size, kLongestWhole);
}

// -- What the client says -------------------------------------------------------------------------

StatementRelay::Pass StatementRelay::client_sent(const wire::Message& message, Client& client,
                                                 std::string& out) {
  const char type = message.type;
  if (tracker_.skips_to_sync() && type != 'S') return as_it_is(type);  // the server ignores it
  if (holds_back_) {
    if (tracker_.ready_owed() > 0) return Pass::Wait;
    holds_back_ = !tracker_.is_quiet();
  }
  if (resets_) {
    const bool is_answered = tracker_.is_quiet();
    if (!is_answered && !tracker_.batch_is_open() && type != 'd' && type != 'c' && type != 'f' && type != 'S')
      return Pass::Wait;
    resets_ = !is_answered;
  }
  if (type != 'B' && type != 'D') take_first_of_batch();
  if (sets_locally_ && tracker_.is_quiet() && tracker_.status() == 'I') sets_locally_ = false;
  if (syncs_after_error_ && tracker_.is_quiet()) syncs_after_error_ = false;
  if (syncs_after_error_) return Pass::Wait;
  switch (type) {
    case 'P':
      return parse(message, client, out);
    case 'B':
      return bind(message, client, out);
    case 'D':
      return describe(message, client, out);
    case 'C':
      return close(message, client, out);
    case 'E':
      resets_ = resets_ || std::exchange(bound_resets_, false);
      if (std::exchange(execute_deallocates_, false) && tracker_.client_sent_marked(type)) {
        deallocate_all(client);
        return Pass::AsItIs;
      }
      return as_it_is(type);
    case 'Q':
      return query(message, client, out);
    case 'F':
      client.watch.note_everything("a FunctionCall message", false);
      return as_it_is(type);
    case 'H':
      flushes_ = true;
      return as_it_is(type);
    case 'S':
      bound_ = nullptr;
      execute_deallocates_ = bound_resets_ = unnamed_is_noted_ = false;
      return as_it_is(type);
    default:
      return as_it_is(type);
  }
}

// What another client's nextval has left must not be seen: DISCARD SEQUENCES in front of the first currval or
// lastval, unless the session may have values of its own there.
void StatementRelay::need_own_sequences(const sql::StatementTraits& traits, Client& client,
                                        std::string& out) {
  const bool names =
      traits.has(Trait::NamesCurrentValue) && !advanced_ && (client.watch.pins() & bit(Pin::Sequence)) == 0;
  advanced_ = advanced_ || traits.has_any({Trait::NamesCurrentValue, Trait::MayAdvance});
  if (names) run_unseen("DISCARD SEQUENCES", out);
}

StatementRelay::Pass StatementRelay::as_it_is(char type) {
  tracker_.client_sent(type);
  return Pass::AsItIs;
}

StatementRelay::Pass StatementRelay::parse(const wire::Message& message, Client& client, std::string& out) {
  wire::FieldReader fields(message.body);
  const std::string_view name = fields.cstring();
  const std::string_view text = fields.cstring();
  const base::Bytes types = fields.rest();
  const bool is_whole = message.body.size() + wire::kHeaderSize == message.size;
  if (is_whole && !fields.ok()) return as_it_is('P');  // it will not do for the server either
  if (name.empty()) return parse_unnamed(message, is_whole ? text : std::string_view(), client, out);
  if (must_wait()) return Pass::Wait;

  // Under its own name, which is one with those of SQL's PREPARE.
  const bool may_be_own = client.watch.has_own_statements() && !name.starts_with(ServerStatements::kPrefix);
  if (!is_whole || client.max_prepared_statements == 0 ||
      (may_be_own && client.statements.find(name) == nullptr)) {
    client.watch.note_own_statement(is_whole ? text : "a long statement");
    if (!is_whole)
      note_beginning(until_nul(message.body.substr(name.size() + 1)), client);
    else if (auto error = client.watch.note(sql::classify(text, client.options), text, client.policy))
      return refuse('B', std::move(*error), out);
    return as_it_is('P');
  }
  if (auto* entry = client.statements.find(name)) {
    // PostgreSQL is to say that there is one: if it is not here, anything under a name of ours will do.
    uint32_t number = statements_.find(*entry->statement);
    if (number == 0) {
      number = statements_.fresh_number();
      wire::append_parse(out, ServerStatements::name_of(number), "ROLLBACK");
      tracker_.client_sent_marked('P');
      mark(Mark::Kind::InjectedParse).number = number;
      statements_.unwanted.push_back(number);
    }
    append_renamed(message, name, ServerStatements::name_of(number), out);
    tracker_.client_sent_marked('P');
    Mark& duplicate = mark(Mark::Kind::DuplicateParse);
    duplicate.number = number;
    duplicate.name = name;
    return Pass::Changed;
  }
  StatementPtr statement = client.source.share(text, types, fingerprint_of(client));
  if (!statement || !client.statements.has_room_for(name)) return refuse('B', kTooManyStatements, out);
  if (auto error = client.watch.note(statement->traits, text, client.policy))
    return refuse('B', std::move(*error), out);

  // In a failed transaction a Parse fails, which only the server can say.
  uint32_t number = statements_.find(*statement);
  const bool is_there = number != 0;
  if (is_there && tracker_.ready_owed() > 0) return Pass::Wait;
  Mark::Kind kind = Mark::Kind::ClientParse;
  if (is_there && tracker_.status() != 'E') {
    tracker_.note_fake();
    kind = Mark::Kind::FakeParse;
  } else {
    while (const uint32_t surplus = statements_.take_surplus(client.max_prepared_statements))
      inject_close(surplus, ServerStatements::name_of(surplus), out);
    number = statements_.add(statement);
    append_renamed(message, name, ServerStatements::name_of(number), out);
    tracker_.client_sent_marked('P');
    ++parses_;
  }
  Mark& parsed = mark(kind);
  parsed.number = number;
  parsed.name = name;
  parsed.before = client.statements.take(name);  // of an era that is about to end, if of any
  client.statements.set(name, std::move(statement));
  if (client.watch.asks_settings()) client.statements.is_unsure_of(*client.statements.find(name));
  return Pass::Changed;
}

StatementRelay::Pass StatementRelay::parse_unnamed(const wire::Message& message, std::string_view text,
                                                   Client& client, std::string& out) {
  ClientStatements& own = client.statements;
  const bool is_whole = text.data() != nullptr;
  sql::StatementTraits traits;
  if (is_whole) traits = sql::classify(text, client.options);
  if (auto error = client.watch.note(traits, text, client.policy)) return refuse('B', std::move(*error), out);
  if (!is_whole) {
    note_beginning(until_nul(message.body.substr(1)), client);
    traits.raise(Trait::Unreadable);
  }

  // DEALLOCATE of a name of the client's: it must be there under ours.
  Mark undo;
  bool is_changed = false;
  if (is_whole && is_deallocate(text, traits, true)) {
    const auto& named = traits.named_statements.front();
    if (must_wait()) return Pass::Wait;
    if (auto* entry = own.find(named.name)) {
      undo.number = need_prepared(*entry, client, out);
      if (undo.number == 0) return refuse('B', kTooManyStatements, out);
      append_renamed(message, text.substr(named.at, named.size), ServerStatements::name_of(undo.number), out);
      undo.name = named.name;
      undo.before = own.take(named.name);
      bound_ = nullptr;
      statements_.remove(undo.number);
      is_changed = true;
    }
  }
  const bool may_be_skipped = tracker_.batch_is_open();
  tracker_.client_sent_marked('P');
  Mark& parsed = mark(Mark::Kind::UnnamedParse);
  if (!undo.name.empty()) ++unsettled_;
  parsed.name = undo.name;
  parsed.before = std::move(undo.before);
  parsed.number = ++last_unnamed_;
  if (may_be_skipped) keep_unnamed(client, parsed);
  own.unnamed_is_long = !is_whole || message.body.size() > kLongestUnnamed;
  if (own.unnamed_is_long)
    own.unnamed.clear();
  else if (own.unnamed != message.body)
    own.unnamed = message.body;
  own.unnamed_traits = std::move(traits);
  if (own.unnamed_fingerprint != own.fingerprint) own.unnamed_fingerprint = own.fingerprint;
  own.unnamed_is_unsure = client.watch.asks_settings();
  own.unnamed_changed();
  unnamed_is_noted_ = true;
  unnamed_is_here(client);
  return is_changed ? Pass::Changed : Pass::AsItIs;
}

StatementRelay::Pass StatementRelay::bind(const wire::Message& message, Client& client, std::string& out) {
  wire::FieldReader fields(message.body);
  fields.cstring();
  const std::string_view name = fields.cstring();
  if (!fields.ok()) return as_it_is('B');  // it will not do for the server either
  if (must_wait()) return Pass::Wait;
  const bool is_whole = message.body.size() + wire::kHeaderSize == message.size;
  if (name.empty() && must_wait_for_unnamed()) return Pass::Wait;
  auto* entry = name.empty() ? nullptr : client.statements.find(name);
  if (entry == nullptr) take_first_of_batch();
  if (entry == nullptr && !name.empty()) {
    if (!name.starts_with(ServerStatements::kPrefix)) return as_it_is('B');
    if (is_whole) return refuse('B', no_such_statement(name), out);  // names of ours are nobody's
    append_renamed(message, name, std::string(name) + "?", out);
    tracker_.client_sent('B');
    return Pass::Changed;
  }

  if (entry == nullptr ? must_wait_for_unnamed() : must_know_status(*entry->statement, client))
    return Pass::Wait;
  const size_t size_before = out.size();
  const auto& traits = entry != nullptr ? entry->statement->traits : client.statements.unnamed_traits;
  const std::string_view text =
      entry != nullptr ? std::string_view(entry->statement->text) : client.statements.text_of_unnamed();
  if (!traits.is_empty()) {
    sets_locally_ = sets_locally_ || traits.has_any({Trait::SetsLocally, Trait::Dynamic, Trait::Unreadable});
    need_own_sequences(traits, client, out);
    // Of one that is not all here the rest will pass: it cannot be refused any more. The unnamed one was
    // noted at its Parse, unless that was in an earlier batch: the server may have been asked since.
    if ((entry != nullptr || !unnamed_is_noted_) && is_whole)
      if (auto error = client.watch.note(traits, text, client.policy))
        return refuse('B', std::move(*error), out);
    execute_deallocates_ = traits.has(Trait::DeallocateAll) || traits.has(Trait::DiscardAll);
    bound_resets_ = traits.has(Trait::ResetsSetting);
    if (!traits.setting_parameters.empty() &&
        !(is_whole && each_parameter(message.body, traits.setting_parameters, [&](base::Bytes value) {
            client.watch.note_setting(base::lower(value), text);
          })))
      client.watch.note_everything(text);
  }
  bound_ = entry;
  if (entry == nullptr) {
    need_unnamed(client, out);
    tracker_.client_sent('B');
    if (out.size() == size_before) return Pass::AsItIs;
    append_renamed(message, name, name, out);
    return Pass::Changed;
  }
  const bool may_repair = take_first_of_batch() && !entry->told;
  const uint32_t number = need_prepared(*entry, client, out);
  if (number == 0) return is_whole ? refuse('B', kTooManyStatements, out) : as_it_is('B');
  append_renamed(message, name, ServerStatements::name_of(number), out);
  if (tracker_.client_sent_marked('B')) mark_use(number, name, may_repair);
  return Pass::Changed;
}

StatementRelay::Pass StatementRelay::describe(const wire::Message& message, Client& client,
                                              std::string& out) {
  if (message.body.empty() || message.body.front() != 'S') {
    take_first_of_batch();
    if (bound_ != nullptr) bound_->told = true;
    return as_it_is('D');
  }
  if (must_wait()) return Pass::Wait;
  const std::string_view name = until_nul(message.body.substr(1));
  if (name.empty() && must_wait_for_unnamed()) return Pass::Wait;
  auto* entry = name.empty() ? nullptr : client.statements.find(name);
  if (entry == nullptr) {
    take_first_of_batch();
    const size_t before = out.size();
    if (name.empty()) need_unnamed(client, out);
    if (name.starts_with(ServerStatements::kPrefix)) return refuse('B', no_such_statement(name), out);
    tracker_.client_sent('D');
    if (out.size() == before) return Pass::AsItIs;
    append_renamed(message, name, name, out);
    return Pass::Changed;
  }
  if (must_know_status(*entry->statement, client)) return Pass::Wait;
  const bool may_repair = take_first_of_batch() && !entry->told;
  const uint32_t number = need_prepared(*entry, client, out);
  if (number == 0) return refuse('B', kTooManyStatements, out);
  entry->told = true;
  append_renamed(message, name, ServerStatements::name_of(number), out);
  if (tracker_.client_sent_marked('D')) mark_use(number, name, may_repair);
  return Pass::Changed;
}

StatementRelay::Pass StatementRelay::close(const wire::Message& message, Client& client, std::string&) {
  if (message.body.empty() || message.body.front() != 'S') return as_it_is('C');
  const std::string_view name = until_nul(message.body.substr(1));
  if (name.empty()) {
    ++last_unnamed_;
    if (tracker_.batch_is_open()) {  // it may be skipped
      tracker_.client_sent_marked('C');
      Mark& closed = mark(Mark::Kind::UnnamedParse);
      closed.number = last_unnamed_;
      keep_unnamed(client, closed);
    } else {
      tracker_.client_sent('C');
    }
    client.statements.unnamed.clear();
    client.statements.unnamed_changed();
    unnamed_of_ = kNobody;
    return Pass::AsItIs;
  }
  if (must_wait()) return Pass::Wait;
  const bool is_known = client.statements.find(name) != nullptr;
  if (!is_known && !name.starts_with(ServerStatements::kPrefix)) {
    client.watch.note_own_statement_closed();
    return as_it_is('C');
  }
  tracker_.note_fake();
  Mark& closed = mark(Mark::Kind::FakeClose);
  closed.name = name;
  if (is_known) closed.before = client.statements.take(name);
  bound_ = nullptr;
  return Pass::Changed;
}

StatementRelay::Pass StatementRelay::query(const wire::Message& message, Client& client, std::string& out) {
  const bool is_whole = message.body.size() + wire::kHeaderSize == message.size;
  const std::string_view text = until_nul(message.body);
  sql::StatementTraits traits;
  if (is_whole)
    traits = sql::classify(text, client.options);
  else
    note_beginning(text, client);
  const bool deallocates = traits.has(Trait::DeallocateAll) || traits.has(Trait::DiscardAll);
  if ((deallocates || !traits.named_statements.empty()) && must_wait()) return Pass::Wait;
  if (auto error = client.watch.note(traits, text, client.policy)) return refuse('Q', std::move(*error), out);
  ++last_unnamed_;
  client.statements.unnamed.clear();
  client.statements.unnamed_changed();
  client.statements.unnamed_is_long = false;
  unnamed_of_ = tracker_.batch_is_open() ? kSomebody : kNobody;  // it may be skipped behind an error
  bound_ = nullptr;
  resets_ = traits.has(Trait::ResetsSetting);
  sets_locally_ = sets_locally_ || traits.has(Trait::SetsLocally);

  if (deallocates && tracker_.client_sent_marked('Q')) {
    deallocate_all(client);
    return Pass::AsItIs;
  }
  if (const size_t before = out.size(); !traits.is_empty() && tracker_.ready_owed() == 0) {
    need_own_sequences(traits, client, out);
    if (out.size() != before) {
      syncs_after_error_ = true;
      append_renamed(message, text, text, out);
      tracker_.client_sent('Q');
      return Pass::Changed;
    }
  }
  if (is_deallocate(text, traits, false)) {
    const auto& named = traits.named_statements.front();
    if (client.statements.find(named.name) != nullptr && tracker_.client_sent_marked('Q')) {
      // The server need not have it. In a failed transaction this fails as the client's own would.
      const std::string other = ServerStatements::name_of(statements_.fresh_number());
      std::string changed = "PREPARE " + other + " AS SELECT 1; ";
      changed.append(text.substr(0, named.at)).append(other).append(text.substr(named.at + named.size));
      wire::append_query(out, changed);
      Mark& one = mark(Mark::Kind::DeallocateOne);
      one.name = named.name;
      one.before = client.statements.take(named.name);
      return Pass::Changed;
    }
  }
  if (!traits.named_statements.empty()) {
    // EXECUTE of a statement that was prepared by the protocol, where it is prepared here.
    for (const auto& named : traits.named_statements)
      if (const auto* entry = client.statements.find(named.name); traits.has(Trait::Executes) && entry)
        if (auto error = client.watch.note(entry->statement->traits, text, client.policy))
          return refuse('Q', std::move(*error), out);
    std::string changed(text);
    const size_t before = out.size();
    uint32_t used = 0;  // the first, of which an error is told under the client's name
    std::string_view used_as;
    for (size_t i = traits.named_statements.size(); i-- > 0;) {
      const auto& named = traits.named_statements[i];
      auto* entry = client.statements.find(named.name);
      const uint32_t number = entry != nullptr ? need_prepared(*entry, client, out) : 0;
      if (number == 0) continue;
      changed.replace(named.at, named.size, ServerStatements::name_of(number));
      used = number;
      used_as = named.name;
    }
    if (changed != text) {
      // If a Parse in front of it fails, it is skipped like everything up to a Sync, which the client will
      // not send.
      if (out.size() != before) syncs_after_error_ = true;
      wire::append_query(out, changed);
      if (tracker_.client_sent_marked('Q')) mark_use(used, used_as, false);
      return Pass::Changed;
    }
  }
  return as_it_is('Q');
}

// -- What is put in front of it, or in its place --------------------------------------------------

bool StatementRelay::is_unsettling(Mark::Kind kind) {
  using Kind = Mark::Kind;
  return kind != Kind::Bind && kind != Kind::UnnamedParse && kind != Kind::Refusal &&
         kind != Kind::InjectedSetting;
}

StatementRelay::Mark& StatementRelay::mark(Mark::Kind kind) {
  if (is_unsettling(kind)) ++unsettled_;
  Mark& fresh = marks_.push();
  fresh.kind = kind;
  return fresh;
}

bool StatementRelay::take_first_of_batch() {
  if (repair_ != Repair::Possible) return false;
  repair_ = Repair::No;
  return true;
}

void StatementRelay::mark_use(uint32_t number, std::string_view name, bool may_repair) {
  Mark& use = mark(Mark::Kind::Bind);
  use.may_repair = may_repair;
  holds_back_ = holds_back_ || may_repair;
  use.number = number;
  use.name = name;
}

// Of a text that is too long to be waited for: it cannot be refused any more.
void StatementRelay::note_beginning(std::string_view text, Client& client) {
  static_cast<void>(client.watch.note(sql::classify(text, client.options), text, client.policy));
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
  if (is_unsure_of_settings(client)) {
    fingerprint.append("?").push_back('\0');
    fingerprint.append(std::to_string(client.id) + "." + std::to_string(++last_private_)).push_back('\0');
  }
  return fingerprint;
}

// Its number on the server, where it is prepared if need be. 0: there is no memory for it.
uint32_t StatementRelay::need_prepared(ClientStatements::Entry& entry, Client& client, std::string& out) {
  // Where it was prepared it is as it was, whatever the session has SET since; but that another search_path
  // makes PostgreSQL parse it again.
  if (const uint32_t number = statements_.find(*entry.statement)) return number;
  const auto shared_under = [&](const std::string& fingerprint) {
    return client.source.share(entry.statement->text, entry.statement->types, fingerprint);
  };
  if (entry.parsed_under) {
    StatementPtr known = shared_under(*entry.parsed_under);
    if (!known) return 0;
    entry.statement = std::move(known);
    entry.parsed_under = nullptr;
    if (const uint32_t number = statements_.find(*entry.statement)) return number;
  }
  // That is for this once. (In a failed transaction it fails.)
  const bool in_its_own_way = is_unsure_of_settings(client) && tracker_.status() == 'I';
  StatementPtr statement = entry.statement;
  if (in_its_own_way || is_parsed_again(statement->fingerprint, client.statements.fingerprint)) {
    statement = shared_under(fingerprint_of(client));
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
      sql += "E'";
      for (char c : *value) {
        if (c == '\'' || c == '\\') sql.push_back(c);
        sql.push_back(c);
      }
      sql += "'";
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

// -- What the server says -------------------------------------------------------------------------

StatementRelay::Reply StatementRelay::server_sent(const wire::Message& message, Client& client,
                                                  std::string& before, std::string& instead) {
  tracker_.server_sent(message.type, message.type == 'Z' ? message.body : base::Bytes{});
  const auto& last = tracker_.last();
  if (last.fakes_before > 0) tell_fakes(last.fakes_before, before);
  Reply reply = Reply::Pass;
  if (repair_ == Repair::Running && message.type == 'Z') {
    repair_ = Repair::Due;
    reply = Reply::LeaveOut;
  }
  if (last.is_answer_of_marked && has_marks()) reply = see_answer(marks_.front(), message, client, instead);
  // With an error in a batch those behind it are skipped: they are taken back first, the last before all.
  if (message.type == 'E' && last.ended_marked)
    drop_front(size_t{1} + last.dropped, client.statements, true);
  else if (last.ended_marked)
    settle_front(client.statements);
  else if (last.dropped > 0)
    drop_front(last.dropped, client.statements, false);
  return reply;
}

bool StatementRelay::take_missing_sync(std::string& out) {
  if (!syncs_after_error_ || !tracker_.skips_to_sync()) return false;
  syncs_after_error_ = false;
  wire::append_sync(out);
  tracker_.client_sent('S');
  return true;
}

void StatementRelay::server_paused(std::string& out) {
  tell_fakes(tracker_.take_due_fakes(), out);
}

StatementRelay::Reply StatementRelay::see_answer(Mark& mark, const wire::Message& message, Client& client,
                                                 std::string& instead) {
  using Kind = Mark::Kind;
  if (message.type == 'E') {
    mark.failed = true;
    return see_error(mark, message.body, client, instead);
  }
  switch (mark.kind) {
    case Kind::InjectedParse:
    case Kind::InjectedUnnamed:
    case Kind::InjectedClose:
    case Kind::InjectedSetting:
      return Reply::LeaveOut;
    case Kind::DeallocateAll: {
      const std::string_view tag = message.type == 'C' ? until_nul(message.body) : std::string_view();
      mark.done = mark.done || tag == "DEALLOCATE ALL" || tag == "DISCARD ALL";
      return Reply::Pass;
    }
    case Kind::DeallocateOne:
      if (message.type != 'C') return Reply::Pass;
      if (!std::exchange(mark.prepared, true)) return Reply::LeaveOut;  // ours
      mark.done = mark.done || until_nul(message.body) == "DEALLOCATE";
      return Reply::Pass;
    default:
      return Reply::Pass;
  }
}

StatementRelay::Reply StatementRelay::see_error(Mark& mark, base::Bytes body, Client& client,
                                                std::string& instead) {
  if (wire::read_severity(body) != "ERROR") return Reply::Pass;
  const std::string_view sqlstate = field_of_error(body, 'C');
  switch (mark.kind) {
    case Mark::Kind::Refusal:
      wire::append_error_response(instead, "ERROR", *mark.error);
      return Reply::Replaced;
    case Mark::Kind::Bind:
      // "cached plan must not change result type": this copy will not do any more.
      if (sqlstate == "0A000" && field_of_error(body, 'R') == "RevalidateCachedQuery") {
        statements_.remove(mark.number);
        statements_.unwanted.push_back(mark.number);
        if (mark.may_repair && tracker_.status() == 'I') {
          repair_ = Repair::Running;
          return Reply::LeaveOut;
        }
      }
      // Something has deallocated it that could not be seen.
      if (sqlstate == "26000") {
        statements_.clear();
        client.watch.note_everything("DEALLOCATE");
      }
      break;
    default:
      break;
  }
  if (mark.number == 0 || mark.name.empty()) return Reply::Pass;
  const std::string ours = ServerStatements::name_of(mark.number);
  if (field_of_error(body, 'M').find(ours) == std::string_view::npos) return Reply::Pass;
  append_renamed_error(body, ours, mark.name, instead);
  return Reply::Replaced;
}

void StatementRelay::tell_fakes(uint32_t count, std::string& out) {
  for (; count > 0 && has_marks(); --count) {
    if (marks_.front().kind == Mark::Kind::FakeClose)
      wire::append_close_complete(out);
    else
      wire::append_parse_complete(out);
    pop_mark();
  }
}

void StatementRelay::pop_mark() {
  const Mark& front = marks_.front();
  const bool takes_name = front.kind == Mark::Kind::UnnamedParse && !front.name.empty();
  if (takes_name || is_unsettling(front.kind)) --unsettled_;
  if (front.keeps_unnamed) --unsettled_unnamed_;
  marks_.pop();
}

// The front one's answer is complete.
void StatementRelay::settle_front(ClientStatements& statements) {
  if (!has_marks()) return;
  Mark& mark = marks_.front();
  if (mark.kind == Mark::Kind::DeallocateAll && mark.done) {
    statements.end_era();
    statements_.end_era();
  } else if (mark.kind == Mark::Kind::DeallocateAll ||
             (mark.kind == Mark::Kind::DeallocateOne && !mark.done)) {
    take_back(mark, statements, true);
  }
  pop_mark();
}

// They were skipped, or will never be answered. The last first: each leaves things as it found them.
void StatementRelay::drop_front(size_t count, ClientStatements& statements, bool first_has_run) {
  count = std::min(count, marks_.size());
  for (size_t i = count; i-- > 0;) take_back(marks_[i], statements, first_has_run && i == 0);
  for (; count > 0; --count) pop_mark();
}

// The Parse in front of it failed, and took what had been there along.
void StatementRelay::forget_what_was_replaced(uint32_t number) {
  for (size_t i = 0; i < marks_.size(); ++i) {
    Mark& later = marks_[i];
    if (later.kind != Mark::Kind::UnnamedParse || later.number != number || !later.keeps_unnamed) continue;
    later.unnamed_before.clear();
    later.unnamed_of_before = kSomebody;
  }
}

void StatementRelay::take_back(Mark& mark, ClientStatements& statements, bool has_run) {
  using Kind = Mark::Kind;
  switch (mark.kind) {
    case Kind::ClientParse:
      statements_.remove(mark.number);
      [[fallthrough]];
    case Kind::FakeParse:
      statements.take(mark.name);
      bound_ = nullptr;
      break;
    case Kind::InjectedParse:
      statements_.remove(mark.number);
      return;
    case Kind::InjectedClose:
      if (mark.number != 0)
        statements_.unwanted.push_back(mark.number);
      else
        unnamed_of_ = kSomebody;
      return;
    case Kind::InjectedUnnamed:
      unnamed_of_ = kSomebody;
      return;
    case Kind::UnnamedParse:
      if (mark.number != last_unnamed_) {  // something later has taken its place
        if (has_run) forget_what_was_replaced(mark.number + 1);
        break;
      }
      if (!has_run) --last_unnamed_;
      if (!has_run && mark.keeps_unnamed) {
        statements.unnamed = std::move(mark.unnamed_before);
        statements.unnamed_traits = std::move(mark.unnamed_traits_before);
        statements.unnamed_fingerprint = std::move(mark.unnamed_fingerprint_before);
        statements.unnamed_version = mark.unnamed_version_before;
        unnamed_version_ = mark.unnamed_here_before;
        unnamed_of_ = mark.unnamed_of_before;
      } else {
        statements.unnamed.clear();
        statements.unnamed_changed();
        unnamed_of_ = kSomebody;
      }
      break;
    case Kind::DeallocateAll:
      statements.undo_era(mark.client_era);
      statements_.undo_era(mark.server_era);
      return;
    case Kind::FakeClose:
    case Kind::DeallocateOne:
      break;
    case Kind::Nothing:
    case Kind::InjectedSetting:
    case Kind::DuplicateParse:
    case Kind::Bind:
    case Kind::Refusal:
      return;
  }
  if (mark.before) statements.put(mark.name, std::move(*mark.before));
}

void StatementRelay::take_back(ClientStatements& statements) {
  drop_front(marks_.size(), statements, false);
  bound_ = nullptr;
}

bool StatementRelay::leave() {
  const bool is_known = unsettled_ == 0;
  while (has_marks()) pop_mark();
  bound_ = nullptr;
  execute_deallocates_ = bound_resets_ = resets_ = unnamed_is_noted_ = false;
  repair_ = Repair::No;
  holds_back_ = flushes_ = syncs_after_error_ = sets_locally_ = advanced_ = false;
  return is_known;
}

void StatementRelay::discarded() {
  statements_.clear();
  statements_.end_era();
}

}  // namespace tidepool::session
