// SASLprep: what is the same password to people is the same in bytes.
// https://www.rfc-editor.org/rfc/rfc4013
#pragma once

#include <string>
#include <string_view>

namespace tidepool::auth {

// As PostgreSQL's pg_saslprep and its users do: what is ASCII, is not UTF-8, or has in it what a password
// must not have, stays as it is.
std::string saslprep(std::string_view password);

}  // namespace tidepool::auth
