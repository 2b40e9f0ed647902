// Reads libpq's words for a failed login (PQerrorMessage with PQERRORS_VERBOSE), which is the only place
// where libpq tells the server's SQLSTATE. Knows no libpq: text in, values out.
#pragma once

#include <string_view>

#include "lib/base/result.h"
#include "lib/pool/pool_ledger.h"

namespace tidepool::daemon {

// If the server said something, its own words without libpq's in front: 'connection to server ... failed:
// FATAL:  28P01: password authentication failed for user "app"\nLOCATION: ...' becomes {28P01, 'password
// authentication failed for user "app"'}. Else libpq's words as they are, without an SQLSTATE.
base::Error read_login_error(std::string_view words);

// What the pool is to make of a server's SQLSTATE at login.
pool::DialFailure classify_login_error(std::string_view sqlstate);

}  // namespace tidepool::daemon
