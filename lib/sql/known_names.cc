// Looks names up in the list of catalog_names.cc.
#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "lib/sql/catalog_names.h"
#include "lib/sql/lexer.h"

namespace tidepool::sql {

namespace {

constexpr size_t kLongest = 63;

// FNV-1a, in lower case.
class Hash {
 public:
  void add(char lower) { sum_ = (sum_ ^ static_cast<unsigned char>(lower)) * 16777619U; }
  uint32_t sum() const { return sum_ ^ sum_ >> 15; }

 private:
  uint32_t sum_ = 2166136261U;
};

class Table {
 public:
  Table() {
    for (const CatalogNames& list : catalog_names())
      for (size_t begin = 0; begin < list.names.size();) {
        const size_t end = list.names.find(' ', begin);
        add({list.names.substr(begin, end - begin), list.since, list.are_keywords});
        begin = end + 1;
      }
  }

  struct Entry {
    std::string_view name;
    uint8_t since;
    bool is_keyword;
  };
  // The entries of a name, which may be a function first and a keyword later.
  template <class Visit>
  void each(std::string_view name, uint32_t hash, Visit&& visit) const {
    for (size_t slot = hash % kSlots; slots_[slot] != 0; slot = (slot + 1) % kSlots)
      if (const Entry& entry = entries_[slots_[slot] - 1]; entry.name == name) visit(entry);
  }

 private:
  static constexpr size_t kSlots = 8192;

  void add(const Entry& entry) {
    Hash hash;
    for (const char c : entry.name) hash.add(c);
    size_t slot = hash.sum() % kSlots;
    while (slots_[slot] != 0) slot = (slot + 1) % kSlots;
    entries_.push_back(entry);
    slots_[slot] = static_cast<uint16_t>(entries_.size());
  }

  std::vector<Entry> entries_;
  std::array<uint16_t, kSlots> slots_{};  // 1 for the first entry
};

}  // namespace

KnownName find_known_name(std::string_view name, bool is_quoted, unsigned server_major) {
  static const Table kTable;
  if (name.size() > kLongest) return KnownName::None;
  std::array<char, kLongest> lower;
  Hash hash;
  for (size_t i = 0; i < name.size(); ++i) {
    lower[i] = is_quoted ? name[i] : to_lower(name[i]);
    hash.add(lower[i]);
  }
  KnownName found = KnownName::None;
  kTable.each({lower.data(), name.size()}, hash.sum(), [&](const Table::Entry& entry) {
    if (entry.since > server_major || (entry.is_keyword && is_quoted)) return;
    if (found != KnownName::Function) found = entry.is_keyword ? KnownName::Keyword : KnownName::Function;
  });
  return found;
}

}  // namespace tidepool::sql
