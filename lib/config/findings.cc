#include "lib/config/findings.h"

#include <algorithm>
#include <tuple>

namespace tidepool::config {
namespace {

// A finding is one line, whatever is quoted in it.
std::string one_line(std::string text) {
  for (char& c : text) {
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) c = ' ';
  }
  return text;
}

}  // namespace

std::string Mistake::to_string() const {
  return file + ":" + std::to_string(line) + ":" + std::to_string(column) + ": " + key + ": " + text;
}

void Findings::wrong(Place place, std::string key, std::string text) {
  mistakes_.push_back({file_, place.line, place.column, one_line(std::move(key)), one_line(std::move(text))});
}

void Findings::warn(Place place, std::string key, std::string text) {
  warnings_.push_back({file_, place.line, place.column, one_line(std::move(key)), one_line(std::move(text))});
}

std::vector<Mistake> Findings::in_order(std::vector<Mistake>& found) {
  std::stable_sort(found.begin(), found.end(), [](const Mistake& a, const Mistake& b) {
    return std::tie(a.line, a.column) < std::tie(b.line, b.column);
  });
  return std::move(found);
}

}  // namespace tidepool::config
