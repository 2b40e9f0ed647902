// "${VAR}" in a value of the settings file stands for the environment variable VAR; "$${" is a "${" of the
// text's own. Any other $ is just that, as in SCRAM-SHA-256$... and in SQL.
#pragma once

#include <string>
#include <string_view>

namespace tidepool::config {

struct Expanded {
  std::string text;
  bool has_variables = false;
  std::string mistake;  // empty: none
};
Expanded expand_variables(std::string_view written);

// Whether nothing but one "${VAR}" is written, so that the file itself holds no part of the value.
bool is_one_variable(std::string_view written);

}  // namespace tidepool::config
