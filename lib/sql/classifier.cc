// Words wherever they stand, and which head is to be read.
#include "lib/sql/classifier.h"

#include <algorithm>
#include <utility>

#include "lib/base/ascii.h"
#include "lib/sql/call_arguments.h"

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
                       if (!base::same_letters(pinned.substr(dot + 1), without_quotes(function)))
                         return false;  // npos + 1 is 0
                       return dot == pinned.npos || is_qualified(function, pinned.substr(0, dot));
                     });
}

bool Classifier::is_qualified(const Token& name, std::string_view schema) const {
  return last_named_.is_name() && base::same_letters(without_quotes(last_named_), schema) &&
         is_next_to(last_named_, name, '.');
}

StatementTraits classify(std::string_view text, const Options& options) {
  StatementTraits traits;
  Classifier(text, options, traits).read_statements();
  return traits;
}

}  // namespace tidepool::sql
