// One pass over a text. Most statements are skimmed: of the words in them only a few matter, wherever they
// stand. Some verbs at the start of a statement have a head worth reading token by token; then the rest is
// skimmed.
#include <algorithm>
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "lib/sql/call_arguments.h"
#include "lib/sql/lexer.h"
#include "lib/sql/settings_of_texts.h"
#include "lib/sql/statement_traits.h"
#include "lib/sql/words.h"

namespace tidepool::sql {

namespace {

constexpr int kDeepestBlock = 4;  // DO within DO within ...: deeper ones are not read

bool equal_ignoring_case(std::string_view a, std::string_view b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                    [](char x, char y) { return to_lower(x) == to_lower(y); });
}

std::string_view without_quotes(const Token& name) {
  if (name.kind == Token::Kind::Word || name.text.size() < 2) return name.text;
  return name.text.substr(1, name.text.size() - 2);
}

// Are there only blanks and comments between two names, and perhaps one `symbol`?
bool is_next_to(const Token& first, const Token& second, char symbol = 0) {
  const char* const begin = first.text.data() + first.text.size();
  if (first.text.empty() || begin > second.text.data()) return false;  // a head's last token is read again
  Lexer between({begin, static_cast<size_t>(second.text.data() - begin)}, false);
  if (symbol != 0 && !between.next().is(symbol)) return false;
  return between.next().kind == Token::Kind::End;
}

class Classifier {
 public:
  Classifier(std::string_view text, const Options& options, StatementTraits& traits, int depth = 0)
      : text_(text),
        options_(options),
        traits_(traits),
        depth_(depth),
        lexer_(text, !options.standard_conforming_strings),
        lookahead_left_(4 * text.size()) {}

  void read_statements();
  void read_block();  // the body of a DO

 private:
  void read_head(Word verb, Token token);
  void skim();
  void on_name(const Token& token);
  void on_word(Word word, const Token& token);
  void look_for_pinned(const Token& name);
  void on_function(Word function);
  void on_set_config();
  bool is_pinned(const Token& function) const;
  bool is_qualified(const Token& name, std::string_view schema) const;

  void read_set();
  void read_assignment();
  void read_reset();
  void read_prepare();
  void read_deallocate();
  void read_execute();
  void read_discard();
  void read_set_local();
  void set_locally(std::string_view name);
  void set_something_locally();
  void read_declare();
  void read_create();
  void read_create_routine();
  void read_copy();
  void read_do();
  void read_explain();
  void read_end_of_transaction();

  // The heads' current token and what it is; lexer_ stands behind it.
  void advance() {
    token_ = lexer_.next();
    word_ = token_.kind == Token::Kind::Word ? find_word(token_.text) : Word::Other;
  }
  Token peek() const {
    Lexer ahead = lexer_;
    return ahead.next();
  }
  bool is_followed_by(Word word) const {
    const Token next = peek();
    return next.kind == Token::Kind::Word && find_word(next.text) == word;
  }
  bool at_end() const { return token_.kind == Token::Kind::End; }
  bool at_end_of_statement() const { return at_end() || token_.is(';'); }
  bool is_assigned() const;
  std::string read_setting_name();
  void read_statement_name();
  void on_token();

  void raise(Trait trait) { traits_.raise(trait); }
  void add_setting(std::string name);

