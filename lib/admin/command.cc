#include "lib/admin/command.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <initializer_list>
#include <optional>
#include <system_error>
#include <utility>

#include "lib/admin/command_lexer.h"

namespace tidepool::admin {

namespace {

using Tokens = std::span<const Token>;

bool begins_with(Tokens tokens, std::initializer_list<std::string_view> words) {
  return tokens.size() >= words.size() &&
         std::equal(words.begin(), words.end(), tokens.begin(),
                    [](std::string_view word, const Token& token) { return token.lower == word; });
}

bool is_name(const Token& token) {
  return token.kind == Token::Kind::Word || token.kind == Token::Kind::QuotedIdentifier;
}

// Commands and variables may be written as quoted identifiers, too.
std::string lower_name(const Token& token) {
  return token.kind == Token::Kind::Word ? token.lower : token.text;
}

using Parsed = std::optional<Command>;  // nothing: no command of the console
// All parsers get what follows the command's word.

Parsed show_of_table(Tokens rest) {
  if (rest.size() != 1 || !is_name(rest[0])) return std::nullopt;
  const std::string name = lower_name(rest[0]);
  if (name == "help") return Command{ShowHelp{}, "SHOW"};
  if (const ShowTable* table = find_show_table(name)) return Command{ShowTheTable{table}, "SHOW"};
  return std::nullopt;
}

Parsed show(Tokens rest) {
  if (rest.size() == 1 && is_name(rest[0]))
    if (const ClientVariable* variable = find_client_variable(lower_name(rest[0])))
      return Command{ShowVariable{variable}, "SHOW"};
  return show_of_table(rest);
}

// SET [SESSION | LOCAL] name {= | TO} value, SET NAMES, SET TIME ZONE, SET TRANSACTION,
// SET SESSION CHARACTERISTICS AS TRANSACTION
Parsed set(Tokens rest) {
  const Command ignored{IgnoreSetting{}, "SET"};
  if (begins_with(rest, {"session", "characteristics", "as"}))
    rest = rest.subspan(3);
  else if (begins_with(rest, {"session"}) || begins_with(rest, {"local"}))
    rest = rest.subspan(1);
  if (begins_with(rest, {"transaction"}) && rest.size() > 1) return ignored;
  if (begins_with(rest, {"names"}) && rest.size() > 1) return ignored;
  if (begins_with(rest, {"time", "zone"}) && rest.size() > 2) return ignored;
  if (rest.size() < 3 || !is_name(rest[0]) || find_client_variable(lower_name(rest[0])) == nullptr)
    return std::nullopt;
  if (rest[1].lower != "=" && rest[1].lower != "to") return std::nullopt;
  return ignored;
}

Parsed reset(Tokens rest) {
  if (rest.size() != 1 || !is_name(rest[0]) || find_client_variable(lower_name(rest[0])) == nullptr)
    return std::nullopt;
  return Command{IgnoreSetting{}, "RESET"};
}

Parsed reload(Tokens rest) {
  return rest.empty() ? Parsed(Command{Reload{}, "RELOAD"}) : std::nullopt;
}

Parsed shutdown(Tokens rest) {
  if (rest.empty()) return Command{Shutdown{}, "SHUTDOWN"};
  // In session mode PgBouncer's two words are one: servers come free as clients leave.
  if (rest.size() == 1 && (rest[0].lower == "wait_for_clients" || rest[0].lower == "wait_for_servers"))
    return Command{Shutdown{true}, "SHUTDOWN"};
  return std::nullopt;
}

// As in PgBouncer, the name keeps its case, quoted or not.
Parsed reconnect(Tokens rest) {
  if (rest.empty()) return Command{Reconnect{}, "RECONNECT"};
  if (rest.size() != 1 || !is_name(rest[0]) || rest[0].text.empty()) return std::nullopt;
  return Command{Reconnect{rest[0].text}, "RECONNECT"};
}

// Transactions mean nothing here, but most drivers begin one before they ask anything.
bool is_transaction_word(Tokens rest) {
  return rest.empty() || (rest.size() == 1 && (rest[0].lower == "work" || rest[0].lower == "transaction"));
}

bool are_transaction_modes(Tokens rest) {
  return std::all_of(rest.begin(), rest.end(), [](const Token& token) {
    static constexpr std::array<std::string_view, 14> kWords = {
        "work",      "transaction", "isolation", "level", "serializable", "repeatable", "read",
        "committed", "uncommitted", "write",     "only",  "not",          "deferrable", ","};
    return std::find(kWords.begin(), kWords.end(), token.lower) != kWords.end();
  });
}

Parsed begin(Tokens rest) {
  return are_transaction_modes(rest) ? Parsed(Command{Begin{}, "BEGIN"}) : std::nullopt;
}

Parsed start(Tokens rest) {
  if (!begins_with(rest, {"transaction"}) || !are_transaction_modes(rest)) return std::nullopt;
  return Command{Begin{}, "START TRANSACTION"};
}

Parsed commit(Tokens rest) {
  return is_transaction_word(rest) ? Parsed(Command{Commit{}, "COMMIT"}) : std::nullopt;
}

// The name of a savepoint or of a statement, which is all that is left.
std::optional<std::string> only_name(Tokens rest) {
  if (rest.size() != 1 || !is_name(rest[0]) || rest[0].text.empty()) return std::nullopt;
  return lower_name(rest[0]);
}

Parsed savepoint(Tokens rest) {
  const auto name = only_name(rest);
  return name ? Parsed(Command{SetSavepoint{*name}, "SAVEPOINT"}) : std::nullopt;
}

Parsed release(Tokens rest) {
  if (begins_with(rest, {"savepoint"}) && rest.size() > 1) rest = rest.subspan(1);
  const auto name = only_name(rest);
  return name ? Parsed(Command{ReleaseSavepoint{*name}, "RELEASE"}) : std::nullopt;
}

// ROLLBACK [WORK | TRANSACTION] [TO [SAVEPOINT] name]
Parsed rollback(Tokens rest) {
  if (is_transaction_word(rest)) return Command{Rollback{}, "ROLLBACK"};
  if (is_transaction_word(rest.first(1))) rest = rest.subspan(1);
  if (!begins_with(rest, {"to"})) return std::nullopt;
  rest = rest.subspan(1);
  if (begins_with(rest, {"savepoint"}) && rest.size() > 1) rest = rest.subspan(1);
  const auto name = only_name(rest);
  return name ? Parsed(Command{RollbackToSavepoint{*name}, "ROLLBACK"}) : std::nullopt;
}

Parsed deallocate(Tokens rest) {
  if (begins_with(rest, {"prepare"}) && rest.size() > 1) rest = rest.subspan(1);
  if (rest.size() == 1 && rest[0].lower == "all") return Command{Deallocate{}, "DEALLOCATE ALL"};
  const auto name = only_name(rest);
  return name ? Parsed(Command{Deallocate{*name}, "DEALLOCATE"}) : std::nullopt;
}

Parsed discard(Tokens rest) {
  return rest.size() == 1 && rest[0].lower == "all" ? Parsed(Command{DiscardAll{}, "DISCARD ALL"})
                                                    : std::nullopt;
}

struct Parser {
  std::string_view word;
  Parsed (*parse)(Tokens rest);
};
constexpr std::array kParsers = {
    Parser{"show", show},         Parser{"select", show},
    Parser{"reload", reload},     Parser{"reconnect", reconnect},
    Parser{"shutdown", shutdown}, Parser{"set", set},
    Parser{"reset", reset},       Parser{"begin", begin},
    Parser{"start", start},       Parser{"commit", commit},
    Parser{"end", commit},        Parser{"rollback", rollback},
    Parser{"abort", rollback},    Parser{"deallocate", deallocate},
    Parser{"discard", discard},   Parser{"savepoint", savepoint},
    Parser{"release", release},
};

constexpr size_t kMostParameters = 100;  // of the queries that have a fixed answer

size_t count_parameters(Tokens tokens) {
  size_t count = 0;
  for (const Token& token : tokens) {
    if (token.kind != Token::Kind::Word || !token.text.starts_with('$')) continue;
    size_t number = 0;
    const auto read = std::from_chars(token.text.data() + 1, token.text.data() + token.text.size(), number);
    if (read.ec == std::errc::result_out_of_range) number = kMostParameters + 1;
    count = std::max(count, number);
  }
  return count;
}

Parsed parse(const Statement& statement) {
  if (!statement.well_formed) return std::nullopt;
  if (const FixedAnswer* answer = find_fixed_answer(canonical_text(statement))) {
    const size_t parameters = count_parameters(statement.tokens);
    return parameters <= kMostParameters ? Parsed(Command{Answer{answer}, answer->tag, parameters})
                                         : std::nullopt;
  }
  const std::string word = lower_name(statement.tokens.front());
  const auto* parser = std::find_if(kParsers.begin(), kParsers.end(),
                                    [&](const Parser& candidate) { return candidate.word == word; });
  if (parser == kParsers.end()) return std::nullopt;
  return parser->parse(Tokens(statement.tokens).subspan(1));
}

// PgBouncer's words, which scripts match on.
base::Error invalid_command(std::string_view source) {
  constexpr size_t kLongest = 900;  // PgBouncer cuts its message, too
  if (source.size() > kLongest) {
    size_t end = kLongest;
    while (end > 0 && (static_cast<unsigned char>(source[end]) & 0xc0) == 0x80)
      --end;  // between two characters
    source = source.substr(0, end);
  }
  return {"42601", "invalid command '" + std::string(source) + "', use SHOW HELP;"};
}

}  // namespace

std::span<const wire::Column> Command::columns() const {
  if (const auto* show = std::get_if<ShowTheTable>(&action)) return show->table->columns;
  if (const auto* show = std::get_if<ShowVariable>(&action)) return {&show->variable->column, 1};
  if (const auto* fixed = std::get_if<Answer>(&action)) return fixed->answer->columns;
  return {};
}

bool Command::may_end_failed_transaction() const {
  return std::holds_alternative<Commit>(action) || std::holds_alternative<Rollback>(action) ||
         std::holds_alternative<RollbackToSavepoint>(action);
}

base::Result<std::vector<Command>> parse_commands(std::string_view sql) {
  std::vector<Command> commands;
  for (const Statement& statement : split_statements(sql)) {
    Parsed command = parse(statement);
    if (!command) return invalid_command(statement.source);
    commands.push_back(std::move(*command));
  }
  return commands;
}

}  // namespace tidepool::admin
