#include "lib/auth/saslprep.h"

#include <stringprep.h>

#include <algorithm>
#include <cstdlib>
#include <memory>

namespace tidepool::auth {

std::string saslprep(std::string_view password) {
  std::string as_it_is(password);
  const bool is_ascii = std::all_of(password.begin(), password.end(),
                                    [](char c) { return static_cast<unsigned char>(c) < 0x80; });
  if (is_ascii || password.find('\0') != std::string_view::npos) return as_it_is;
  char* out = nullptr;
  const int code = stringprep_profile(as_it_is.c_str(), &out, "SASLprep", STRINGPREP_NO_UNASSIGNED);
  const std::unique_ptr<char, decltype(&std::free)> prepared(out, std::free);
  if (code != STRINGPREP_OK || prepared == nullptr || *prepared == '\0') return as_it_is;
  return prepared.get();
}

}  // namespace tidepool::auth
