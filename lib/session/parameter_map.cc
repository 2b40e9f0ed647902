#include "lib/session/parameter_map.h"

#include <algorithm>
#include <utility>

#include "lib/wire/message_reader.h"
#include "lib/wire/message_writer.h"

namespace tidepool::session {

namespace {

template <class Entries>
auto place_of(Entries& entries, std::string_view name) {
  return std::lower_bound(entries.begin(), entries.end(), name,
                          [](const ParameterMap::Entry& entry, std::string_view wanted) {
                            return entry.first.compare(wanted) < 0;
                          });
}

}  // namespace

void ParameterMap::set(std::string_view name, std::string_view value) {
  const auto place = place_of(entries_, name);
  if (place != entries_.end() && place->first == name) {
    if (place->second == value) return;
    place->second = value;
  } else {
    entries_.emplace(place, name, value);
  }
  ++version_;
}

void ParameterMap::erase(std::string_view name) {
  const auto place = place_of(entries_, name);
  if (place == entries_.end() || place->first != name) return;
  entries_.erase(place);
  ++version_;
}

void ParameterMap::clear() {
  if (entries_.empty()) return;
  entries_.clear();
  ++version_;
}

void ParameterMap::replace_by(ParameterMap&& other) {
  if (entries_ == other.entries_) return;
  entries_ = std::move(other.entries_);
  ++version_;
}

const std::string* ParameterMap::find(std::string_view name) const {
  const auto place = place_of(entries_, name);
  return place != entries_.end() && place->first == name ? &place->second : nullptr;
}

uint64_t ParameterMap::digest() const {
  if (digest_version_ == version_) return digest_;
  const std::hash<std::string_view> hash;
  constexpr uint64_t kPrime = 0x9e3779b97f4a7c15;
  uint64_t digest = entries_.size();
  for (const auto& [name, value] : entries_) {
    digest = (digest ^ hash(name)) * kPrime;
    digest = (digest ^ hash(value) ^ (digest >> 29)) * kPrime;
  }
  digest_version_ = version_;
  return digest_ = digest;
}

bool ParameterMap::report(std::string_view name, std::string_view value) {
  const std::string* before = find(name);
  if (before != nullptr && *before == value) return true;
  size_t bytes = value.size();
  if (before == nullptr) {
    if (entries_.size() >= kMostReported) return false;
    bytes += name.size();
  }
  for (const auto& [other, its_value] : entries_)
    bytes += other.size() + (&its_value == before ? 0 : its_value.size());
  if (bytes > kMostReportedBytes) return false;
  set(name, value);
  return true;
}

bool ParameterMap::apply_status(base::Bytes body) {
  const auto status = wire::read_parameter_status(body);
  return status && report(status->name, status->value);
}

void ParameterMap::append_all(std::string& out) const {
  for (const auto& [name, value] : entries_) wire::append_parameter_status(out, name, value);
}

void ParameterMap::append_differences(const ParameterMap& told, std::string& out) const {
  each_difference(told, [&out](std::string_view name, std::string_view value) {
    wire::append_parameter_status(out, name, value);
  });
}

}  // namespace tidepool::session
