#include "lib/config/values.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cstdio>

namespace tidepool::config {
namespace {

struct Unit {
  std::string_view name;
  int64_t microseconds;
};
// Largest first, as print_duration wants them.
constexpr std::array<Unit, 6> kUnits{{{"d", 86'400'000'000},
                                      {"h", 3'600'000'000},
                                      {"min", 60'000'000},
                                      {"s", 1'000'000},
                                      {"ms", 1'000},
                                      {"us", 1}}};

struct SizeUnit {
  std::string_view name;
  uint64_t bytes;
};
constexpr std::array<SizeUnit, 4> kSizes{
    {{"GB", uint64_t{1} << 30}, {"MB", uint64_t{1} << 20}, {"kB", uint64_t{1} << 10}, {"B", 1}}};

bool is_digit(char c) {
  return c >= '0' && c <= '9';
}
bool is_space(char c) {
  return c == ' ' || c == '\t';
}
char lower(char c) {
  return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
}

std::string offer(const DurationRange& range) {
  std::string text = "; write " + print_duration(range.least) + " to " + print_duration(range.most);
  if (range.zero == Zero::Allowed && range.least.count() > 0) text += ", or 0";
  return text;
}

// How many letters were mistyped: changed, left out, added, or swapped with their neighbour.
size_t distance(std::string_view a, std::string_view b) {
  std::vector<std::vector<size_t>> d(a.size() + 1, std::vector<size_t>(b.size() + 1));
  for (size_t i = 0; i <= a.size(); ++i) {
    for (size_t j = 0; j <= b.size(); ++j) {
      if (i == 0 || j == 0) {
        d[i][j] = i + j;
        continue;
      }
      d[i][j] = std::min({d[i - 1][j] + 1, d[i][j - 1] + 1, d[i - 1][j - 1] + (a[i - 1] != b[j - 1])});
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1]) {
        d[i][j] = std::min(d[i][j], d[i - 2][j - 2] + 1);
      }
    }
  }
  return d[a.size()][b.size()];
}

// Hyphens, spaces and capitals are spelling, not meaning.
std::string folded(std::string_view word) {
  std::string out;
  for (char c : word) out.push_back(c == '-' || c == ' ' ? '_' : lower(c));
  return out;
}

}  // namespace

std::string shortened(std::string_view text) {
  constexpr size_t kLongest = 60;
  size_t end = text.size();
  if (end > kLongest) {
    end = kLongest;
    while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xc0) == 0x80)
      --end;  // not inside of a character
  }
  std::string out;
  for (char c : text.substr(0, end))
    out.push_back(static_cast<unsigned char>(c) < 0x20 || c == 0x7f ? ' ' : c);
  return end < text.size() ? out + "..." : out;
}

std::string in_quotes(std::string_view text) {
  return '"' + shortened(text) + '"';
}

Wrong read_number(const Value& value, uint32_t least, uint32_t most, uint32_t& out) {
  const std::string& text = value.text;
  int64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  const std::string would_be_right =
      "; write a number from " + std::to_string(least) + " to " + std::to_string(most);
  if (end != text.data() + text.size() || error == std::errc::invalid_argument) {
    return value.shown + " is not a whole number" + would_be_right;
  }
  if (error == std::errc::result_out_of_range || number > most) {
    return value.shown + (text.starts_with('-') ? " is too small" : " is too large") + would_be_right;
  }
  if (number < least) return value.shown + (number < 0 ? " is negative" : " is too small") + would_be_right;
  out = static_cast<uint32_t>(number);
  return std::nullopt;
}

Wrong read_duration(const Value& value, const DurationRange& range, base::Duration& out) {
  std::string_view text = value.text;
  Wrong not_one =
      value.shown +
      " is not a duration; write seconds, or a number with its unit as in 500ms, 30s, 10min, 1h, 1d";
  const bool negative = text.starts_with('-');
  if (negative) text.remove_prefix(1);

  uint64_t whole = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), whole);
  if (error == std::errc::invalid_argument) return not_one;
  text.remove_prefix(static_cast<size_t>(end - text.data()));
  int64_t fraction = 0, fraction_of = 1;
  if (text.starts_with('.')) {
    text.remove_prefix(1);
    if (text.empty() || !is_digit(text.front())) return not_one;
    for (; !text.empty() && is_digit(text.front()); text.remove_prefix(1)) {
      if (fraction_of >= 1'000'000) continue;  // less than a microsecond
      fraction = fraction * 10 + (text.front() - '0');
      fraction_of *= 10;
    }
  }
  while (!text.empty() && is_space(text.front())) text.remove_prefix(1);

  if (text.empty()) text = "s";
  const auto* unit =
      std::find_if(kUnits.begin(), kUnits.end(), [&](const Unit& row) { return row.name == text; });
  if (unit == kUnits.end()) {
    if (text == "m") return value.shown + " could be minutes or milliseconds; write min or ms";
    return value.shown + " has no unit that is known; write us, ms, s, min, h or d, or nothing for seconds";
  }
  if (negative) return value.shown + " is negative" + offer(range);
  if (error == std::errc::result_out_of_range ||
      whole > static_cast<uint64_t>(range.most.count() / unit->microseconds)) {
    return value.shown + " is too long" + offer(range);
  }
  const base::Duration read(static_cast<int64_t>(whole) * unit->microseconds +
                            fraction * unit->microseconds / fraction_of);
  const bool is_allowed_zero = read.count() == 0 && range.zero == Zero::Allowed;
  if (read < range.least && !is_allowed_zero) return value.shown + " is too short" + offer(range);
  if (read > range.most) return value.shown + " is too long" + offer(range);
  out = read;
  return std::nullopt;
}

