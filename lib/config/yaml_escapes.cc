#include "lib/config/yaml_escapes.h"

#include <array>
#include <charconv>
#include <cstdint>
#include <cstdio>
#include <optional>

namespace tidepool::config {
namespace {

constexpr uint32_t kHigh = 0xd800, kLow = 0xdc00, kBehindLow = 0xe000;
constexpr size_t kHalfLength = 6;  // "\ud83d"

// Of "\uXXXX" at `at`.
std::optional<uint32_t> escape_at(std::string_view text, size_t at) {
  if (at + kHalfLength > text.size() || text.substr(at, 2) != "\\u") return std::nullopt;
  uint32_t unit = 0;
  const char* const behind = text.data() + at + kHalfLength;
  const auto [end, error] = std::from_chars(text.data() + at + 2, behind, unit, 16);
  if (error != std::errc() || end != behind) return std::nullopt;
  return unit;
}

// Empty: yaml-cpp reads it as it is written.
Respelling respelling_at(std::string_view text, size_t at) {
  const std::string_view two = text.substr(at, 2);
  if (two == "\\N") return {at, 2, "\\x85"};
  if (two == "\\_") return {at, 2, "\\xa0"};
  const auto high = escape_at(text, at);
  const auto low = escape_at(text, at + kHalfLength);
  if (!high || *high < kHigh || *high >= kLow || !low || *low < kLow || *low >= kBehindLow)
    return {at, 0, ""};
  std::array<char, 16> spelling{};
  std::snprintf(spelling.data(), spelling.size(), "\\U%08x",
                static_cast<unsigned>(0x10000 + ((*high - kHigh) << 10 | (*low - kLow))));
  return {at, 2 * kHalfLength, spelling.data()};
}

}  // namespace

std::vector<Respelling> respellings_in(std::string_view text) {
  std::vector<Respelling> found;
  for (size_t at = text.find('\\'); at < text.size(); at = text.find('\\', at)) {
    auto respelling = respelling_at(text, at);
    at += respelling.length == 0 ? 2 : respelling.length;  // what is escaped may be a backslash
    if (respelling.length != 0) found.push_back(std::move(respelling));
  }
  return found;
}

std::string respelled(std::string_view text, const std::vector<Respelling>& respellings) {
  std::string out;
  size_t kept_from = 0;
  for (const Respelling& each : respellings) {
    out.append(text.substr(kept_from, each.at - kept_from)).append(each.spelling);
    kept_from = each.at + each.length;
  }
  return out.append(text.substr(kept_from));
}

}  // namespace tidepool::config
