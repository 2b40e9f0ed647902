#include "lib/auth/auth_method.h"

namespace tidepool::auth {

namespace {

constexpr struct {
  AuthMethod method;
  const char* name;
} kMethods[] = {
    {AuthMethod::Trust, "trust"},
    {AuthMethod::Peer, "peer"},
    {AuthMethod::Password, "password"},
    {AuthMethod::Md5, "md5"},
    {AuthMethod::ScramSha256, "scram-sha-256"},
};

}  // namespace

const char* name_of(AuthMethod method) {
  for (const auto& row : kMethods) {
    if (row.method == method) return row.name;
  }
  return "";
}

std::optional<AuthMethod> auth_method_named(std::string_view name) {
  for (const auto& row : kMethods) {
    if (row.name == name) return row.method;
  }
  return std::nullopt;
}

}  // namespace tidepool::auth
