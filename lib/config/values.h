// Reads and prints the values of settings: numbers, durations as people write them, file modes, words. Knows
// no setting.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "lib/base/time.h"

namespace tidepool::config {

// A value as it was written, and how messages quote it: "many" with its quotes, or a name for what must not
// be shown.
struct Value {
  std::string text;
  std::string shown;
};

// What is wrong with a value and what would be right; nothing: it was taken.
using Wrong = std::optional<std::string>;

// `text` as messages show it: shortened, without characters that would break the line; and the same in double
// quotes. Not `quoted`: std::quoted would be found as well where <iomanip> is included.
std::string shortened(std::string_view text);
std::string in_quotes(std::string_view text);

enum class Zero : bool { Refused, Allowed };
struct DurationRange {
  base::Duration least, most;
  Zero zero;  // whether 0 is allowed beside least to most
};

Wrong read_number(const Value& value, uint32_t least, uint32_t most, uint32_t& out);
Wrong read_duration(const Value& value, const DurationRange& range, base::Duration& out);
// Bytes, as PostgreSQL's units write them: 64kB, 16MB, 1GB.
Wrong read_size(const Value& value, uint64_t least, uint64_t most, uint64_t& out);
// Octal digits, as chmod takes them.
Wrong read_mode(const Value& value, uint32_t& out);

std::string print_duration(base::Duration duration);  // "1h", "90s", "0"
std::string print_size(uint64_t bytes);               // "64kB", "16MB"
std::string print_mode(uint32_t mode);                // "0660"

// "wait, fail" as a sentence offers a choice: "wait or fail".
std::string one_of(const std::vector<std::string_view>& words);
Wrong not_one_of(const Value& value, const std::vector<std::string_view>& words);

// The one of `known` that somebody who wrote `wrong` probably meant; empty: none is near.
std::string_view nearest(std::string_view wrong, const std::vector<std::string_view>& known);

}  // namespace tidepool::config
