// Whether a server is what the pool's conninfo asks for, by what it reports itself (PostgreSQL 14 and newer).
// https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-CONNECT-TARGET-SESSION-ATTRS
#pragma once

#include <string_view>

#include "lib/session/parameter_map.h"

namespace tidepool::session {

// What no session can set: what any session hears of it is so for all.
inline constexpr std::string_view kInHotStandby = "in_hot_standby";

// `attributes`: any, read-write, read-only, primary, standby; another or none asks for nothing.
bool has_session_attributes(const ParameterMap& reported, std::string_view attributes);

}  // namespace tidepool::session
