#include "lib/session/server_statements.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <limits>

namespace tidepool::session {

// For each Bind: less than half of what adding two strings takes.
std::string ServerStatements::name_of(uint32_t number) {
  std::array<char, kPrefix.size() + std::numeric_limits<uint32_t>::digits10 + 1> name;
  char* digits = std::copy(kPrefix.begin(), kPrefix.end(), name.data());
  char* end = std::to_chars(digits, name.data() + name.size(), number).ptr;
  return {name.data(), end};
}

const ServerStatements::Copy* ServerStatements::find_copy(const PreparedStatement& statement) {
  const auto found = by_statement_.find(&statement);
  if (found == by_statement_.end() || found->second->era < era_) return nullptr;
  if (found->second != copies_.begin()) copies_.splice(copies_.begin(), copies_, found->second);
  return &*found->second;
}

// Asked for what was used just now, which is in front.
ServerStatements::Copy* ServerStatements::of_number(uint32_t number) {
  const auto place = place_of(number);
  return place != copies_.end() ? &*place : nullptr;
}

std::list<ServerStatements::Copy>::iterator ServerStatements::place_of(uint32_t number) {
  return std::find_if(copies_.begin(), copies_.end(),
                      [number](const Copy& copy) { return copy.number == number; });
}

uint32_t ServerStatements::add(StatementPtr statement) {
  auto& place = by_statement_[statement.get()];
  if (place != std::list<Copy>::iterator{}) {
    if (place->era >= era_) unwanted.push_back(place->number);
    copies_.erase(place);
  }
  copies_.push_front({std::move(statement), ++last_number_, era_});
  place = copies_.begin();
  return last_number_;
}

uint32_t ServerStatements::take_surplus(size_t most) {
  if (!unwanted.empty()) {
    const uint32_t number = unwanted.back();
    unwanted.pop_back();
    return number;
  }
  if (copies_.size() < most || copies_.empty()) return 0;
  const uint32_t number = copies_.back().number;
  by_statement_.erase(copies_.back().statement.get());
  copies_.pop_back();
  return number;
}

void ServerStatements::remove(uint32_t number) {
  const auto copy = place_of(number);
  if (copy == copies_.end()) return;
  by_statement_.erase(copy->statement.get());
  copies_.erase(copy);
}

void ServerStatements::give_up_all() {
  for (const Copy& copy : copies_) unwanted.push_back(copy.number);
  copies_.clear();
  by_statement_.clear();
}

void ServerStatements::doubt(uint32_t number) {
  if (Copy* copy = of_number(number)) copy->is_doubtful = has_doubtful_ = true;
}

void ServerStatements::give_up_doubtful() {
  has_doubtful_ = false;
  std::erase_if(copies_, [this](const Copy& copy) {
    if (!copy.is_doubtful) return false;
    unwanted.push_back(copy.number);
    by_statement_.erase(copy.statement.get());
    return true;
  });
}

void ServerStatements::end_era() {
  for (auto copy = copies_.begin(); copy != copies_.end();) {
    if (copy->era >= era_) {
      ++copy;
      continue;
    }
    by_statement_.erase(copy->statement.get());
    copy = copies_.erase(copy);
  }
  unwanted.clear();
  if (question == Question::Prepared) question = Question::NotThere;
}

ServerStatements::Census ServerStatements::census() const {
  Census census{copies_.size() + unwanted.size()};
  for (const Copy& copy : copies_) census.sum += copy.number;
  for (const uint32_t number : unwanted) census.sum += number;
  return census;
}

void ServerStatements::clear() {
  copies_.clear();
  by_statement_.clear();
  unwanted.clear();
  if (question == Question::Prepared) question = Question::NotThere;
}

}  // namespace tidepool::session