Wrong read_size(const Value& value, uint64_t least, uint64_t most, uint64_t& out) {
  const auto wrong = [&]() -> Wrong {
    return value.shown + " is not a size from " + print_size(least) + " to " + print_size(most) +
           "; write a number with its unit as in 64kB, 16MB, 1GB";
  };
  const std::string_view text = value.text;
  uint64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc()) return wrong();
  std::string_view unit = text.substr(static_cast<size_t>(end - text.data()));
  while (!unit.empty() && is_space(unit.front())) unit.remove_prefix(1);
  const auto found =
      std::find_if(kSizes.begin(), kSizes.end(), [&](const auto& size) { return size.name == unit; });
  if (found == kSizes.end() || number > most / found->bytes) return wrong();
  if (number * found->bytes < least) return wrong();
  out = number * found->bytes;
  return std::nullopt;
}

Wrong read_mode(const Value& value, uint32_t& out) {
  std::string_view text = value.text;
  if (text.starts_with("0o")) text.remove_prefix(2);
  uint32_t mode = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), mode, 8);
  if (error != std::errc() || end != text.data() + text.size() || mode > 0777) {
    return value.shown + " is not a file mode; write three octal digits, as for chmod: 0660, 0666 or 0600";
  }
  out = mode;
  return std::nullopt;
}

std::string print_duration(base::Duration duration) {
  if (duration.count() == 0) return "0";
  for (const Unit& unit : kUnits) {
    const bool is_one_minute = unit.name == "min" && duration.count() == unit.microseconds;  // written 60s
    if (duration.count() % unit.microseconds == 0 && !is_one_minute) {
      return std::to_string(duration.count() / unit.microseconds) + std::string(unit.name);
    }
  }
  return std::to_string(duration.count()) + "us";
}

std::string print_size(uint64_t bytes) {
  for (const auto& size : kSizes)
    if (bytes >= size.bytes && bytes % size.bytes == 0)
      return std::to_string(bytes / size.bytes) + std::string(size.name);
  return std::to_string(bytes) + "B";
}

std::string print_mode(uint32_t mode) {
  std::array<char, 16> out{};
  std::snprintf(out.data(), out.size(), "%04o", mode);
  return out.data();
}

std::string one_of(const std::vector<std::string_view>& words) {
  std::string out;
  for (size_t i = 0; i < words.size(); ++i) {
    if (i > 0) out += i + 1 == words.size() ? " or " : ", ";
    out += words[i];
  }
  return out;
}

Wrong not_one_of(const Value& value, const std::vector<std::string_view>& words) {
  std::string out = value.shown + " is not known here; write " + one_of(words);
  const std::string_view meant = nearest(value.text, words);
  if (!meant.empty()) out += " (did you mean " + std::string(meant) + "?)";
  return out;
}

std::string_view nearest(std::string_view wrong, const std::vector<std::string_view>& known) {
  constexpr size_t kLongestWord = 100;  // the comparison is quadratic
  if (wrong.empty() || wrong.size() > kLongestWord) return {};
  const std::string meant = folded(wrong);
  const size_t tolerated = std::max<size_t>(1, meant.size() / 3);
  std::string_view best;
  size_t least = tolerated + 1;
  for (std::string_view word : known) {
    const size_t away = distance(meant, folded(word));
    if (away < least) {
      least = away;
      best = word;
    }
  }
  constexpr size_t kSurelyMistyped = 2, kShortestPart = 4;
  const bool is_sure = !best.empty() && least <= kSurelyMistyped;
  if (is_sure || meant.size() < kShortestPart) return best;
  for (std::string_view word : known) {  // "lifetime" for max_lifetime, "max_idle_time" for max_idle
    const std::string other = folded(word);
    if (other.size() >= kShortestPart &&
        (other.find(meant) != std::string::npos || meant.find(other) != std::string::npos))
      return word;
  }
  return best;
}

}  // namespace tidepool::config
