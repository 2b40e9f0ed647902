// What a row of the settings table is: a key, how its value is read into a struct and printed from it, its
// default, and what it means. `Section` is the struct that the row belongs to, such as PoolSettings.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "lib/config/values.h"

namespace tidepool::config {

enum class Reload : bool { No, Yes };  // whether a running daemon takes a new value
enum class Shape : uint8_t { Scalar, List, Map };

// How values of one type get into one member. A list is read item by item, a map entry by entry.
template <class Section>
struct Kind {
  Wrong (*read)(const Value& value, Section& section);  // null for a map
  std::string (*show)(const Section& section);
  std::string (*allowed)();  // in words, for the documentation and for messages
  Shape shape = Shape::Scalar;
  Wrong (*read_entry)(const std::string& name, const Value& value, Section& section) = nullptr;  // a map's
};

template <class Section>
struct Setting {
  std::string_view key;
  Kind<Section> kind;
  std::string_view fallback;  // what holds if it is left out, as it would be written; or in words, if
                              // `fallback_in` is there
  Reload reload;
  std::string_view meaning;
  std::string (*fallback_in)(const Section& section) = nullptr;  // a default that depends on other settings
};

}  // namespace tidepool::config
