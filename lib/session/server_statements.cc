#include "lib/session/server_statements.h"

namespace tidepool::session {

uint32_t ServerStatements::find(const PreparedStatement& statement) {
  const auto found = by_statement_.find(&statement);
  if (found == by_statement_.end() || found->second->era < era_) return 0;
  if (found->second != slots_.begin()) slots_.splice(slots_.begin(), slots_, found->second);
  return found->second->number;
}

uint32_t ServerStatements::add(StatementPtr statement) {
  auto& place = by_statement_[statement.get()];
  if (place != std::list<Slot>::iterator{}) {
    if (place->era >= era_) unwanted.push_back(place->number);
    slots_.erase(place);
  }
  slots_.push_front({std::move(statement), ++last_number_, era_});
  place = slots_.begin();
  return last_number_;
}

uint32_t ServerStatements::take_surplus(size_t most) {
  if (!unwanted.empty()) {
    const uint32_t number = unwanted.back();
    unwanted.pop_back();
    return number;
  }
  if (slots_.size() < most || slots_.empty()) return 0;
  const uint32_t number = slots_.back().number;
  by_statement_.erase(slots_.back().statement.get());
  slots_.pop_back();
  return number;
}

void ServerStatements::remove(uint32_t number) {
  for (auto slot = slots_.begin(); slot != slots_.end(); ++slot) {
    if (slot->number != number) continue;
    by_statement_.erase(slot->statement.get());
    slots_.erase(slot);
    return;
  }
}

void ServerStatements::end_era() {
  for (auto slot = slots_.begin(); slot != slots_.end();) {
    if (slot->era >= era_) {
      ++slot;
      continue;
    }
    by_statement_.erase(slot->statement.get());
    slot = slots_.erase(slot);
  }
  unwanted.clear();
}

void ServerStatements::clear() {
  slots_.clear();
  by_statement_.clear();
  unwanted.clear();
}

}  // namespace tidepool::session
