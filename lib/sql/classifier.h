// What classify() (statement_traits.h) is made of. One pass over a text: most statements are skimmed, since
// of the words in them only a few matter, wherever they stand (classifier.cc). Some verbs at the start of a
// statement have a head worth reading token by token (statement_heads.cc); then the rest is skimmed.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "lib/sql/lexer.h"
#include "lib/sql/statement_traits.h"
#include "lib/sql/words.h"

namespace tidepool::sql {

inline std::string_view without_quotes(const Token& name) {
  if (name.kind == Token::Kind::Word || name.text.size() < 2) return name.text;
  return name.text.substr(1, name.text.size() - 2);
}

class Classifier {
 public:
  Classifier(std::string_view text, const Options& options, StatementTraits& traits, int depth = 0)
      : text_(text),
        options_(options),
        traits_(traits),
        depth_(depth),
        lexer_(text, !options.standard_conforming_strings),
        lookahead_left_(4 * text.size()),
        statement_(text.data()),
        looking_back_left_(4 * text.size()) {}

  void read_statements();
  void read_block();  // the body of a DO

 private:
  void read_head(Word verb, Token token);
  void skim();
  void on_bracket();
  bool is_unknown_call() const;
  bool is_known(std::string_view name, bool& is_keyword) const;
  static bool is_of_catalog(std::string_view front);
  bool may_follow_bracket() const;
  bool is_table_of_insert() const;
  void on_name(const Token& token);
  void on_word(Word word, const Token& token);
  void look_for_pinned(const Token& name);
  void on_function(Word function);
  void on_set_config();
  bool is_pinned(const Token& function) const;
  bool is_qualified(const Token& name, std::string_view schema) const;

  // Heads (statement_heads.cc)
  void read_set();
  void read_set_local();
  void set_locally(std::string_view name);
  void set_something_locally();
  void read_assignment();
  void read_reset();
  void read_prepare();
  void read_deallocate();
  void read_execute();
  void read_discard();
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
  std::string own_name();
  void read_statement_name();
  void on_token();
  void on_token_of_expression();

  void raise(Trait trait) { traits_.raise(trait); }
  void add_setting(std::string name);
  // The setting that was added last goes back to what the session began with; all do.
  void resets_setting();
  void resets_all();
  void changes_name(bool resets);

  std::string_view text_;
  const Options& options_;
  StatementTraits& traits_;
  int depth_;
  bool last_is_name_ = false;  // application_name, of settings
  Lexer lexer_;
  size_t lookahead_left_;
  Token token_;
  Word word_ = Word::Other;
  Token last_;  // name that might have mattered, and what it is; Into only if it is SELECT's
  Word last_word_ = Word::Other;
  Token last_named_;                   // kept only if there are pin_functions
  bool updates_ = false;               // UPDATE was seen in this statement
  const char* statement_ = nullptr;    // where it begins
  const char* behind_into_ = nullptr;  // of INSERT
  mutable size_t looking_back_left_;
};

}  // namespace tidepool::sql
