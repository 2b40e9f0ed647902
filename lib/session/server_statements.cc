#include "lib/session/server_statements.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <limits>
#include <numeric>

#include "lib/session/parse_settings.h"

namespace tidepool::session {

std::string_view ServerStatements::name_of(uint32_t number) const {
  std::array<char, std::numeric_limits<uint32_t>::digits10 + 1> digits;
  const char* const begin = digits.data();
  const char* const end = std::to_chars(digits.data(), digits.data() + digits.size(), number).ptr;
  name_.resize(names_.size());
  return name_.append(begin, end);
}

ServerStatements::Copy* ServerStatements::find_copy(const PreparedStatement& statement) {
  const auto found = by_statement_.find(&statement);
  if (found == by_statement_.end() || found->second->era < eras_.now()) return nullptr;
  if (found->second != copies_.begin()) copies_.splice(copies_.begin(), copies_, found->second);
  return &*found->second;
}

const ServerStatements::Copy* ServerStatements::find_like(const PreparedStatement& statement) {
  for (const Copy& copy : copies_) {
    const PreparedStatement& other = *copy.statement;
    if (other.text == statement.text && other.is_known() && copy.era >= eras_.now() &&
        other.fingerprint == statement.fingerprint && other.run_under == statement.run_under)
      return find_copy(other);
  }
  return nullptr;
}

ServerStatements::Copy* ServerStatements::of_number(uint32_t number) {
  const auto place = place_of(number);
  return place != copies_.end() ? &*place : nullptr;
}

ServerStatements::Place ServerStatements::place_of(uint32_t number) {
  return std::find_if(copies_.begin(), copies_.end(),
                      [number](const Copy& copy) { return copy.number == number; });
}

void ServerStatements::forget(Place at) {
  if (!at->statement->is_known()) --unknown_;
  const auto found = by_statement_.find(at->statement.get());
  if (found != by_statement_.end() && found->second == at) by_statement_.erase(found);
  copies_.erase(at);
}

uint32_t ServerStatements::add(StatementPtr statement) {
  if (!statement->is_known()) ++unknown_;
  copies_.push_front({std::move(statement), ++last_number_, eras_.now()});
  const auto [place, is_first] = by_statement_.try_emplace(copies_.front().statement.get(), copies_.begin());
  if (!is_first) {
    const Place older = std::exchange(place->second, copies_.begin());
    if (older->era >= eras_.now()) unwanted.push_back(older->number);
    forget(older);
  }
  return last_number_;
}

void ServerStatements::known_as(uint32_t number, StatementPtr statement) {
  const Place copy = place_of(number);
  if (copy == copies_.end()) return;
  by_statement_.erase(copy->statement.get());
  if (!copy->statement->is_known()) --unknown_;
  if (!statement->is_known()) ++unknown_;
  const auto [place, is_first] = by_statement_.try_emplace(statement.get(), copy);
  copy->statement = std::move(statement);
  if (is_first) return;
  const Place older = std::exchange(place->second, copy);
  if (older->era >= eras_.now()) unwanted.push_back(older->number);
  forget(older);
}

uint32_t ServerStatements::take_surplus(size_t most) {
  if (!unwanted.empty()) {
    const uint32_t number = unwanted.back();
    unwanted.pop_back();
    return number;
  }
  if (copies_.size() < most || copies_.empty()) return 0;
  const uint32_t number = copies_.back().number;
  forget(std::prev(copies_.end()));
  return number;
}

void ServerStatements::remove(uint32_t number) {
  std::erase(unwanted, number);
  if (witness_ == number) witness_ = 0;
  const auto copy = place_of(number);
  if (copy != copies_.end()) forget(copy);
}

template <class Condition>
void ServerStatements::give_up_if(Condition&& condition) {
  for (auto copy = copies_.begin(); copy != copies_.end();) {
    const auto at = copy++;
    if (!condition(*at)) continue;
    unwanted.push_back(at->number);
    forget(at);
  }
}

void ServerStatements::give_up_all() {
  give_up_if([](const Copy&) { return true; });
}

void ServerStatements::doubt(uint32_t number) {
  Copy* copy = of_number(number);
  if (copy == nullptr || is_private(copy->statement->fingerprint)) return;
  copy->is_doubtful = has_doubtful_ = true;
}

void ServerStatements::give_up_doubtful() {
  has_doubtful_ = false;
  give_up_if([](const Copy& copy) { return copy.is_doubtful; });
}

void ServerStatements::give_up_unknown() {
  give_up_if([](const Copy& copy) { return !copy.statement->is_known(); });
}

void ServerStatements::end_era(Era ended) {
  for (auto copy = copies_.begin(); copy != copies_.end();) {
    const auto at = copy++;
    if (at->era < ended.number) forget(at);
  }
  unwanted.clear();
  if (witness_era_ < ended.number) witness_ = 0;
  if (question == Question::Prepared) question = Question::NotThere;
}

std::vector<uint32_t> ServerStatements::numbers() const {
  std::vector<uint32_t> all = unwanted;
  if (witness_ != 0) all.push_back(witness_);
  for (const Copy& copy : copies_) all.push_back(copy.number);
  std::sort(all.begin(), all.end());
  return all;
}

ServerStatements::Census ServerStatements::census() const {
  const std::vector<uint32_t> all = numbers();
  return {all.size(), std::accumulate(all.begin(), all.end(), uint64_t{0})};
}

std::optional<uint32_t> ServerStatements::first_of(Census last) const {
  const std::vector<uint32_t> all = numbers();
  Census behind;
  for (size_t i = all.size(); i > 0 && behind.count < last.count; --i)
    behind = {behind.count + 1, behind.sum + all[i - 1]};
  if (behind != last) return std::nullopt;
  return last.count == 0 ? last_number_ + 1 : all[all.size() - last.count];
}

void ServerStatements::clear_before(uint32_t first) {
  give_up_if([first](const Copy& copy) { return copy.number < first; });
  std::erase_if(unwanted, [first](uint32_t number) { return number < first; });
  if (witness_ < first) witness_ = 0;
}

void ServerStatements::clear() {
  copies_.clear();
  by_statement_.clear();
  unwanted.clear();
  witness_ = 0;
  if (question == Question::Prepared) question = Question::NotThere;
  unknown_ = 0;
  has_doubtful_ = false;
}

}  // namespace tidepool::session