  std::string_view text_;
  const Options& options_;
  StatementTraits& traits_;
  int depth_;
  Lexer lexer_;
  size_t lookahead_left_;
  Token token_;
  Word word_ = Word::Other;
  Token last_;  // name that might have mattered, and what it is; Into only if it is SELECT's
  Word last_word_ = Word::Other;
  Token last_named_;      // kept only if there are pin_functions
  bool updates_ = false;  // UPDATE was seen in this statement
};

void Classifier::read_statements() {
  for (;;) {
    const Token first = lexer_.next();
    if (first.kind == Token::Kind::End) break;
    updates_ = false;
    if (first.kind == Token::Kind::Word)
      read_head(find_word(first.text), first);
    else
      lexer_.go_back_before(first);
    skim();
  }
  if (lexer_.is_broken() || lexer_.is_doubtful()) raise(Trait::Unreadable);
}

// To the end of the statement.
void Classifier::skim() {
  const bool looks_for_pinned = !options_.pin_functions.empty();
  const size_t shortest = looks_for_pinned ? 1 : kShortestThatMattersAnywhere;
  for (;;) {
    const Token token = lexer_.next_name(shortest);
    if (token.kind == Token::Kind::Symbol || token.kind == Token::Kind::End) return;
    if (may_matter(without_quotes(token)) || token.kind == Token::Kind::UnicodeName) on_name(token);
    if (looks_for_pinned) look_for_pinned(token);
  }
}

// Statements of plpgsql begin behind a ; or a few words. BEGIN there begins no transaction.
void Classifier::read_block() {
  bool begins_statement = true;
  for (;;) {
    advance();
    if (at_end()) break;
    if (begins_statement) updates_ = false;
    const Word word = word_;
    if (begins_statement && token_.kind == Token::Kind::Word)
      read_head(word, token_);
    else
      on_token();
    begins_statement = word == Word::Begin || word == Word::Then || word == Word::Else ||
                       word == Word::Loop || token_.is(';') || token_.is('>');  // of <<label>>
  }
  if (lexer_.is_broken() || lexer_.is_doubtful()) raise(Trait::Unreadable);
}

// `token` is the verb; lexer_ stands behind it, and then behind what was read of the head, before any ';'.
void Classifier::read_head(Word verb, Token token) {
  const bool in_block = depth_ > 0;
  switch (verb) {
    case Word::Other:
      return;
    case Word::Begin:
      if (!in_block) raise(Trait::BeginsTransaction);
      return;
    case Word::Start:
      if (!in_block && is_followed_by(Word::Transaction)) raise(Trait::BeginsTransaction);
      return;
    case Word::Listen:
      return raise(Trait::Listen);
    case Word::Load:
      return raise(Trait::Load);
    case Word::Alter:  // a new column's default may be a sequence's
      if (is_followed_by(Word::Table)) raise(Trait::MayAdvance);
      return;
    case Word::Call:
    case Word::Refresh:
      return raise(Trait::MayAdvance);
    case Word::Unlisten:
    case Word::Drop:
    case Word::Close:
      return raise(Trait::RemovesState);
    default:
      break;
  }
  using Read = void (Classifier::*)();
  const Read read = [&]() -> Read {
    switch (verb) {
      case Word::Abort:
      case Word::Commit:
      case Word::End:
      case Word::Rollback:
        return in_block ? nullptr : &Classifier::read_end_of_transaction;
      case Word::Copy:
        return &Classifier::read_copy;
      case Word::Create:
        return &Classifier::read_create;
      case Word::Deallocate:
        return &Classifier::read_deallocate;
      case Word::Declare:
        return in_block ? nullptr : &Classifier::read_declare;
      case Word::Discard:
        return &Classifier::read_discard;
      case Word::Do:
        return &Classifier::read_do;
      case Word::Execute:
        return in_block ? nullptr : &Classifier::read_execute;
      case Word::Explain:
        return &Classifier::read_explain;
      case Word::Prepare:
        return &Classifier::read_prepare;
      case Word::Reset:
        return &Classifier::read_reset;
      case Word::Set:
        return &Classifier::read_set;
      default:
        return nullptr;
    }
  }();
  if (read == nullptr) return on_word(verb, token);
  advance();
  (this->*read)();
  lexer_.go_back_before(token_);
}

// A name anywhere in a statement; lexer_ stands behind it.
void Classifier::on_name(const Token& token) {
  if (token.kind == Token::Kind::UnicodeName) return raise(Trait::Unreadable);
  on_word(token.kind == Token::Kind::Word ? find_word(token.text) : find_quoted(without_quotes(token)),
          token);
}

void Classifier::on_word(Word word, const Token& token) {
  const Word before = is_next_to(last_, token) ? last_word_ : Word::Other;
  last_ = token;
  last_word_ = word;
  switch (word) {
    case Word::Update:
      updates_ = true;
      [[fallthrough]];
    case Word::Insert:
    case Word::Delete:
    case Word::Merge:
      raise(Trait::MayAdvance);
      break;
    case Word::Into:
      if (before == Word::Insert || before == Word::Merge)
        last_word_ = Word::Other;
      else
        raise(Trait::Creates);
      break;
    case Word::Temporary:
    case Word::Local:
    case Word::Global:
      if (before == Word::Into) raise(Trait::TemporaryObject);
      break;
    case Word::Execute:
      if (depth_ > 0) raise(Trait::Dynamic);
      break;
    case Word::PgTemp:
      raise(Trait::TemporaryObject);
      break;
    case Word::PgSettings:
      if (updates_) raise(Trait::AnySetting);
      break;
    default:
      if (word >= kFirstFunction && lexer_.is_before('(')) on_function(word);
  }
}

void Classifier::look_for_pinned(const Token& name) {
  if (lexer_.is_before('(') && is_pinned(name)) raise(Trait::Unaskable);
  last_named_ = name;
}

// The heads' current token, if nothing else is known about it.
void Classifier::on_token() {
  if (!token_.is_name() && token_.kind != Token::Kind::UnicodeName) return;
  on_name(token_);
  if (!options_.pin_functions.empty()) look_for_pinned(token_);
}

void Classifier::on_function(Word function) {
  switch (function) {
    case Word::AdvanceSequence:
      return raise(Trait::MayAdvance);
    case Word::AdvisoryLock:
      return raise(Trait::AdvisoryLock);
    case Word::AdvisoryUnlock:
      return raise(Trait::RemovesState);
    case Word::CurrentValue:
      return raise(Trait::NamesCurrentValue);
    case Word::LeaveUnaskable:
      return raise(Trait::Unaskable);
    case Word::RunText:
      return raise(Trait::Dynamic);
    case Word::SetLimit:
      return add_setting("pg_trgm.similarity_threshold");
    default:
      return on_set_config();
  }
}

void Classifier::on_set_config() {
  Lexer arguments = lexer_;
  arguments.next();
  SetConfigCall call = read_set_config(arguments, lookahead_left_);
  if (call.is_local)
    return call.name == SetConfigCall::Name::Literal ? set_locally(call.literal) : set_something_locally();
  if (call.name == SetConfigCall::Name::Literal) return add_setting(std::move(call.literal));
  if (call.name == SetConfigCall::Name::Computed || depth_ > 0) {
    raise(Trait::NamelessSetting);
    return raise(Trait::AnySetting);
  }
  traits_.add_setting_parameter(call.parameter);
}

bool Classifier::is_pinned(const Token& function) const {
  return std::any_of(options_.pin_functions.begin(), options_.pin_functions.end(),
                     [&](std::string_view pinned) {
                       const size_t dot = pinned.rfind('.');
                       if (!equal_ignoring_case(pinned.substr(dot + 1), without_quotes(function)))
                         return false;  // npos + 1 is 0
                       return dot == pinned.npos || is_qualified(function, pinned.substr(0, dot));
                     });
}

bool Classifier::is_qualified(const Token& name, std::string_view schema) const {
  return last_named_.is_name() && equal_ignoring_case(without_quotes(last_named_), schema) &&
         is_next_to(last_named_, name, '.');
}

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
      if (peek().kind != Token::Kind::String) raise(Trait::ResetsSetting);
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
      if (is_followed_by(Word::Local)) raise(Trait::ResetsSetting);
      break;
    case Word::Xml:
      add_setting("xmloption");
      break;
    default:
      return raise(Trait::AnySetting);  // no SET that we know
  }
  if (is_followed_by(Word::Default)) raise(Trait::ResetsSetting);
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
  if (decides_literals(name)) return set_something_locally();
  if (decides_names(name) || decides_letters(name)) raise(Trait::SetsLocally);
}

