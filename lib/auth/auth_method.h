// How clients prove who they are: pg_hba.conf's words.
// https://www.postgresql.org/docs/current/auth-methods.html
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

namespace tidepool::auth {

enum class AuthMethod : uint8_t { Trust, Peer, Password, Md5, ScramSha256 };

const char* name_of(AuthMethod method);  // "scram-sha-256"
std::optional<AuthMethod> auth_method_named(std::string_view name);

}  // namespace tidepool::auth
