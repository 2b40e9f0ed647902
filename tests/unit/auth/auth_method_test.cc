#include "lib/auth/auth_method.h"

#include <doctest/doctest.h>

#include <string>

using namespace tidepool::auth;

TEST_CASE("every method has pg_hba.conf's name, and is found by it") {
  for (const AuthMethod method : {AuthMethod::Trust, AuthMethod::Peer, AuthMethod::Password, AuthMethod::Md5,
                                  AuthMethod::ScramSha256}) {
    CAPTURE(name_of(method));
    CHECK(auth_method_named(name_of(method)) == method);
  }
  CHECK(std::string(name_of(AuthMethod::ScramSha256)) == "scram-sha-256");
}

TEST_CASE("other names are no methods") {
  for (const char* name : {"", "cert", "SCRAM-SHA-256", "trust "}) CHECK_FALSE(auth_method_named(name));
}
