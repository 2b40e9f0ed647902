// The shared prepared statements that one server has, under names of ours: "tidepool_1", "tidepool_2", ...,
// no number ever used twice on a server. The one used longest ago goes when there are too many.
#pragma once

#include <cstdint>
#include <list>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "lib/session/prepared_statement.h"
#include "lib/session/row_shape.h"

namespace tidepool::session {

class ServerStatements {
 public:
  static constexpr std::string_view kPrefix = "tidepool_";
  static std::string name_of(uint32_t number);

  struct Copy {
    StatementPtr statement;
    uint32_t number;
    uint32_t era;
    // What its rows look like (RowShape), once somebody was told. PostgreSQL keeps it so: if a table changes,
    // the copy fails.
    uint64_t shape = RowShape::kUnknown;
    bool is_doubtful = false;
  };
  // Null: it is not there. Counts as its latest use.
  const Copy* find_copy(const PreparedStatement& statement);
  // Its number, or 0.
  uint32_t find(const PreparedStatement& statement) {
    const Copy* copy = find_copy(statement);
    return copy != nullptr ? copy->number : 0;
  }
  Copy* of_number(uint32_t number);
  // A Parse of it is on its way, under the number returned.
  uint32_t add(StatementPtr statement);
  // A number for a name of our own that nothing else will have.
  uint32_t fresh_number() { return ++last_number_; }
  // One that is to be closed: unwanted, or used longest ago if there are `most` or more. It is forgotten. 0:
  // none.
  uint32_t take_surplus(size_t most);
  // It is not there, or must not be used any more.
  void remove(uint32_t number);
  // Numbers of statements that are there, but not to be used any more.
  std::vector<uint32_t> unwanted;

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

  // As in ClientStatements.
  uint32_t begin_era() { return era_++; }
  void end_era();
  void undo_era(uint32_t before) { era_ = before; }
  void clear();

  // The statement by which the server is asked behind a function (StateQuestion): parsed once, it costs a
  // sixth.
  enum class Question : uint8_t { NotThere, Prepared, Unwanted } question = Question::NotThere;
  std::string name_of_question() const { return std::string(prefix()) + "0"; }
  // What names of ours begin with on this server.
  std::string_view prefix() const { return kPrefix; }
  // All that are there under names of ours, but for the question: how many, and the sum of their numbers.
  struct Census {
    uint64_t count = 0, sum = 0;
    bool operator==(const Census&) const = default;
  };
  Census census() const;

  size_t size() const { return by_statement_.size(); }
  bool is_empty() const { return copies_.empty() && unwanted.empty(); }

 private:
  std::list<Copy>::iterator place_of(uint32_t number);

  std::list<Copy> copies_;  // the latest used first
  std::unordered_map<const PreparedStatement*, std::list<Copy>::iterator> by_statement_;
  uint32_t last_number_ = 0;
  uint32_t era_ = 0;
  bool has_doubtful_ = false;
};

}  // namespace tidepool::session
