// Base64 as SCRAM writes it: RFC 4648, padded, no line breaks.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "lib/base/bytes.h"

namespace tidepool::auth {

std::string base64_of(base::Bytes bytes);
// Nothing if `text` is not exactly what base64_of() would have made.
std::optional<std::string> bytes_of_base64(std::string_view text);

}  // namespace tidepool::auth
