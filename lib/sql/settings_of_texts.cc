#include "lib/sql/settings_of_texts.h"

#include <algorithm>

#include "lib/base/ascii.h"

namespace tidepool::sql {

namespace {

template <class Names>
bool is_one_of(const Names& names, std::string_view name) {
  return std::any_of(names.begin(), names.end(),
                     [name](std::string_view one) { return base::same_letters(one, name); });
}

}  // namespace

bool decides_letters(std::string_view name) {
  return is_one_of(kSettingsOfLetters, name);
}

bool decides_literals(std::string_view name) {
  return is_one_of(kSettingsOfLiterals, name);
}

bool decides_names(std::string_view name) {
  return is_one_of(kSettingsOfNames, name);
}

}  // namespace tidepool::sql
