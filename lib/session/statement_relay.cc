// What the client says.
#include "lib/session/statement_relay.h"

#include <algorithm>

#include "lib/base/ascii.h"
#include "lib/session/function_call.h"
#include "lib/session/session_settings.h"
#include "lib/wire/message_reader.h"
#include "lib/wire/message_writer.h"

namespace tidepool::session {

using base::until_nul;
using sql::Trait;

namespace {

// An unnamed statement is kept up to this length, so that it can be used again on another server.
constexpr size_t kLongestUnnamed = size_t{8} * 1024;

const base::Error kTooManyStatements{
    "53200", "out of memory", "The prepared statements of this pool's clients take too much memory.", ""};

base::Error no_such_statement(std::string_view name) {
  return {"26000", "prepared statement \"" + std::string(name) + "\" does not exist"};
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
      if (body.find('\0', portal + 1) != base::Bytes::npos) return true;
      break;
    }
    case 'P':
    case 'Q':
    case 'D':
    case 'C':
      break;
    case 'F':
      return is_enough_of_function_call(body, body_size, kLongestWhole);
    default:
      return true;
  }
  return body.size() >= std::min(body_size, kLongestWhole);
}

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
  if ((sets_locally_ || changes_letters_ || statements_.has_doubtful()) && tracker_.is_quiet() &&
      tracker_.status() == 'I') {
    sets_locally_ = sets_literals_locally_ = changes_letters_ = false;
    statements_.give_up_doubtful();
  }
  if (syncs_after_error_ && tracker_.is_quiet()) syncs_after_error_ = false;
  if (syncs_after_error_) return Pass::Wait;
  if ((type == 'P' || type == 'B' || type == 'D') && is_behind_settings(client)) return Pass::Wait;
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
      bound_ = nullptr;
      resets_ = resets_ || std::exchange(bound_resets_, false);
      if (std::exchange(execute_deallocates_, false) && tracker_.client_sent_marked(type)) {
        deallocate_all(client);
        return Pass::AsItIs;
      }
      return as_it_is(type);
    case 'Q':
      return query(message, client, out);
    case 'F':
      note_function_call(message.body, client.watch);
      changes_letters_ = true;
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

StatementRelay::Pass StatementRelay::as_it_is(char type) {
  tracker_.client_sent(type);
  return Pass::AsItIs;
}

