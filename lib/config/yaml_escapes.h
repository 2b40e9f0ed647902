// Escapes in double quotes that yaml-cpp reads wrongly, or not at all, and how it reads them right: JSON's
// two escapes for a character beyond U+FFFF ("\ud83d\ude00"), which it refuses, and YAML's "\_" and "\N", of
// which it makes broken UTF-8.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace tidepool::config {

struct Respelling {
  size_t at, length;  // of the escape
  std::string spelling;
};

// Of all that would be such an escape, if it stands in double quotes.
std::vector<Respelling> respellings_in(std::string_view text);
std::string respelled(std::string_view text, const std::vector<Respelling>& respellings);

}  // namespace tidepool::config
