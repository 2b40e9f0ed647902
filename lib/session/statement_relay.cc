// What the client says.
#include "lib/session/statement_relay.h"

#include <algorithm>

#include "lib/base/ascii.h"
#include "lib/session/function_call.h"
#include "lib/session/session_settings.h"
#include "lib/session/statement_relay_texts.h"
#include "lib/sql/analysed.h"
#include "lib/wire/message_reader.h"
#include "lib/wire/message_writer.h"

namespace tidepool::session {

using base::until_nul;
using sql::Trait;

namespace {

const base::Error kTooManyStatements{
    "53200", "out of memory", "The prepared statements of this pool's clients take too much memory.", ""};
const base::Error kTooManyOfClient{
    "53200", "out of memory",
    "The prepared statements of this session take more than client_statement_memory.",
    "Close statements that are not needed any more, or raise client_statement_memory."};

// As a Parse names them: none.
constexpr std::string_view kNoParameters{"\0\0", 2};

// What a Parse message says behind the statement's name. Nothing: it cannot be read.
struct ParsedText {
  std::string_view text;
  base::Bytes types;
};
std::optional<ParsedText> read_parse(base::Bytes body) {
  wire::FieldReader fields(body);
  fields.cstring();
  const std::string_view text = fields.cstring();
  if (!fields.ok()) return std::nullopt;
  return ParsedText{text, fields.rest()};
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
  const char type = said_ = message.type;
  if (in_front_ == InFront::Failed && type == 'Q') {  // its answer was the error in front of it
    end_unnamed_by_query(client);
    unnamed_of_ = kSomebody;
    return Pass::Changed;
  }
  if (tracker_.skips_to_sync() && type != 'S') return as_it_is(type);  // the server ignores it
  if (changes_.resets || changes_.name != NameChange::None) {
    const bool is_answered = tracker_.is_quiet();
    if (!is_answered && !tracker_.batch_is_open() && type != 'd' && type != 'c' && type != 'f' && type != 'S')
      return Pass::Wait;
    if (is_answered) changes_ = {};
  }
  if ((sets_locally_ || sets_custom_locally_ || changes_letters_ || changes_objects_ ||
       statements_.has_doubtful()) &&
      tracker_.is_quiet() && tracker_.status() == 'I')
    end_what_lasted_for_the_transaction();
  if (in_front_ == InFront::OfQuery) {
    if (!tracker_.is_quiet()) return Pass::Wait;
    in_front_ = InFront::Nothing;
  }
  if ((type == 'Q' || type == 'B') && plans_may_be_old(client)) {
    if (tracker_.ready_owed() > 0) return Pass::Wait;
    discard_plans(out);
    if (type == 'Q') {
      const Pass pass = query(message, client, out);
      in_front_ = pass == Pass::Wait ? InFront::OfWaitingQuery : InFront::OfQuery;
      return pass;
    }
  }
  const bool is_of_statement = type == 'P' || type == 'B' || type == 'D';
  if (is_of_statement && is_behind_settings(client)) return Pass::Wait;
  if (undescribed_.number != 0 && type != 'D' && !tracker_.skips_to_sync()) describe_unseen(out);
  if (is_of_statement && statements_.has_unwanted() && !tracker_.batch_is_open()) close_unwanted(client, out);
  switch (type) {
    case 'P':
      return parse(message, client, out);
    case 'B':
      if (!tracker_.batch_is_open()) changes_ = {};
      batch_binds_ = true;
      return bind(message, client, out);
    case 'D':
      return describe(message, client, out);
    case 'C':
      return close(message, client);
    case 'E':
      batch_binds_ = batch_has_run_ = true;
      changes_.resets = changes_.resets || bound_changes_.resets;
      if (bound_changes_.name != NameChange::None) changes_.name = bound_changes_.name;
      bound_changes_ = {};
      if (std::exchange(execute_deallocates_all_, false) && tracker_.client_sent_marked(type)) {
        deallocate_all(client);
        return Pass::AsItIs;
      }
      if (execute_deallocates_.number != 0) {
        ask_witness(execute_deallocates_.name, execute_deallocates_.witness, out);
        if (!tracker_.client_sent_marked(type)) return Pass::AsItIs;
        mark_deallocate(client);
        return Pass::AsItIs;
      }
      if (execute_uses_.number != 0 && tracker_.client_sent_marked(type)) {
        mark_use(std::exchange(execute_uses_.number, 0), execute_uses_.name);
        return Pass::AsItIs;
      }
      return as_it_is(type);
    case 'Q':
      return query(message, client, out);
    case 'F':
      note_function_call(message.body, client.watch);
      leave_witness(client, out);
      changes_letters_ = batch_binds_ = true;
      changes_ = changes_of_function_call(message.body);
      return as_it_is(type);
    case 'H':
      flushes_ = true;
      tracker_.client_sent(message);
      return Pass::AsItIs;
    case 'S':
      return end_of_batch(client, out);
    default:
      return as_it_is(type);
  }
}

// set_config() says which setting among its arguments; without a value it takes it back.
StatementRelay::Changes StatementRelay::changes_of_function_call(base::Bytes body) {
  constexpr base::Bytes kNull("\xff\xff\xff\xff", 4);
  if (!base::contains_letters(body, "application_name")) return {};
  const bool takes_back = body.find(kNull) != base::Bytes::npos;
  return {takes_back, takes_back ? NameChange::Reset : NameChange::Set};
}

// An unnamed statement that was parsed and not bound is meant for a later batch, which may be on another
// server: what it is must be known by then.
void StatementRelay::describe_unbound(Client& client, std::string& out) {
  const ClientStatements& own = client.statements;
  if (!std::exchange(unnamed_is_unbound_, false) || !has_unnamed_of(client) || tracker_.skips_to_sync())
    return;
  if (!own.unnamed.empty() && own.unnamed_shape == RowShape::kUnknown &&
      (sql::is_analysed(own.text_of_unnamed()) || sql::has_rows_of_its_parse(own.text_of_unnamed())))
    describe_statement("", 0, own.unnamed_version, "", out);
}

StatementRelay::Pass StatementRelay::end_of_batch(Client& client, std::string& out) {
  describe_unbound(client, out);
  execute_uses_.number = 0;
  execute_deallocates_all_ = unnamed_is_noted_ = batch_binds_ = batch_has_run_ = false;
  bound_changes_ = {};
  nothing_is_deallocated();
  return as_it_is('S');
}

void StatementRelay::end_prepared_batch(Client& client, std::string& out) {
  describe_unbound(client, out);
  wire::append_sync(out);
  tracker_.client_sent('S');
  leaves_out_ready_ = true;
  unnamed_is_noted_ = false;
}

// In words of ours: that of the client's statement is over when the server says that this one is.
void StatementRelay::mark_deallocate(Client& client) {
  Mark& one = mark(Mark::Kind::DeallocateOne);
  one.number = std::exchange(execute_deallocates_.number, 0);
  one.name = execute_deallocates_.name;
  one.before = client.statements.take(one.name);
}

// What was prepared to be deallocated is there still, unless it was skipped.
void StatementRelay::leave_undeallocated() {
  statements_.unwanted.push_back(std::exchange(execute_deallocates_.number, 0));
}

StatementRelay::Pass StatementRelay::parse(const wire::Message& message, Client& client, std::string& out) {
  const bool is_whole = message.is_whole();
  const std::string_view name = until_nul(message.body);
  const auto parsed = is_whole ? read_parse(message.body) : std::nullopt;
  if (is_whole && !parsed) return as_it_is('P');  // it will not do for the server either
  const bool is_named = name.size() < message.body.size() && !name.empty();
  if (!is_named && is_whole) return parse_unnamed(message, parsed->text, client, out);
  const bool is_collected =
      !is_whole && message.size <= client.most_bytes && name.size() < message.body.size();
  if (!is_named) return parse_unnamed(message, {}, client, out);
  if (must_wait() || (is_whole && must_know_letters(parsed->text))) return Pass::Wait;

  // Under its own name, which is one with those of SQL's PREPARE.
  const auto* known = client.statements.find(name);
  const bool may_be_own = client.watch.has_own_statements() && known == nullptr;
  const bool is_own = known != nullptr && known->is_own;
  if ((!is_whole && !is_collected) || client.max_prepared_statements == 0 || may_be_own || is_own)
    return parse_own(message, name, client, out);
  if (known != nullptr) return parse_again(message, name, *known, out);

  if (client.statements.bytes() + name.size() + message.size > client.most_bytes)
    return refuse('B', kTooManyOfClient, out);
  TextPtr text;
  if (is_whole) {
    text = client.source.text(parsed->text, parsed->types, is_unsure_of_letters());
    if (!text) return refuse('B', kTooManyStatements, out);
    if (auto error = client.watch.note(text->traits, text->text, client.policy))
      return refuse('B', std::move(*error), out);
  }
  PreparedStatement fresh{std::move(text), fingerprint_of(client), {}};
  fresh.run_under = run_under(fresh.fingerprint, client);
  StatementPtr statement;
  bool is_there = false;
  if (fresh.text != nullptr && !fresh.text->is_analysed) {
    fresh.parameters = kNoParameters;
    fresh.shape = RowShape::kNotCompared;
    statement = client.source.share(fresh);
    const uint32_t there = statements_.find(*statement);
    is_there = !statement->text->has_rows_of_its_parse && !may_hear_debug(client) && there != 0 &&
               there >= last_doubt().copies;
  } else if (fresh.text != nullptr && client.shares_parses) {
    const auto* copy = statements_.find_like(fresh);
    if (copy != nullptr && copy->number >= last_doubt().copies) {
      statement = copy->statement;
      is_there = true;
    }
  }
  if (!statement) statement = std::make_shared<const PreparedStatement>(std::move(fresh));

  // In a failed transaction a Parse fails, which only the server can say.
  if (is_there && tracker_.ready_owed() > 0) return Pass::Wait;
  Mark::Kind kind = Mark::Kind::ClientParse;
  uint32_t number = 0;
  if (is_there && tracker_.status() != 'E') {
    tracker_.note_fake();
    kind = Mark::Kind::FakeParse;
  } else {
    make_room(client, out);
    number = statements_.add(statement);
    append_renamed(message, name, statements_.name_of(number), out);
    tracker_.client_sent_marked('P');
    ++parses_;
  }
  Mark& parse = mark(kind);
  parse.number = number;
  parse.name = name;
  parse.before = client.statements.take(name);  // of an era that is about to end, if of any
  Entry& entry = client.statements.set(name, statement);
  if (client.watch.asks_settings_of_texts()) client.statements.is_unsure_of(entry);
  if (!is_whole)
    begin_long(message, name, entry.number, number);
  else if (!statement->is_known() || statement->text->has_rows_of_its_parse)
    undescribed_ = {number, entry.number, std::string(name)};
  return Pass::Changed;
}

// It stands on this server only, which stays with the client for that.
StatementRelay::Pass StatementRelay::parse_own(const wire::Message& message, std::string_view name,
                                               Client& client, std::string& out) {
  const bool is_whole = message.is_whole();
  const std::string_view text = until_nul(message.body.substr(name.size() + 1));
  client.watch.note_own_statement(is_whole ? text : "a long statement");
  TextPtr own = is_whole ? client.source.text(text, {}, is_unsure_of_letters()) : nullptr;
  if (!own) {
    note_beginning(text, client);
    auto unread = std::make_shared<StatementText>();
    if (!is_whole) unread->traits.raise(Trait::Unreadable);
    own = std::move(unread);
  } else if (auto error = client.watch.note(own->traits, text, client.policy)) {
    return refuse('B', std::move(*error), out);
  }
  if (client.statements.find(name) != nullptr) return as_it_is('P');  // it fails
  if (tracker_.client_sent_marked('P')) {
    Mark& parse = mark(Mark::Kind::ClientParse);
    parse.name = name;
    parse.before = client.statements.take(name);
    Entry& entry = client.statements.set(
        name, std::make_shared<const PreparedStatement>(PreparedStatement{std::move(own), {}, {}}));
    entry.is_own = true;
    client.statements.note_own();
  }
  return Pass::AsItIs;
}

// PostgreSQL is to say that there is one: if it is not here, anything under a name of ours will do.
StatementRelay::Pass StatementRelay::parse_again(const wire::Message& message, std::string_view name,
                                                 const Entry& entry, std::string& out) {
  // If all was deallocated, the name is free: then the text can be parsed in the place of what was there. One
  // that is too long to be said twice has another said for it.
  if (const uint32_t witness = witness_of(entry)) {
    if (message.is_whole())
      append_renamed(message, name, statements_.name_of(witness), out);
    else
      wire::append_parse(out, statements_.name_of(witness), "ROLLBACK");
    wire::append_flush(out);
    tracker_.client_sent_marked('P');
    Mark& parsed = mark(Mark::Kind::ParseOfWitness);
    parsed.number = witness;
    parsed.name = name;
    asked_ = {witness, 0, false, false};
    return Pass::Wait;
  }
  uint32_t number = statements_.find(*entry.statement);
  if (number == 0 || !is_as_old(number, entry)) {
    number = statements_.fresh_number();
    wire::append_parse(out, statements_.name_of(number), "ROLLBACK");
    tracker_.client_sent_marked('P');
    mark(Mark::Kind::InjectedParse).number = number;
    statements_.unwanted.push_back(number);
  }
  append_renamed(message, name, statements_.name_of(number), out);
  tracker_.client_sent_marked('P');
  Mark& duplicate = mark(Mark::Kind::DuplicateParse);
  duplicate.number = number;
  duplicate.name = name;
  return Pass::Changed;
}

StatementRelay::Pass StatementRelay::parse_unnamed(const wire::Message& message, std::string_view text,
                                                   Client& client, std::string& out) {
  ClientStatements& own = client.statements;
  const bool is_whole = text.data() != nullptr;
  const bool is_kept = own.bytes() - own.unnamed.size() + message.size <= client.most_bytes;
  // Many clients say the same again and again, and most of it leaves nothing.
  const bool is_harmless = is_whole && own.unnamed_is_read && !is_unsure_of_letters() &&
                           own.unnamed_traits.is_empty() && own.unnamed == message.body;
  sql::StatementTraits traits;
  if (must_know_letters(text)) return Pass::Wait;
  if (is_whole && !is_harmless) traits = classify(text, client);
  if (auto error = client.watch.note(traits, text, client.policy)) return refuse('B', std::move(*error), out);
  if (!is_whole && !is_kept) {
    note_beginning(until_nul(message.body.substr(1)), client);
    traits.raise(Trait::Unreadable);
  }
  const bool may_be_skipped = tracker_.batch_is_open();
  tracker_.client_sent_marked('P');
  Mark& parse = mark(Mark::Kind::UnnamedParse);
  parse.number = ++last_unnamed_;
  if (may_be_skipped) keep_unnamed(client, parse);
  own.unnamed_is_long = !is_kept;
  if (!is_kept)
    own.unnamed.clear();
  else if (own.unnamed != message.body)
    own.unnamed = message.body;
  own.unnamed_traits = std::move(traits);
  own.unnamed_is_read = is_whole && is_kept && !is_unsure_of_letters();
  if (own.unnamed_fingerprint != own.settings().fingerprint)
    own.unnamed_fingerprint = own.settings().fingerprint;
  own.unnamed_is_unsure = client.watch.asks_settings_of_texts();
  own.unnamed_changed();
  unnamed_is_noted_ = is_whole || !is_kept;
  unnamed_is_unbound_ = true;
  unnamed_is_here(client);
  if (!is_whole && is_kept) begin_long(message, "", 0, 0);
  return Pass::AsItIs;
}

void StatementRelay::begin_long(const wire::Message& message, std::string_view name, uint64_t entry,
                                uint32_t number) {
  long_.left = message.size - wire::kHeaderSize - message.body.size();
  long_.entry = entry;
  long_.number = number;
  long_.name = name;
  if (entry != 0) long_.body = message.body;
}

void StatementRelay::client_sent_rest(base::Bytes piece, Client& client) {
  (long_.entry != 0 ? long_.body : client.statements.unnamed).append(piece);
  long_.left -= std::min(long_.left, piece.size());
  if (long_.left == 0) end_long(client);
}

// All of it is at the server already: what it leaves behind is asked about when it runs.
void StatementRelay::end_long(Client& client) {
  ClientStatements& own = client.statements;
  const Long all = std::exchange(long_, {});
  const auto parsed = read_parse(all.entry != 0 ? all.body : own.unnamed);
  if (!parsed) return;  // the server says so
  if (all.entry == 0) {
    own.unnamed_traits = classify(parsed->text, client);
    own.unnamed_is_read = !is_unsure_of_letters();
    return;
  }
  Entry* entry = own.find(all.name, all.entry);
  if (entry == nullptr) return;
  PreparedStatement whole = *entry->statement;
  whole.text = client.source.text(parsed->text, parsed->types, is_unsure_of_letters());
  if (!whole.text) {  // what has been passed on can be refused no more
    auto text = std::make_shared<StatementText>();
    text->text = parsed->text;
    text->types = parsed->types;
    text->traits = classify(parsed->text, client);
    whole.text = std::move(text);
  }
  static_cast<void>(client.watch.note(whole.text->traits, whole.text->text, client.policy));
  const auto statement = std::make_shared<const PreparedStatement>(std::move(whole));
  statements_.known_as(all.number, statement);
  own.becomes(all.name, *entry, statement);
  if (!tracker_.skips_to_sync()) undescribed_ = {all.number, all.entry, all.name};
}

StatementRelay::Pass StatementRelay::close(const wire::Message& message, Client& client) {
  if (message.body.empty() || message.body.front() != 'S') {
    batch_binds_ = true;
    return as_it_is('C');
  }
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
  const auto* known = client.statements.find(name);
  if (known == nullptr ? !statements_.is_ours(name) : known->is_own) {
    client.watch.note_own_statement_closed();
    if (known == nullptr || !tracker_.client_sent_marked('C')) return as_it_is('C');
    Mark& closed = mark(Mark::Kind::OwnClose);
    closed.name = name;
    closed.before = client.statements.take(name);
    return Pass::AsItIs;
  }
  tracker_.note_fake();
  Mark& closed = mark(Mark::Kind::FakeClose);
  closed.name = name;
  if (known != nullptr) closed.before = client.statements.take(name);
  return Pass::Changed;
}

StatementRelay::Pass StatementRelay::query(const wire::Message& message, Client& client, std::string& out) {
  const bool is_whole = message.is_whole();
  const std::string_view text = until_nul(message.body);
  if (must_know_letters(text)) return Pass::Wait;
  const auto traits = is_whole ? classify(text, client) : sql::StatementTraits();
  if (!is_whole) note_beginning(text, client);
  if (is_whole && traits.is_empty()) {
    end_unnamed_by_query(client);
    return as_it_is('Q');
  }
  const bool deallocates = traits.has(Trait::DeallocateAll) || traits.has(Trait::DiscardAll);
  const bool names = traits.names_statements();
  if ((deallocates || names) && must_wait()) return Pass::Wait;
  if (names && is_behind_settings(client)) return Pass::Wait;
  if (tracker_.ready_owed() > 0 && needs_own_sequences(traits, client)) return Pass::Wait;
  if (names && traits.has(Trait::Executes)) return query_executing(text, traits, client, out);
  if (auto error = client.watch.note(traits, text, client.policy)) return refuse('Q', std::move(*error), out);
  if (names && named_by(traits, client) != nullptr && is_deallocate(text, traits, false))
    return query_deallocating(text, traits, client, out);

  end_unnamed_by_query(client);
  see_what_lasts_for_the_transaction(traits);
  const size_t size_before = out.size();
  if (!is_whole || may_deallocate_unseen(traits, client)) leave_witness(client, out);
  need_own_sequences(traits, client, out);
  // If what is in front of it fails, it is skipped like everything up to a Sync, which the client will not
  // send.
  if (out.size() != size_before) in_front_ = InFront::OfQuery;
  changes_ = changes_of(traits);
  if (deallocates && tracker_.client_sent_marked('Q')) {
    deallocate_all(client);
    return Pass::AsItIs;
  }
  see_discard(traits);
  return as_it_is('Q');
}

StatementRelay::Changes StatementRelay::changes_of(const sql::StatementTraits& traits) {
  const bool may_set_name = traits.has(Trait::SetsName) || !traits.setting_parameters.empty();
  return {traits.has(Trait::ResetsSetting), traits.has(Trait::ResetsName) ? NameChange::Reset
                                            : may_set_name                ? NameChange::Set
                                                                          : NameChange::None};
}

void StatementRelay::end_unnamed_by_query(Client& client) {
  ClientStatements& own = client.statements;
  in_front_ = InFront::Nothing;
  executed_.clear();
  batch_binds_ = batch_has_run_ = unnamed_is_unbound_ = false;
  nothing_is_deallocated();
  changes_ = {};
  ++last_unnamed_;
  own.unnamed.clear();
  if (own.unnamed.capacity() > kLongestWhole) own.unnamed.shrink_to_fit();
  own.unnamed_changed();
  own.unnamed_is_long = false;
  unnamed_of_ = tracker_.batch_is_open() ? kSomebody : kNobody;  // it may be skipped behind an error
}

// EXECUTE of statements that were prepared by the protocol: they are prepared here, under names of ours.
StatementRelay::Pass StatementRelay::query_executing(std::string_view text,
                                                     const sql::StatementTraits& traits, Client& client,
                                                     std::string& out) {
  const size_t size_before = out.size();
  std::string changed(text);
  uint32_t used = 0;  // the first, of which an error is told under the client's name
  std::string_view used_as;
  for (size_t i = traits.named_statements.size(); i-- > 0;) {
    const auto& named = traits.named_statements[i];
    auto* entry = client.statements.find(named.name);
    if (entry == nullptr || entry->is_own) continue;
    uint32_t number = 0;
    switch (use(named.name, *entry, client, number, out)) {
      case Ready::Yes:
        break;
      case Ready::Asked:
        if (asks()) in_front_ = InFront::OfWaitingQuery;
        return Pass::Wait;
      case Ready::OtherRows:
        end_unnamed_by_query(client);
        return refuse('Q', other_rows(), out);
      case Ready::NoMemory:
        end_unnamed_by_query(client);
        return refuse('Q', kTooManyStatements, out);
    }
    if (sets_literals_locally_ || client.watch.asks_settings_of_literals()) statements_.doubt(number);
    changed.replace(named.at, named.size, statements_.name_of(number));
    used = number;
    used_as = named.name;
  }
  end_unnamed_by_query(client);
  // What they leave is noted once they are there: until then it would make the relay unsure of what they are.
  auto refused = client.watch.note(traits, text, client.policy);
  for (const auto& named : traits.named_statements)
    if (const auto* entry = client.statements.find(named.name); entry != nullptr && !refused)
      refused = client.watch.note(entry->statement->traits(), text, client.policy);
  if (refused) return refuse('Q', std::move(*refused), out);
  see_what_lasts_for_the_transaction(traits);
  changes_ = changes_of(traits);
  if (may_deallocate_unseen(traits, client)) leave_witness(client, out);
  need_own_sequences(traits, client, out);
  if (out.size() != size_before) in_front_ = InFront::OfQuery;
  if (used == 0) return as_it_is('Q');
  wire::append_query(out, changed);
  if (tracker_.client_sent_marked('Q')) mark_use(used, used_as);
  return Pass::Changed;
}

// The server need not have it. In a failed transaction this fails as the client's own would.
StatementRelay::Pass StatementRelay::query_deallocating(std::string_view text,
                                                        const sql::StatementTraits& traits, Client& client,
                                                        std::string& out) {
  end_unnamed_by_query(client);
  see_what_lasts_for_the_transaction(traits);
  need_own_sequences(traits, client, out);
  changes_ = changes_of(traits);
  const auto& named = traits.named_statements.front();
  ask_witness(named.name, witness_of(*named_by(traits, client)), out);
  execute_deallocates_ = {prepare_nothing(out), named.name, 0};
  in_front_ = InFront::OfQuery;
  std::string changed(text);
  changed.replace(named.at, named.size, statements_.name_of(execute_deallocates_.number));
  wire::append_query(out, changed);
  if (tracker_.client_sent_marked('Q')) mark_deallocate(client);
  return Pass::Changed;
}

}  // namespace tidepool::session
