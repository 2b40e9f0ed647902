// Finds the passwords in a conninfo (keywords or URI), so that they are never shown. Reads as libpq does and,
// where that would fail, errs on the side of hiding.
// https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-CONNSTRING
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace tidepool::config {

// Views into `conninfo`, in order, not overlapping.
std::vector<std::string_view> passwords_in(std::string_view conninfo);

// The conninfo with "<hidden>" for every password.
std::string without_passwords(std::string_view conninfo);

// What libpq says about a conninfo quotes pieces of it: this leaves out all but the name of an unknown
// option.
std::string without_quotes(std::string_view message);

}  // namespace tidepool::config
