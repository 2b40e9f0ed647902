// What uses a client's statements: which copy, and whether it is what the client prepared.
#include <utility>

#include "lib/base/ascii.h"
#include "lib/session/session_settings.h"
#include "lib/session/statement_relay.h"
#include "lib/session/statement_relay_texts.h"
#include "lib/wire/message_reader.h"
#include "lib/wire/message_writer.h"

namespace tidepool::session {

using base::until_nul;
using sql::Trait;

namespace {

const base::Error kTooManyStatements{
    "53200", "out of memory", "The prepared statements of this pool's clients take too much memory.", ""};

base::Error no_such_statement(std::string_view name) {
  return {"26000", "prepared statement \"" + std::string(name) + "\" does not exist"};
}

// A query that fails, for one that is refused.
constexpr std::string_view kNoQuery = "tidepool refuses this statement";

// What begins run_under where names of the client's statements stand in the text as names of ours.
constexpr std::string_view kInOurWords = "of ";

}  // namespace

StatementRelay::Pass StatementRelay::bind(const wire::Message& message, Client& client, std::string& out) {
  wire::FieldReader fields(message.body);
  fields.cstring();
  const std::string_view name = fields.cstring();
  if (!fields.ok()) return as_it_is('B');  // it will not do for the server either
  if (must_wait()) return Pass::Wait;
  if (name.empty() && must_wait_for_unnamed()) return Pass::Wait;
  if (name.empty()) unnamed_is_unbound_ = false;
  auto* entry = name.empty() ? unnamed_entry(client) : client.statements.find(name);
  if (entry == nullptr && !name.empty()) {
    if (!statements_.is_ours(name)) return as_it_is('B');
    return refuse_use(message, name, no_such_statement(name), out);  // names of ours are nobody's
  }
  if (entry != nullptr && !entry->is_own && must_know_status(*entry->statement, client)) return Pass::Wait;
  const auto& traits = entry != nullptr ? entry->statement->traits() : client.statements.unnamed_traits;
  // The name of a setting is among the parameters.
  if (!traits.setting_parameters.empty() && !message.is_whole() && message.size <= kLongestWhole)
    return Pass::NeedsMore;
  uint32_t number = 0;
  if (entry != nullptr && !entry->is_own) {
    switch (use(name, *entry, client, number, out)) {
      case Ready::Yes:
        break;
      case Ready::Asked:
        return Pass::Wait;
      case Ready::OtherRows:
        return refuse_use(message, name, std::nullopt, out);
      case Ready::NoMemory:
        return refuse_use(message, name, kTooManyStatements, out);
    }
  }
  if (!traits.is_empty()) {
    const std::string_view text = entry != nullptr && entry->statement->text != nullptr
                                      ? std::string_view(entry->statement->text->text)
                                      : client.statements.text_of_unnamed();
    // The unnamed one was noted at its Parse, unless that was in an earlier batch: the server may have been
    // asked since.
    const bool is_noted = name.empty() && unnamed_is_noted_;
    if (auto error = note_use(message, traits, text, is_noted, client, out))
      return refuse_use(message, name, std::move(error), out);
  }
  if (entry == nullptr || entry->is_own) {
    if (entry == nullptr && !has_unnamed_of(client) && unnamed_of_ != kNobody) {
      inject_close(0, "", out);  // then the server says that there is none
      unnamed_of_ = kNobody;
    }
    return as_it_is('B');
  }
  if (sets_literals_locally_ || client.watch.asks_settings_of_literals()) statements_.doubt(number);
  append_renamed(message, name, statements_.name_of(number), out);
  if (tracker_.client_sent_marked('B')) mark_use(number, name);
  return Pass::Changed;
}

// An error: it must not run.
std::optional<base::Error> StatementRelay::note_use(const wire::Message& message,
                                                    const sql::StatementTraits& traits, std::string_view text,
                                                    bool is_noted, Client& client, std::string& out) {
  see_what_lasts_for_the_transaction(traits);
  need_own_sequences(traits, client, out);
  if (!is_noted)
    if (auto error = client.watch.note(traits, text, client.policy)) return error;
  if (may_deallocate_unseen(traits, client)) leave_witness(client, out);
  execute_deallocates_all_ = traits.has(Trait::DeallocateAll) || traits.has(Trait::DiscardAll);
  see_discard(traits);
  bound_changes_ = changes_of(traits);
  if (!traits.setting_parameters.empty() &&
      !(message.is_whole() && each_parameter(message.body, traits.setting_parameters, [&](base::Bytes value) {
          client.watch.note_setting(base::lower(value), text);
        }))) {
    client.watch.note_everything(text);
    client.watch.note_pin(Pin::Setting, text);
  }
  return std::nullopt;
}

StatementRelay::Pass StatementRelay::describe(const wire::Message& message, Client& client,
                                              std::string& out) {
  const bool is_of_statement = !message.body.empty() && message.body.front() == 'S';
  const std::string_view name = is_of_statement ? until_nul(message.body.substr(1)) : std::string_view();
  const bool is_of_fresh_one =
      undescribed_.number != 0 && is_of_statement && !name.empty() && name == undescribed_.name;
  if (undescribed_.number != 0 && !is_of_fresh_one) describe_unseen(out);
  if (!is_of_statement) {
    batch_binds_ = true;
    return as_it_is('D');
  }
  if (must_wait()) return Pass::Wait;
  if (name.empty() && must_wait_for_unnamed()) return Pass::Wait;
  auto* entry = name.empty() ? unnamed_entry(client) : client.statements.find(name);
  if (entry == nullptr && statements_.is_ours(name)) return refuse('B', no_such_statement(name), out);
  if (entry == nullptr || entry->is_own) {
    if (name.empty() && !has_unnamed_of(client) && unnamed_of_ != kNobody) {
      inject_close(0, "", out);
      unnamed_of_ = kNobody;
    }
    const bool tells = name.empty() && has_unnamed_of(client);
    if (tells && tracker_.client_sent_marked('D')) {
      Mark& described = mark_use(0, "");
      described.tells = true;
      described.entry = client.statements.unnamed_version;
      unnamed_is_unbound_ = false;
      return Pass::AsItIs;
    }
    return as_it_is('D');
  }
  if (entry->rows != nullptr && !is_of_fresh_one) return describe_as_parsed(message, name, *entry, out);
  if (must_know_status(*entry->statement, client)) return Pass::Wait;
  uint32_t number = 0;
  switch (use(name, *entry, client, number, out)) {
    case Ready::Yes:
      break;
    case Ready::Asked:
      return Pass::Wait;
    case Ready::OtherRows:
      return refuse_use(message, name, std::nullopt, out);
    case Ready::NoMemory:
      return refuse('B', kTooManyStatements, out);
  }
  if (sets_literals_locally_ || client.watch.asks_settings_of_literals()) statements_.doubt(number);
  append_renamed(message, name, statements_.name_of(number), out);
  if (tracker_.client_sent_marked('D')) {
    Mark& described = mark_use(number, name);
    described.tells = is_of_fresh_one;
    described.entry = entry->number;
  }
  if (is_of_fresh_one) undescribed_ = {};
  return Pass::Changed;
}

// PostgreSQL describes a FETCH as it was when it was parsed, and ends in a crash if there is no cursor now.
// What is asked in its place fails in a failed transaction as that would: if it has rows.
StatementRelay::Pass StatementRelay::describe_as_parsed(const wire::Message& message, std::string_view name,
                                                        const Entry& entry, std::string& out) {
  ask_witness(name, witness_of(entry), out);
  const uint32_t number = prepare_stand_in(entry.rows->empty() ? "ROLLBACK" : "SHOW server_version",
                                           entry.statement->text->types, out);
  statements_.unwanted.push_back(number);
  append_renamed(message, name, statements_.name_of(number), out);
  if (tracker_.client_sent_marked('D')) mark(Mark::Kind::DescribeAsParsed).name = *entry.rows;
  return Pass::Changed;
}

// The client's unnamed statement, where it is not this server's unnamed one. Null: it is, or there is none.
StatementRelay::Entry* StatementRelay::unnamed_entry(Client& client) {
  ClientStatements& own = client.statements;
  if (own.unnamed.empty() || wants_client_rest()) return nullptr;
  if (has_unnamed_of(client) && named_by(own.unnamed_traits, client) == nullptr) return nullptr;
  if (own.unnamed_elsewhere) return own.unnamed_elsewhere.get();
  wire::FieldReader fields(own.unnamed);
  fields.cstring();
  const std::string_view text = fields.cstring();
  if (!fields.ok()) return nullptr;
  const base::Bytes types = fields.rest();
  PreparedStatement statement{
      client.source.text(text, types, !own.unnamed_is_read), own.unnamed_fingerprint, {}};
  if (!statement.text) {
    auto unshared = std::make_shared<StatementText>();
    unshared->text = text;
    unshared->types = types;
    unshared->traits = own.unnamed_traits;
    statement.text = std::move(unshared);
  }
  statement.run_under = run_under(statement.fingerprint, client);
  if (own.unnamed_shape != RowShape::kUnknown) statement.parameters = own.unnamed_parameters;
  statement.shape = statement.text->is_analysed ? own.unnamed_shape : RowShape::kNotCompared;
  if (!statement.text->is_analysed) statement.parameters.assign(2, '\0');
  own.unnamed_elsewhere = std::make_unique<Entry>();
  own.unnamed_elsewhere->statement = statement.is_known()
                                         ? client.source.share(statement)
                                         : std::make_shared<const PreparedStatement>(std::move(statement));
  own.unnamed_elsewhere->settings = own.settings_version();
  own.unnamed_elsewhere->rows = own.unnamed_rows;
  if (own.unnamed_rows == nullptr && own.unnamed_elsewhere->statement->text->has_rows_of_its_parse)
    own.unnamed_elsewhere->rows = std::make_shared<const std::string>();
  return own.unnamed_elsewhere.get();
}

// Not the usual case.
StatementRelay::Ready StatementRelay::make_ready(std::string_view name, Entry& entry, Client& client,
                                                 uint32_t& number, std::string& out) {
  if (asked_.number != 0 && asked_.entry == entry.number) return answered(entry, name, client, number);
  const uint32_t witness = witness_of(entry);
  if (!mind_settings(name, entry, client)) return Ready::NoMemory;
  if (entry.statement->traits().names_statements())
    return make_ready_named(name, entry, witness, client, number, out);
  mind_temporary_objects(name, entry, client);
  if (sets_custom_locally_) mind_plan(*entry.statement);
  number = statements_.find(*entry.statement);
  if (number != 0 && is_as_old(number, entry)) return Ready::Yes;
  if (number != 0 && is_in_doubt(entry)) {
    ask_witness(name, witness, out);
    return Ready::Yes;
  }
  if (tracker_.ready_owed() > 0 && has_to_set_for_parse(*entry.statement, client)) return Ready::Asked;

  for (const auto& [answered, there] : executed_)
    if (answered == entry.number) return static_cast<void>(number = there), Ready::Yes;

  const bool is_failed = tracker_.is_quiet() && tracker_.status() == 'E';  // there it fails
  ask_witness(name, witness, out);
  number = prepare(name, entry, client, out);
  const PreparedStatement& statement = *entry.statement;
  const auto* copy = statements_.of_number(number);
  if (copy == nullptr || copy->statement->is_known() || is_failed || !statement.text->is_analysed)
    return Ready::Yes;
  describe_statement(statements_.name_of(number), number, 0, name, out);
  wire::append_flush(out);
  asked_ = {number, entry.number, false,
            copy->statement->fingerprint != statement.fingerprint && is_unsure_of_settings(client)};
  return Ready::Asked;
}

// This is what waited for the answer: what PostgreSQL made of it here, against what it made of it at the
// client's own Parse.
StatementRelay::Ready StatementRelay::answered(Entry& entry, std::string_view name, Client& client,
                                               uint32_t& number) {
  const Asked answer = std::exchange(asked_, {});
  number = answer.number;
  const auto* copy = statements_.of_number(number);
  if (copy == nullptr) return Ready::NoMemory;
  const StatementPtr& here = copy->statement;
  if (sets_custom_locally_) statements_.doubt(number);
  if (entry.statement->is_known() && here->shape != entry.statement->shape) return Ready::OtherRows;
  if (in_front_ == InFront::OfWaitingQuery) executed_.emplace_back(entry.number, number);
  if (answer.is_for_once) return Ready::Yes;
  if (!doubts_.empty()) client.statements.is_there(entry);
  client.statements.becomes(name, entry, here);
  return Ready::Yes;
}

// The client's statement that a text names, if it has one of that name under names of ours.
StatementRelay::Entry* StatementRelay::named_by(const sql::StatementTraits& traits, Client& client) {
  if (traits.named_statements.size() != 1) return nullptr;
  auto* entry = client.statements.find(traits.named_statements.front().name);
  return entry != nullptr && !entry->is_own ? entry : nullptr;
}

// A statement that is there to be deallocated.
uint32_t StatementRelay::prepare_nothing(std::string& out) {
  return prepare_stand_in("ROLLBACK", {"\0\0", 2}, out);
}

uint32_t StatementRelay::prepare_stand_in(std::string_view text, base::Bytes types, std::string& out) {
  const uint32_t number = statements_.fresh_number();
  {
    const wire::MessageFrame frame(out, 'P');
    wire::append_cstring(out, statements_.name_of(number));
    wire::append_cstring(out, text);
    out.append(types);
  }
  tracker_.client_sent_marked('P');
  mark(Mark::Kind::InjectedParse).number = number;
  return number;
}

// EXECUTE and DEALLOCATE of the client's other statements: in its text they have names of ours.
StatementRelay::Ready StatementRelay::make_ready_named(std::string_view name, Entry& entry, uint32_t witness,
                                                       Client& client, uint32_t& number, std::string& out) {
  const PreparedStatement& statement = *entry.statement;
  const auto& traits = statement.traits();
  const std::string& text = statement.text->text;
  const auto& named = traits.named_statements.front();
  auto* other = named_by(traits, client);
  if (other == nullptr || other == &entry) {
    number = statements_.find(statement);
    if (number != 0 && is_as_old(number, entry)) return Ready::Yes;
    ask_witness(name, witness, out);
    if (number == 0 || !is_in_doubt(entry)) number = prepare(name, entry, client, out);
    return Ready::Yes;
  }
  ask_witness(name, witness, out);
  std::string target;
  if (is_deallocate(text, traits, true)) {
    // The server need not have it: what is deallocated there is nothing.
    execute_deallocates_ = {prepare_nothing(out), named.name, witness_of(*other)};
    target = statements_.name_of(execute_deallocates_.number);
  } else {
    static_cast<void>(client.watch.note(other->statement->traits(), text, client.policy));
    uint32_t used = 0;
    const Ready ready = use(named.name, *other, client, used, out);
    if (ready != Ready::Yes) return ready;
    target = statements_.name_of(used);
    execute_uses_ = {used, named.name};
  }
  PreparedStatement in_our_words = statement;
  in_our_words.run_under = std::string(kInOurWords) + target;
  const StatementPtr known = client.source.share(in_our_words);
  number = statements_.find(*known);
  if (number != 0 && (is_as_old(number, entry) || is_in_doubt(entry))) return Ready::Yes;
  make_room(client, out);
  number = statements_.add(known);
  {
    const wire::MessageFrame frame(out, 'P');
    wire::append_cstring(out, statements_.name_of(number));
    wire::append_cstring(out, std::string(text).replace(named.at, named.size, target));
    out.append(statement.text->types);
  }
  ++parses_;
  tracker_.client_sent_marked('P');
  mark(Mark::Kind::InjectedParse).number = number;
  return Ready::Yes;
}

// Whether what the client has is right for the settings that it has now, made so if need be. False: there
// is no memory for it.
bool StatementRelay::mind_settings(std::string_view name, Entry& entry, Client& client) {
  if (entry.settings == client.statements.settings_version() || entry.is_unsure) return true;
  PreparedStatement now = *entry.statement;
  if (entry.parsed_under) now.fingerprint = *entry.parsed_under;
  now.run_under = run_under(now.fingerprint, client);
  if (now.is_known() && !is_private(now.fingerprint) && now != *entry.statement) {
    client.statements.becomes(name, entry, client.source.share(now));
    entry.parsed_under = nullptr;
  }
  entry.settings = client.statements.settings_version();
  return true;
}

// A statement that was parsed before its session had temporary objects: their names are in front now. On a
// direct connection the first of them changes the search path, so that PostgreSQL parses it again; in a
// process that had temporary objects of others before it does not.
void StatementRelay::mind_temporary_objects(std::string_view name, Entry& entry, Client& client) {
  if (!hides_names_ && !has_temporary_objects(client)) return;
  const PreparedStatement& statement = *entry.statement;
  const std::string id = behind_temporary_objects(client);
  if (!statement.is_known() || !statement.text->is_analysed ||
      statement.fingerprint.find(id) != std::string::npos)
    return;
  PreparedStatement own = statement;
  make_private(id, own.fingerprint);
  client.statements.becomes(name, entry, client.source.share(own));
}

// A plan that PostgreSQL keeps may hold what a custom setting was when it was made. It keeps none for the
// first five uses of a statement with parameters; one without has it from the first. Where the setting is the
// transaction's, a copy that may have such a plan is not used, and one that may get it goes when the
// transaction is over. What nobody else may use keeps its plan, as on a direct connection.
void StatementRelay::mind_plan(const PreparedStatement& statement) {
  constexpr uint32_t kUsesWithoutPlan = 5;
  auto* copy = statements_.find_copy(statement);
  if (copy == nullptr || copy->is_doubtful || !statement.is_known() || !statement.text->is_analysed ||
      is_private(statement.fingerprint))
    return;
  const bool has_parameters = statement.parameters.size() > 2;
  if (has_parameters && copy->uses < kUsesWithoutPlan) return static_cast<void>(++copy->uses);
  statements_.give_up(copy->number);
}

// Its number on the server, where it is prepared anew.
uint32_t StatementRelay::prepare(std::string_view name, Entry& entry, Client& client, std::string& out) {
  PreparedStatement wanted = *entry.statement;
  if (entry.parsed_under) {
    wanted.fingerprint = *entry.parsed_under;
    wanted.run_under = run_under(wanted.fingerprint, client);
    entry.parsed_under = nullptr;
  }
  // Where it was prepared it is as it was, whatever the session has SET since; but that another search_path
  // makes PostgreSQL parse it again.
  const bool is_analysed = wanted.text->is_analysed;
  const bool is_read_again = is_analysed && !is_private(wanted.fingerprint) &&
                             is_parsed_again(wanted.fingerprint, client.statements.settings().fingerprint);
  // That is for this once. (In a failed transaction it fails.)
  const bool is_for_once =
      is_analysed && is_unsure_of_settings(client) && (is_read_again || tracker_.status() == 'I');
  if (is_for_once)
    wanted.fingerprint = fingerprint_of(client);
  else if (is_read_again)
    wanted.fingerprint = with_letters_of(wanted.fingerprint, fingerprint_of(client));
  if (wanted.is_known() && wanted != *entry.statement && !is_for_once) {
    const StatementPtr shared = client.source.share(wanted);
    if (const uint32_t number = statements_.find(*shared); number != 0 && is_as_old(number, entry)) {
      client.statements.becomes(name, entry, shared);
      return number;
    }
  }
  make_room(client, out);
  if (is_analysed) wanted.shape = RowShape::kUnknown;
  const StatementPtr fresh =
      is_analysed ? std::make_shared<const PreparedStatement>(wanted) : client.source.share(wanted);
  const uint32_t number = statements_.add(fresh);
  const bool is_unsure = is_unsure_of_settings(client);
  if (!is_for_once) begin_parse_under(*fresh, is_unsure, client, out);
  {
    const wire::MessageFrame frame(out, 'P');
    wire::append_cstring(out, statements_.name_of(number));
    wire::append_cstring(out, wanted.text->text);
    out.append(wanted.parameters.empty() ? wanted.text->types : wanted.parameters);
  }
  ++parses_;
  tracker_.client_sent_marked('P');
  Mark& parsed = mark(Mark::Kind::InjectedParse);
  parsed.number = number;
  parsed.name = name;
  if (!is_for_once) end_parse_under(*fresh, is_unsure, client, out);
  return number;
}

StatementRelay::Pass StatementRelay::refuse(char type, base::Error error, std::string& out) {
  if (type == 'Q')
    wire::append_query(out, kNoQuery);
  else
    wire::append_bind(out, "", statements_.nobodys_name());
  if (tracker_.client_sent_marked(type))
    mark(Mark::Kind::Refusal).error = std::make_unique<base::Error>(std::move(error));
  return Pass::Changed;
}

// A Bind or Describe, whose rest may be on its way still: under a name that nobody has it fails. Without an
// error of its own its rows are others than the client was told.
StatementRelay::Pass StatementRelay::refuse_use(const wire::Message& message, std::string_view name,
                                                std::optional<base::Error> error, std::string& out) {
  append_renamed(message, name, statements_.nobodys_name(), out);
  if (!tracker_.client_sent_marked(message.type)) return Pass::Changed;
  if (error)
    mark(Mark::Kind::Refusal).error = std::make_unique<base::Error>(std::move(*error));
  else
    mark(Mark::Kind::OtherRows);
  return Pass::Changed;
}

}  // namespace tidepool::session
