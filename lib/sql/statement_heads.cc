// The heads of statements that begin with a verb of which more than the verb matters.
#include <optional>
#include <utility>

#include "lib/base/ascii.h"
#include "lib/sql/classifier.h"
#include "lib/sql/settings_of_texts.h"

namespace tidepool::sql {

namespace {

constexpr size_t kLongestName = 63;  // NAMEDATALEN - 1
constexpr int kDeepestBlock = 4;     // DO within DO within ...: deeper ones are not read

}  // namespace

// Is the current token the first word of a setting's name? SET LOCAL x = 1, but SET local.x = 1.
bool Classifier::is_assigned() const {
  if (!token_.is_name()) return false;
  const Token next = peek();
  return next.is('.') || next.is('=') || is_followed_by(Word::To) || is_followed_by(Word::From);
}

// https://www.postgresql.org/docs/current/sql-set.html and its special cases
void Classifier::read_set() {
  while (word_ == Word::Session && !is_assigned()) advance();
  if (is_assigned()) return read_assignment();
  switch (word_) {
    case Word::Local:
      advance();
      return read_set_local();
    case Word::Transaction:
    case Word::Constraints:
      return;
    case Word::Authorization:
      add_setting("session_authorization");
      break;
    case Word::Characteristics:
      for (const char* name : {"default_transaction_isolation", "default_transaction_read_only",
                               "default_transaction_deferrable"})
        add_setting(name);
      return;
    case Word::Names:
      add_setting("client_encoding");
      if (peek().kind != Token::Kind::String) resets_setting();
      break;
    case Word::Role:
      add_setting("role");
      break;
    case Word::Schema:
      add_setting("search_path");
      break;
    case Word::Time:
      advance();
      add_setting("timezone");
      if (is_followed_by(Word::Local)) resets_setting();
      break;
    case Word::Xml:
      add_setting("xmloption");
      break;
    default:  // no SET that we know, or of a name that is spelled with escapes
      if (!at_end_of_statement()) raise(Trait::Unreadable);
      return raise(Trait::AnySetting);
  }
  if (is_followed_by(Word::Default)) resets_setting();
}

void Classifier::read_set_local() {
  while (word_ == Word::Session && !is_assigned()) advance();
  if (is_assigned()) return set_locally(read_setting_name());
  switch (word_) {
    case Word::Transaction:
    case Word::Constraints:
      return;
    case Word::Authorization:
    case Word::Names:
    case Word::Role:
    case Word::Schema:
      return raise(Trait::SetsLocally);
    default:  // TIME ZONE, XML OPTION
      return set_something_locally();
  }
}

void Classifier::set_locally(std::string_view name) {
  if (base::same_letters(name, "application_name")) changes_name(false);
  if (decides_literals(name)) return set_something_locally();
  const bool decides_what_is_heard = base::same_letters(name, "client_min_messages");
  if (decides_names(name) || decides_letters(name) || decides_what_is_heard) raise(Trait::SetsLocally);
  if (name.find('.') != std::string_view::npos) raise(Trait::SetsCustomLocally);
}

void Classifier::set_something_locally() {
  raise(Trait::SetsLocally);
  raise(Trait::SetsLiteralsLocally);
  raise(Trait::SetsCustomLocally);
}

void Classifier::read_assignment() {
  add_setting(read_setting_name());
  advance();
  if (word_ == Word::Default) resets_setting();
}

void Classifier::read_reset() {
  raise(Trait::ResetsSetting);
  if (word_ == Word::All) return resets_all();
  if (word_ == Word::Session && is_followed_by(Word::Authorization))
    return add_setting("session_authorization");
  if (word_ == Word::Time && is_followed_by(Word::Zone)) return add_setting("timezone");
  if (!token_.is_name()) {
    if (!at_end_of_statement()) raise(Trait::Unreadable);
    return raise(Trait::AnySetting);
  }
  add_setting(read_setting_name());
  resets_setting();
}

std::string Classifier::read_setting_name() {
  std::string name = own_name();
  for (advance(); token_.is('.'); advance()) {
    advance();
    if (!token_.is_name()) {
      raise(Trait::Unreadable);
      break;
    }
    name += '.';
    name += own_name();
  }
  return name;
}

// The current token's. What PostgreSQL cuts off of a long one depends on its encoding.
std::string Classifier::own_name() {
  if (without_quotes(token_).size() > kLongestName) raise(Trait::Unreadable);
  return folded_name(token_);
}

void Classifier::add_setting(std::string name) {
  if (base::same_letters(name, "session_authorization")) traits_.add_setting("role");
  if (base::same_letters(name, "seed")) raise(Trait::Unaskable);  // setseed(); nobody can read it back
  last_is_name_ = base::same_letters(name, "application_name");
  if (last_is_name_) changes_name(false);
  traits_.add_setting(std::move(name));
}

void Classifier::resets_setting() {
  raise(Trait::ResetsSetting);
  if (last_is_name_) changes_name(true);
}

void Classifier::resets_all() {
  raise(Trait::ResetsSetting);
  raise(Trait::AnySetting);
  changes_name(true);
}

void Classifier::changes_name(bool resets) {
  traits_.drop(Trait::SetsName);
  traits_.drop(Trait::ResetsName);
  raise(resets ? Trait::ResetsName : Trait::SetsName);
}

void Classifier::read_prepare() {
  if (word_ == Word::Transaction && peek().kind == Token::Kind::String) return;  // of two-phase commit
  raise(Trait::PreparedStatement);
}

// DEALLOCATE prepare deallocates a statement of that name.
void Classifier::read_deallocate() {
  raise(Trait::RemovesState);
  if (word_ == Word::Prepare) {
    const Token next = peek();
    if (next.is_name() || next.kind == Token::Kind::UnicodeName) advance();
  }
  if (word_ == Word::All) return raise(Trait::DeallocateAll);
  read_statement_name();
}

void Classifier::read_execute() {
  raise(Trait::Executes);
  raise(Trait::MayAdvance);
  if (depth_ > 0) raise(Trait::Dynamic);
  read_statement_name();
}

void Classifier::read_statement_name() {
  if (token_.kind == Token::Kind::UnicodeName) raise(Trait::Unreadable);
  if (!token_.is_name() || depth_ > 0) return;
  traits_.named_statements.push_back(
      {static_cast<size_t>(token_.text.data() - text_.data()), token_.text.size(), own_name()});
  advance();
}

void Classifier::read_discard() {
  raise(Trait::RemovesState);
  if (word_ == Word::Plans) raise(Trait::DiscardPlans);
  if (word_ != Word::All) return;
  raise(Trait::DiscardAll);
  resets_all();
}

// DECLARE c CURSOR WITH HOLD FOR query
void Classifier::read_declare() {
  for (; !at_end_of_statement() && word_ != Word::For; advance())
    if (word_ == Word::With && is_followed_by(Word::Hold)) raise(Trait::HoldCursor);
}

void Classifier::read_create() {
  raise(Trait::Creates);
  if (word_ == Word::Or && is_followed_by(Word::Replace)) {
    advance();
    advance();
  }
  if (word_ == Word::Function || word_ == Word::Procedure) return read_create_routine();
  if (word_ == Word::Extension) raise(Trait::Calls);  // its script
  size_t brackets = 0;                                // CREATE RULE has ; between them
  bool has_as = false;
  Word before = Word::Create;
  for (; !at_end() && (brackets > 0 || !token_.is(';')); advance()) {
    if (token_.is('(')) ++brackets;
    if (token_.is(')') && brackets > 0) --brackets;
    if (word_ == Word::Temporary &&
        (before == Word::Create || before == Word::Local || before == Word::Global))
      raise(Trait::TemporaryObject);
    if (word_ == Word::As && !std::exchange(has_as, true) && is_followed_by(Word::Execute)) {
      advance();
      advance();
      return read_execute();
    }
    // What is run at once is the query of CREATE TABLE AS, what an index or a partition is of. A trigger
    // has EXECUTE FUNCTION.
    if (brackets > 0 || has_as)
      on_token_of_expression();
    else if (word_ != Word::Execute)
      on_token();
    before = word_;
  }
  if (brackets > 0) raise(Trait::Unreadable);
}

// Nothing of it is run. A body of SQL may stand there unquoted, ; included: BEGIN ATOMIC ... END.
void Classifier::read_create_routine() {
  size_t brackets = 0;
  size_t blocks = 0;
  for (bool is_label = false; !at_end() && (brackets + blocks > 0 || !token_.is(';')); advance()) {
    if (token_.is('(')) ++brackets;
    if (token_.is(')') && brackets > 0) --brackets;
    const bool is_quoted = token_.kind == Token::Kind::QuotedName;
    if (word_ == Word::PgTemp || (is_quoted && find_quoted(without_quotes(token_)) == Word::PgTemp))
      raise(Trait::TemporaryObject);
    if (token_.kind == Token::Kind::UnicodeName) raise(Trait::Unreadable);
    // CASE and END may be labels there without an AS.
    if (word_ == Word::Begin && blocks == 0 && is_followed_by(Word::Atomic)) {
      ++blocks;
      raise(Trait::Unreadable);
    }
    if (word_ == Word::Case && blocks > 0 && !is_label) ++blocks;
    if (word_ == Word::End && blocks > 0 && !is_label) --blocks;
    is_label = word_ == Word::As || token_.is('.');
  }
  if (brackets + blocks > 0) raise(Trait::Unreadable);
}

// COPY t FROM, but not COPY (SELECT ... FROM ...) TO.
void Classifier::read_copy() {
  size_t brackets = 0;
  for (; !at_end_of_statement(); advance()) {
    if (token_.is('(')) ++brackets;
    if (token_.is(')') && brackets > 0) --brackets;
    if (word_ == Word::From && brackets == 0) raise(Trait::MayAdvance);
    if (brackets > 0)
      on_token_of_expression();
    else
      on_token();  // COPY t (...)
  }
}

// DO [LANGUAGE name] 'body' [LANGUAGE name]
void Classifier::read_do() {
  raise(Trait::MayAdvance);
  raise(Trait::Calls);
  std::string language = "plpgsql";
  Token body;
  for (; !at_end_of_statement(); advance()) {
    if (word_ == Word::Language) {
      advance();
      if (token_.is_name())
        language = folded_name(token_);
      else if (token_.kind == Token::Kind::String)
        language = lexer_.value_of(token_).value_or("");
      else
        language.clear();
      if (at_end_of_statement()) break;
    } else if (token_.kind == Token::Kind::String) {
      body = token_;
    }
  }
  if (body.kind != Token::Kind::String) return raise(Trait::Dynamic);
  const std::optional<std::string> text = lexer_.value_of(body);
  if (!text || language != "plpgsql" || depth_ >= kDeepestBlock) return raise(Trait::Dynamic);
  Classifier(*text, options_, traits_, depth_ + 1).read_block();
}

// EXPLAIN ANALYZE runs what it explains.
void Classifier::read_explain() {
  size_t brackets = 0;  // of options
  for (; !at_end_of_statement(); advance()) {
    if (token_.is('(')) ++brackets;
    if (token_.is(')') && brackets > 0) {
      --brackets;
    } else if (brackets == 0 && word_ != Word::Analyze && word_ != Word::Verbose) {
      break;
    }
    on_token();
  }
  if (at_end_of_statement() || word_ == Word::Explain) return;
  read_head(word_, token_);
}

void Classifier::read_end_of_transaction() {
  if (word_ == Word::Work || word_ == Word::Transaction) advance();
  if (word_ == Word::And && is_followed_by(Word::Chain)) raise(Trait::BeginsTransaction);
}

}  // namespace tidepool::sql
