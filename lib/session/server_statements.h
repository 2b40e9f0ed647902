// The prepared statements that one server has, under names of ours, no number ever used twice on a server.
// The one used longest ago goes when there are too many.
//
// A copy that a client's Parse has just made is that client's alone, until PostgreSQL has said what its
// parameters and rows are; then all who have an equal statement use it, in place of an older copy.
#pragma once

#include <cstdint>
#include <list>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "lib/session/prepared_statement.h"

namespace tidepool::session {

class ServerStatements {
 public:
  // `names`: what names of ours begin with on this server.
  explicit ServerStatements(std::string names) : names_(std::move(names)), name_(names_) {}

  // Valid until the next call.
  std::string_view name_of(uint32_t number) const;
  // Names of ours are nobody else's.
  bool is_ours(std::string_view name) const { return name.starts_with(names_); }
  // Of a statement that is never there.
  std::string nobodys_name() const { return names_ + "refused"; }
  // What names of ours begin with on this server.
  const std::string& names() const { return names_; }

  struct Copy {
    StatementPtr statement;
    uint32_t number;
    uint32_t era;
    bool is_doubtful = false;
    uint32_t uses = 0;
  };
  // Null: it is not there. Counts as its latest use.
  Copy* find_copy(const PreparedStatement& statement);
  // Its number, or 0.
  uint32_t find(const PreparedStatement& statement) {
    const Copy* copy = find_copy(statement);
    return copy != nullptr ? copy->number : 0;
  }
  // One that is known and differs from `statement` at most by what is known of it. Null: there is none.
  const Copy* find_like(const PreparedStatement& statement);
  // Asked for what was used just now, which is in front.
  Copy* of_number(uint32_t number);
  // A Parse of it is on its way, under the number returned.
  uint32_t add(StatementPtr statement);
  // The copy turned out to be this one: an older one of it goes.
  void known_as(uint32_t number, StatementPtr statement);
  // A number for a name of our own that nothing else will have.
  uint32_t fresh_number() { return ++last_number_; }
  // One that is to be closed: unwanted, or used longest ago if there are `most` or more. It is forgotten. 0:
  // none.
  uint32_t take_surplus(size_t most);
  bool has_unwanted() const { return !unwanted.empty(); }
  // It is not there, or must not be used any more.
  void remove(uint32_t number);
  // Numbers of statements that are there, but not to be used any more.
  std::vector<uint32_t> unwanted;

  // The number of a statement that nobody uses, and that whoever deallocates all takes along. 0: there is
  // none.
  uint32_t witness() const { return witness_era_ >= eras_.now() ? witness_ : 0; }
  // There is one, or a DEALLOCATE ALL is on its way that takes it. If it does not, a second one behind that
  // would hide that the first is gone.
  bool has_witness() const { return witness_ != 0; }
  void set_witness(uint32_t number) {
    witness_ = number;
    witness_era_ = eras_.now();
  }

  // It is there, but must not be used any more.
  void give_up(uint32_t number) {
    remove(number);
    unwanted.push_back(number);
  }
  // None of them must.
  void give_up_all();
  // The same for those that doubt() was said of: used under settings that are not known.
  void doubt(uint32_t number);
  bool has_doubtful() const { return has_doubtful_; }
  void give_up_doubtful();
  // The same for those of which PostgreSQL has not said what they are.
  bool has_unknown() const { return unknown_ > 0; }
  void give_up_unknown();

  // As in ClientStatements.
  Era begin_era() { return eras_.begin(); }
  void end_era(Era ended);
  void undo_era(Era undone) { eras_.undo(undone); }
  void clear();
  // Those that have lower numbers are not there any more.
  void clear_before(uint32_t first);
  uint32_t last_number() const { return last_number_; }

  // The statement by which the server is asked behind a function (StateQuestion): parsed once, it costs a
  // sixth.
  enum class Question : uint8_t { NotThere, Prepared, Unwanted } question = Question::NotThere;
  std::string name_of_question() const { return names_ + "0"; }
  // All that are there under names of ours, but for the question: how many, and the sum of their numbers.
  struct Census {
    uint64_t count = 0, sum = 0;
    bool operator==(const Census&) const = default;
  };
  Census census() const;
  // From which number on, if these are the last ones of all: those before were deallocated. Nothing: others.
  std::optional<uint32_t> first_of(Census last) const;
  // The same, by number.
  std::vector<uint32_t> numbers() const;

  size_t size() const { return by_statement_.size(); }
  bool is_empty() const { return copies_.empty() && unwanted.empty() && witness_ == 0; }

 private:
  using Place = std::list<Copy>::iterator;
  Place place_of(uint32_t number);
  void forget(Place at);
  template <class Condition>
  void give_up_if(Condition&& condition);

  const std::string names_;
  mutable std::string name_;  // that was asked for last
  std::list<Copy> copies_;    // the latest used first
  std::unordered_map<const PreparedStatement*, Place> by_statement_;
  uint32_t last_number_ = 0;
  Eras eras_;
  uint32_t witness_ = 0, witness_era_ = 0;
  uint32_t unknown_ = 0;  // copies of which nothing is known yet
  bool has_doubtful_ = false;
};

}  // namespace tidepool::session