void Classifier::set_something_locally() {
  raise(Trait::SetsLocally);
  raise(Trait::SetsLiteralsLocally);
}

void Classifier::read_assignment() {
  add_setting(read_setting_name());
  advance();
  if (word_ == Word::Default) raise(Trait::ResetsSetting);
}

void Classifier::read_reset() {
  raise(Trait::ResetsSetting);
  if (word_ == Word::All) return raise(Trait::AnySetting);
  if (word_ == Word::Session && is_followed_by(Word::Authorization))
    return add_setting("session_authorization");
  if (word_ == Word::Time && is_followed_by(Word::Zone)) return add_setting("timezone");
  if (!token_.is_name()) return raise(Trait::AnySetting);
  add_setting(read_setting_name());
}

std::string Classifier::read_setting_name() {
  std::string name = folded_name(token_);
  for (advance(); token_.is('.'); advance()) {
    advance();
    if (!token_.is_name()) {
      raise(Trait::Unreadable);
      break;
    }
    name += '.';
    name += folded_name(token_);
  }
  return name;
}

void Classifier::add_setting(std::string name) {
  if (equal_ignoring_case(name, "session_authorization")) traits_.add_setting("role");
  if (equal_ignoring_case(name, "seed")) raise(Trait::Unaskable);  // setseed(); nobody can read it back
  traits_.add_setting(std::move(name));
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
  if (!token_.is_name() || depth_ > 0) return;
  traits_.named_statements.push_back(
      {static_cast<size_t>(token_.text.data() - text_.data()), token_.text.size(), folded_name(token_)});
  advance();
}

void Classifier::read_discard() {
  raise(Trait::RemovesState);
  if (word_ == Word::Plans) raise(Trait::DiscardPlans);
  if (word_ != Word::All) return;
  raise(Trait::DiscardAll);
  raise(Trait::AnySetting);
  raise(Trait::ResetsSetting);
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
  size_t brackets = 0;  // CREATE RULE has ; between them
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
    if (word_ != Word::Execute) on_token();  // of a trigger: EXECUTE FUNCTION
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
    if (word_ == Word::Begin && blocks == 0 && is_followed_by(Word::Atomic)) ++blocks;
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
    on_token();
  }
}

// DO [LANGUAGE name] 'body' [LANGUAGE name]
void Classifier::read_do() {
  raise(Trait::MayAdvance);
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

}  // namespace

StatementTraits classify(std::string_view text, const Options& options) {
  StatementTraits traits;
  Classifier(text, options, traits).read_statements();
  return traits;
}

}  // namespace tidepool::sql