StatementRelay::Pass StatementRelay::parse(const wire::Message& message, Client& client, std::string& out) {
  wire::FieldReader fields(message.body);
  const std::string_view name = fields.cstring();
  const std::string_view text = fields.cstring();
  const base::Bytes types = fields.rest();
  const bool is_whole = message.is_whole();
  if (is_whole && !fields.ok()) return as_it_is('P');  // it will not do for the server either
  if (name.empty()) return parse_unnamed(message, is_whole ? text : std::string_view(), client, out);
  if (must_wait() || must_know_letters(text)) return Pass::Wait;

  // Under its own name, which is one with those of SQL's PREPARE.
  const bool may_be_own = client.watch.has_own_statements() && !name.starts_with(ServerStatements::kPrefix);
  if (!is_whole || client.max_prepared_statements == 0 ||
      (may_be_own && client.statements.find(name) == nullptr)) {
    client.watch.note_own_statement(is_whole ? text : "a long statement");
    if (!is_whole)
      note_beginning(until_nul(message.body.substr(name.size() + 1)), client);
    else if (auto error = client.watch.note(classify(text, client), text, client.policy))
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
  StatementPtr statement = client.source.share(text, types, fingerprint_of(client), {});
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
  if (client.watch.asks_settings_of_texts()) client.statements.is_unsure_of(*client.statements.find(name));
  return Pass::Changed;
}

StatementRelay::Pass StatementRelay::parse_unnamed(const wire::Message& message, std::string_view text,
                                                   Client& client, std::string& out) {
  ClientStatements& own = client.statements;
  const bool is_whole = text.data() != nullptr;
  // Many clients say the same again and again, and most of it leaves nothing.
  const bool is_harmless = is_whole && own.unnamed_is_read && !is_unsure_of_letters() &&
                           own.unnamed_traits.is_empty() && own.unnamed == message.body;
  sql::StatementTraits traits;
  if (must_know_letters(text)) return Pass::Wait;
  if (is_whole && !is_harmless) traits = classify(text, client);
  if (auto error = client.watch.note(traits, text, client.policy)) return refuse('B', std::move(*error), out);
  if (!is_whole) {
    note_beginning(until_nul(message.body.substr(1)), client);
    traits.raise(Trait::Unreadable);
  }

  // DEALLOCATE of a name of the client's: it must be there under ours.
  uint32_t deallocates = 0;
  std::optional<ClientStatements::Entry> deallocated;
  std::string_view deallocated_name;
  if (is_whole && is_deallocate(text, traits, true)) {
    const auto& named = traits.named_statements.front();
    if (must_wait()) return Pass::Wait;
    if (auto* entry = own.find(named.name)) {
      deallocates = need_prepared(*entry, client, out);
      if (deallocates == 0) return refuse('B', kTooManyStatements, out);
      append_renamed(message, text.substr(named.at, named.size), ServerStatements::name_of(deallocates), out);
      deallocated_name = named.name;
      deallocated = own.take(named.name);
      bound_ = nullptr;
      statements_.remove(deallocates);
    }
  }
  const bool may_be_skipped = tracker_.batch_is_open();
  tracker_.client_sent_marked('P');
  Mark& parsed = mark(Mark::Kind::UnnamedParse);
  if (deallocates != 0) {
    if (!deallocated_name.empty()) ++unsettled_;
    parsed.deallocates = deallocates;
    parsed.name = deallocated_name;
    parsed.before = std::move(deallocated);
  }
  parsed.number = ++last_unnamed_;
  if (may_be_skipped) keep_unnamed(client, parsed);
  own.unnamed_is_long = !is_whole || message.body.size() > kLongestUnnamed;
  if (own.unnamed_is_long)
    own.unnamed.clear();
  else if (own.unnamed != message.body)
    own.unnamed = message.body;
  own.unnamed_traits = std::move(traits);
  own.unnamed_is_read = is_whole && !own.unnamed_is_long && !is_unsure_of_letters();
  if (own.unnamed_fingerprint != own.fingerprint) own.unnamed_fingerprint = own.fingerprint;
  own.unnamed_is_unsure = client.watch.asks_settings_of_texts();
  own.unnamed_changed();
  unnamed_is_noted_ = true;
  unnamed_is_here(client);
  return deallocates != 0 ? Pass::Changed : Pass::AsItIs;
}

StatementRelay::Pass StatementRelay::bind(const wire::Message& message, Client& client, std::string& out) {
  wire::FieldReader fields(message.body);
  const std::string_view portal = fields.cstring();
  const std::string_view name = fields.cstring();
  if (!fields.ok()) return as_it_is('B');  // it will not do for the server either
  if (must_wait()) return Pass::Wait;
  const bool is_whole = message.is_whole();
  if (name.empty() && must_wait_for_unnamed()) return Pass::Wait;
  auto* entry = name.empty() ? nullptr : client.statements.find(name);
  if (entry == nullptr) take_first_of_batch();
  if (entry == nullptr && !name.empty()) {
    if (!name.starts_with(ServerStatements::kPrefix)) return as_it_is('B');
    return refuse_use(message, name, no_such_statement(name), out);  // names of ours are nobody's
  }

  if (entry != nullptr && !mind_settings(*entry, client))
    return refuse_use(message, name, kTooManyStatements, out);
  if (entry != nullptr && must_know_status(*entry->statement, client)) return Pass::Wait;
  const auto& traits = entry != nullptr ? entry->statement->traits : client.statements.unnamed_traits;
  // The name of a setting is among the parameters.
  if (!traits.setting_parameters.empty() && !is_whole && message.size <= kLongestWhole)
    return Pass::NeedsMore;
  uint32_t number = 0;
  if (entry != nullptr) {
    const Rows rows = compare_rows(name, *entry, client, number, out);
    if (rows == Rows::Asked) return Pass::Wait;
    if (rows == Rows::Other) return refuse_use(message, name, std::nullopt, out);
  }
  const size_t size_before = out.size();
  const std::string_view text =
      entry != nullptr ? std::string_view(entry->statement->text) : client.statements.text_of_unnamed();
  if (!traits.is_empty()) {
    see_local_settings(traits, traits.has_any({Trait::Dynamic, Trait::Unreadable}));
    need_own_sequences(traits, client, out);
    // The unnamed one was noted at its Parse, unless that was in an earlier batch: the server may have been
    // asked since.
    if (entry != nullptr || !unnamed_is_noted_)
      if (auto error = client.watch.note(traits, text, client.policy))
        return refuse_use(message, name, std::move(error), out);
    execute_deallocates_ = traits.has(Trait::DeallocateAll) || traits.has(Trait::DiscardAll);
    see_discard(traits);
    bound_resets_ = traits.has(Trait::ResetsSetting);
    if (!traits.setting_parameters.empty() &&
        !(is_whole && each_parameter(message.body, traits.setting_parameters, [&](base::Bytes value) {
            client.watch.note_setting(base::lower(value), text);
          }))) {
      client.watch.note_everything(text);
      client.watch.note_pin(Pin::Setting, text);
    }
  }
  bound_ = entry;
  if (entry == nullptr) {
    need_unnamed(client, out);
    tracker_.client_sent('B');
    if (out.size() == size_before) return Pass::AsItIs;
    append_renamed(message, name, name, out);
    return Pass::Changed;
  }
  const bool is_told = entry->told_shape != RowShape::kUnknown;
  const bool may_repair = take_first_of_batch() && !is_told;
  if (number == 0) number = need_prepared(*entry, client, out);
  if (number == 0) return refuse_use(message, name, kTooManyStatements, out);
  note_use(number, client);
  bound_number_ = number;
  if (!is_told) {
    bound_portal_ = portal;
    bound_name_ = name;
  }
  append_renamed(message, name, ServerStatements::name_of(number), out);
  if (tracker_.client_sent_marked('B')) mark_use(number, name, may_repair);
  return Pass::Changed;
}

// A Bind or Describe, whose rest may be on its way still: under a name that nobody has it fails. Without an
// error of its own its rows are others than the client was told.
StatementRelay::Pass StatementRelay::refuse_use(const wire::Message& message, std::string_view name,
                                                std::optional<base::Error> error, std::string& out) {
  bound_ = nullptr;
  append_renamed(message, name, kNoStatement, out);
  if (!tracker_.client_sent_marked(message.type)) return Pass::Changed;
  if (error)
    mark(Mark::Kind::Refusal).error = std::make_unique<base::Error>(std::move(*error));
  else
    mark(Mark::Kind::OtherRows);
  return Pass::Changed;
}

StatementRelay::Pass StatementRelay::describe(const wire::Message& message, Client& client,
                                              std::string& out) {
  if (message.body.empty() || message.body.front() != 'S') return describe_portal(message, out);
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
  if (!mind_settings(*entry, client)) return refuse_use(message, name, kTooManyStatements, out);
  if (must_know_status(*entry->statement, client)) return Pass::Wait;
  uint32_t number = 0;
  const Rows rows = compare_rows(name, *entry, client, number, out);
  if (rows == Rows::Asked) return Pass::Wait;
  if (rows == Rows::Other) return refuse_use(message, name, std::nullopt, out);
  const bool is_told = entry->told_shape != RowShape::kUnknown;
  const bool may_repair = take_first_of_batch() && !is_told;
  if (number == 0) number = need_prepared(*entry, client, out);
  if (number == 0) return refuse('B', kTooManyStatements, out);
  note_use(number, client);
  append_renamed(message, name, ServerStatements::name_of(number), out);
  if (tracker_.client_sent_marked('D')) {
    Mark& described = mark_use(number, name, may_repair);
    if (!is_told) mark_telling(described, Mark::Tells::OfStatement, *entry);
  }
  return Pass::Changed;
}

// The first one of a statement tells the client what its rows look like. What can be compared is a
// description of the statement itself, which is asked for in front if it is not known yet.
StatementRelay::Pass StatementRelay::describe_portal(const wire::Message& message, std::string& out) {
  take_first_of_batch();
  if (bound_ == nullptr || bound_->told_shape != RowShape::kUnknown || message.body.empty())
    return as_it_is('D');
  const std::string_view portal = until_nul(message.body.substr(1));
  const auto* copy = portal == bound_portal_ ? statements_.of_number(bound_number_) : nullptr;
  if (copy == nullptr) return as_it_is('D');
  const bool is_known = copy->shape != RowShape::kUnknown;
  if (!is_known) {
    ask_for_rows(bound_number_, bound_name_, out);
    append_renamed(message, portal, portal, out);
  }
  if (tracker_.client_sent_marked('D'))
    mark_telling(mark_use(bound_number_, bound_name_, false), Mark::Tells::OfPortal, *bound_);
  return is_known ? Pass::AsItIs : Pass::Changed;
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
  const bool is_whole = message.is_whole();
  const std::string_view text = until_nul(message.body);
  if (must_know_letters(text)) return Pass::Wait;
  const auto traits = is_whole ? classify(text, client) : sql::StatementTraits();
  if (!is_whole) note_beginning(text, client);
  const bool deallocates = traits.has(Trait::DeallocateAll) || traits.has(Trait::DiscardAll);
  const bool names = !traits.named_statements.empty();
  if ((deallocates || names) && must_wait()) return Pass::Wait;
  if (names && is_behind_settings(client)) return Pass::Wait;
  if (tracker_.ready_owed() > 0 && needs_own_sequences(traits, client)) return Pass::Wait;
  if (auto error = client.watch.note(traits, text, client.policy)) return refuse('Q', std::move(*error), out);
  ++last_unnamed_;
  client.statements.unnamed.clear();
  client.statements.unnamed_changed();
  client.statements.unnamed_is_long = false;
  unnamed_of_ = tracker_.batch_is_open() ? kSomebody : kNobody;  // it may be skipped behind an error
  bound_ = nullptr;
  resets_ = traits.has(Trait::ResetsSetting);
  see_local_settings(traits, false);
  if (traits.is_empty()) return as_it_is('Q');

  if (deallocates && tracker_.client_sent_marked('Q')) {
    deallocate_all(client);
    return Pass::AsItIs;
  }
  see_discard(traits);
  const size_t size_before = out.size();
  // If a Parse in front of it fails, it is skipped like everything up to a Sync, which the client will not
  // send.
  const auto syncs_if_in_front = [&] {
    syncs_after_error_ = syncs_after_error_ || out.size() != size_before;
  };
  need_own_sequences(traits, client, out);
  if (is_deallocate(text, traits, false)) {
    const auto& named = traits.named_statements.front();
    if (client.statements.find(named.name) != nullptr && tracker_.client_sent_marked('Q')) {
      // The server need not have it. In a failed transaction this fails as the client's own would.
      const std::string other = ServerStatements::name_of(statements_.fresh_number());
      std::string changed = "PREPARE " + other + " AS SELECT 1; ";
      changed.append(text.substr(0, named.at)).append(other).append(text.substr(named.at + named.size));
      syncs_if_in_front();
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
    uint32_t used = 0;  // the first, of which an error is told under the client's name
    std::string_view used_as;
    for (size_t i = traits.named_statements.size(); i-- > 0;) {
      const auto& named = traits.named_statements[i];
      auto* entry = client.statements.find(named.name);
      const bool is_known = entry != nullptr && mind_settings(*entry, client);
      const uint32_t number = is_known ? need_prepared(*entry, client, out) : 0;
      if (number == 0) continue;
      note_use(number, client);
      changed.replace(named.at, named.size, ServerStatements::name_of(number));
      used = number;
      used_as = named.name;
    }
    if (changed != text) {
      syncs_if_in_front();
      wire::append_query(out, changed);
      if (tracker_.client_sent_marked('Q')) mark_use(used, used_as, false);
      return Pass::Changed;
    }
  }
  if (out.size() == size_before) return as_it_is('Q');
  syncs_if_in_front();
  append_renamed(message, text, text, out);
  tracker_.client_sent('Q');
  return Pass::Changed;
}

}  // namespace tidepool::session
