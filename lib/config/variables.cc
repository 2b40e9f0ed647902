#include "lib/config/variables.h"

#include <cstdlib>

namespace tidepool::config {
namespace {

bool is_variable_name(std::string_view name) {
  if (name.empty() || (name.front() >= '0' && name.front() <= '9')) return false;
  for (char c : name) {
    const bool fits = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
    if (!fits) return false;
  }
  return true;
}

}  // namespace

Expanded expand_variables(std::string_view written) {
  Expanded out;
  while (!written.empty()) {
    const size_t dollar = written.find('$');
    out.text += written.substr(0, dollar);
    if (dollar == std::string_view::npos) break;
    written.remove_prefix(dollar);
    if (written.starts_with("$${")) {
      out.text += "${";
      written.remove_prefix(3);
    } else if (written.starts_with("${")) {
      const size_t end = written.find('}');
      const std::string name(written.substr(2, end == std::string_view::npos ? end : end - 2));
      if (end == std::string_view::npos || !is_variable_name(name)) {
        // What follows is not shown: it may be a password that happens to have a ${ in it.
        out.mistake =
            "has a ${ that is not followed by a variable's name and a }; write ${VAR}, or $${ for a ${ of "
            "the text's own";
        return out;
      }
      const char* value = std::getenv(name.c_str());
      if (value == nullptr) {
        out.mistake =
            "uses ${" + name + "}, which is not set in the environment; set it, or write the value here";
        return out;
      }
      out.text += value;
      out.has_variables = true;
      written.remove_prefix(end + 1);
    } else {
      out.text += '$';
      written.remove_prefix(1);
    }
  }
  return out;
}

bool is_one_variable(std::string_view written) {
  return written.starts_with("${") && written.find('}') == written.size() - 1;
}

}  // namespace tidepool::config
