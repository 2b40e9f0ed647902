// The parameters that a server reports (ParameterStatus), by name. A dozen or two: a sorted vector.
// https://www.postgresql.org/docs/current/protocol-flow.html#PROTOCOL-ASYNC
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "lib/base/bytes.h"

namespace tidepool::session {

class ParameterMap {
 public:
  using Entry = std::pair<std::string, std::string>;
  // What a server may report, names and values together: PostgreSQL has some fifteen, and a value that is
  // longer than half of this is not read (search_path is reported, and users make it long).
  static constexpr size_t kMostReported = 200;
  static constexpr size_t kMostReportedBytes = size_t{128} * 1024;

  void set(std::string_view name, std::string_view value);
  void erase(std::string_view name);
  void clear();
  // Has what `other` has from now on. (An assignment would take over its version, too.)
  void replace_by(ParameterMap&& other);
  const std::string* find(std::string_view name) const;
  // Takes what a server reports. False: with it that would be more than a server may; it is left out.
  bool report(std::string_view name, std::string_view value);
  // Reads the body of a ParameterStatus message. False: it is malformed, or more than a server may report.
  bool apply_status(base::Bytes body);
  // Appends a ParameterStatus message for each entry.
  void append_all(std::string& out) const;
  // Appends a ParameterStatus for each entry whose value in `told` is another or missing.
  void append_differences(const ParameterMap& told, std::string& out) const;

  // Calls visit(name, value) for each entry whose value in `other` is another or missing.
  template <class Visitor>
  void each_difference(const ParameterMap& other, Visitor&& visit) const {
    auto there = other.entries_.begin();  // both are sorted: one pass
    for (const auto& [name, value] : entries_) {
      while (there != other.entries_.end() && there->first != name && there->first < name) ++there;
      if (there != other.entries_.end() && there->first == name && there->second == value) continue;
      visit(name, value);
    }
  }

  const std::vector<Entry>& entries() const { return entries_; }
  // Grows with every change: as long as it is the same, so is the map.
  uint64_t version() const { return version_; }
  // Of what is in it: two maps of the same digest are taken to be the same.
  uint64_t digest() const;
  bool operator==(const ParameterMap& other) const { return entries_ == other.entries_; }

 private:
  std::vector<Entry> entries_;
  uint64_t version_ = 0;
  mutable uint64_t digest_ = 0, digest_version_ = UINT64_MAX;
};

}  // namespace tidepool::session
