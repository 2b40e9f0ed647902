// Words wherever they stand, and which head is to be read.
#include "lib/sql/classifier.h"

#include <algorithm>
#include <utility>

#include "lib/base/ascii.h"
#include "lib/sql/call_arguments.h"
#include "lib/sql/catalog_names.h"

namespace tidepool::sql {

namespace {

// Are there only blanks and comments between two names, and perhaps one `symbol`?
bool is_next_to(const Token& first, const Token& second, char symbol = 0) {
  const char* const begin = first.text.data() + first.text.size();
  if (first.text.empty() || begin > second.text.data()) return false;  // a head's last token is read again
  Lexer between({begin, static_cast<size_t>(second.text.data() - begin)}, false);
  if (symbol != 0 && !between.next().is(symbol)) return false;
  return between.next().kind == Token::Kind::End;
}

}  // namespace

void Classifier::read_statements() {
  for (;;) {
    const Token first = lexer_.next();
    if (first.kind == Token::Kind::End) break;
    updates_ = false;
    statement_ = first.text.data();
    behind_into_ = nullptr;
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
    if (token.kind == Token::Kind::Symbol && token.is('(')) {
      on_bracket();
      continue;
    }
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
      if (is_followed_by(Word::Extension)) raise(Trait::Calls);  // its script
      return raise(Trait::ChangesObjects);
    case Word::Call:
      raise(Trait::Calls);
      return raise(Trait::MayAdvance);
    case Word::Refresh:
      return raise(Trait::MayAdvance);
    case Word::Drop:
      raise(Trait::ChangesObjects);
      return raise(Trait::RemovesState);
    case Word::Unlisten:
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

// Behind a name: arguments of a function, as a rule.
void Classifier::on_bracket() {
  if (!traits_.has(Trait::Calls) && is_unknown_call()) raise(Trait::Calls);
}

bool Classifier::is_known(std::string_view name, bool& is_keyword) const {
  const bool is_quoted = name.front() == '"';
  if (is_quoted) name = name.size() < 2 ? "" : name.substr(1, name.size() - 2);
  const KnownName known = find_known_name(name, is_quoted, options_.server_major);
  is_keyword = known == KnownName::Keyword;
  return known != KnownName::None || (is_quoted ? find_quoted(name) : find_word(name)) >= kFirstFunction;
}

// The bracket stands behind lexer_'s last name. Where it is not sure that this is no function, it is one.
bool Classifier::is_unknown_call() const {
  const std::string_view name = lexer_.last_name();
  const auto named = [&](std::string_view word) { return base::same_letters(name, word); };
  const std::string_view front = lexer_.in_front_of_name();
  const char last = front.empty() ? ' ' : front.back();
  const std::string_view before = Lexer::last_word_of(front);
  const auto follows = [&](std::string_view word) { return base::same_letters(before, word); };
  // A table's list of columns, or a query with a name.
  if (follows("into") || follows("as") || follows("with") || follows("recursive")) return false;

  if (last != '.' && named("values")) return false;  // not looked for, since it is everywhere
  bool is_keyword = false;
  const bool known = is_known(name, is_keyword);
  if (last == '.') return (!known || is_keyword || !is_of_catalog(front)) && !is_table_of_insert();
  if (known) return false;
  if (last == ')') return may_follow_bracket();
  if (last == ':') return !front.ends_with("::");  // a type
  if (named("by")) return !follows("order") && !follows("group") && !follows("partition");
  if (named("conflict")) return !follows("on");
  if (named("insert")) return !follows("then");
  if (!named("join")) return true;
  const Token next = peek();
  const auto begins_with = [&](std::string_view word) { return base::same_letters(next.text, word); };
  return !begins_with("select") && !begins_with("with") && !begins_with("values");
}

// The dot at the end of `front` stands behind pg_catalog.
bool Classifier::is_of_catalog(std::string_view front) {
  const auto trim = [&] {
    while (!front.empty() && is(front.back(), kBlank)) front.remove_suffix(1);
  };
  front.remove_suffix(1);
  trim();
  const bool is_quoted = front.ends_with("\"pg_catalog\"");
  const std::string_view schema = is_quoted ? front.substr(front.size() - 12) : Lexer::last_word_of(front);
  if (!is_quoted && !base::same_letters(schema, "pg_catalog")) return false;
  front.remove_suffix(schema.size());
  trim();
  return !front.ends_with('.') && !front.ends_with('&') &&
         !front.ends_with('"');  // of another database, U&"..."
}

// A name behind a closing bracket is that of a table or a window, but behind DISTINCT ON (...) and RETURNING
// WITH (...).
bool Classifier::may_follow_bracket() const {
  const auto size = static_cast<size_t>(lexer_.at() - statement_);
  if (size > looking_back_left_) return true;
  looking_back_left_ -= size;
  Lexer lexer({statement_, size}, !options_.standard_conforming_strings);
  for (std::string_view before;;) {
    const Token token = lexer.next_name(1);
    if (token.kind == Token::Kind::End) return false;
    if (token.kind == Token::Kind::Symbol) continue;
    if (base::same_letters(before, "distinct") && base::same_letters(token.text, "on")) return true;
    if (base::same_letters(before, "returning") && base::same_letters(token.text, "with")) return true;
    before = token.text;
  }
}

// The bracket is that of INSERT INTO s.t (...).
bool Classifier::is_table_of_insert() const {
  if (behind_into_ == nullptr) return false;
  Lexer table({behind_into_, static_cast<size_t>(lexer_.at() - behind_into_)}, false);
  while (table.next().is_name() && table.is_before('.')) table.next();
  return table.next().is('(') && table.at() == lexer_.at();
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
      if (before == Word::Insert || before == Word::Merge) {
        last_word_ = Word::Other;
        behind_into_ = lexer_.at();
      } else {
        raise(Trait::Creates);
      }
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

// The same, where it may be called.
void Classifier::on_token_of_expression() {
  on_token();
  bool is_keyword = false;
  if (token_.is_name() && lexer_.is_before('(') && !is_known(token_.text, is_keyword)) raise(Trait::Calls);
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
  if (call.name == SetConfigCall::Name::Literal) {
    add_setting(std::move(call.literal));
    if (call.is_reset && last_is_name_) changes_name(true);
    return;
  }
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
                       if (!base::same_letters(pinned.substr(dot + 1), without_quotes(function)))
                         return false;  // npos + 1 is 0
                       return dot == pinned.npos || is_qualified(function, pinned.substr(0, dot));
                     });
}

bool Classifier::is_qualified(const Token& name, std::string_view schema) const {
  return last_named_.is_name() && base::same_letters(without_quotes(last_named_), schema) &&
         is_next_to(last_named_, name, '.');
}

bool depends_on_letters(std::string_view text) {
  return std::any_of(text.begin(), text.end(),
                     [](char c) { return static_cast<unsigned char>(c) >= 0x80 || c == '\\'; });
}

StatementTraits classify(std::string_view text, const Options& options) {
  StatementTraits traits;
  Classifier(text, options, traits).read_statements();
  if ((options.is_unsure || options.has_doubtful_letters) && depends_on_letters(text))
    traits.raise(Trait::Unreadable);
  return traits;
}

}  // namespace tidepool::sql
