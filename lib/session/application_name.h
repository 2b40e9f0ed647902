// What PostgreSQL makes of an application_name: it is cut like any name, with a NOTICE, and letters that are
// not ASCII become something else. Done here as well, so that a client is greeted with what its servers will
// have. https://www.postgresql.org/docs/current/runtime-config-logging.html#GUC-APPLICATION-NAME
#pragma once

#include <string>
#include <string_view>

namespace tidepool::session {

// The longest name (NAMEDATALEN - 1).
inline constexpr size_t kLongestName = 63;

// PostgreSQL makes nothing else of it.
bool is_plain_name(std::string_view name);
// So much of `name` as PostgreSQL keeps, in whole characters of the database's encoding ("UTF8", "EUC_JP").
std::string clipped_name(std::string_view name, std::string_view server_encoding);
// What SHOW says of a name that is short enough. `server_version`: as it is reported.
std::string shown_application_name(std::string name, std::string_view server_version);
// The NOTICE of a name that is too long; nothing for others.
void append_clipping_notice(std::string_view name, std::string_view server_encoding, std::string& out);

}  // namespace tidepool::session
