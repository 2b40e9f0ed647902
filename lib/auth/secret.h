// A user's secret in the forms that PostgreSQL stores (pg_authid.rolpassword), or plain.
// https://www.postgresql.org/docs/current/catalog-pg-authid.html
#pragma once

#include <string>
#include <string_view>

#include "lib/base/result.h"

namespace tidepool::auth {

// SCRAM-SHA-256$<iterations>:<salt>$<StoredKey>:<ServerKey>, decoded.
struct ScramSecret {
  int iterations = 0;
  std::string salt;
  std::string stored_key;
  std::string server_key;
};

class Secret {
 public:
  // "SCRAM-SHA-256$...", "md5<32 hex>", or a plain password. A plain one is given SCRAM keys here, once, with a salt that
  // the caller makes from real randomness (16 bytes). Errors: a malformed SCRAM secret, an empty password.
  static base::Result<Secret> parse(std::string_view stored, std::string_view salt);

  const ScramSecret* scram() const;             // nothing for an md5 secret
  // The 35 characters "md5..." for `user`; computed for a plain secret, empty for a SCRAM one.
  std::string md5_of(std::string_view user) const;
  // Whether a password sent in the clear is the right one. `user` salts an md5 secret.
  bool matches(std::string_view password, std::string_view user) const;
  bool is_plain() const;

  bool operator==(const Secret& other) const;

 private:
  enum class Kind { Plain, Md5, Scram } kind_ = Kind::Plain;
  std::string text_;   // the plain password, or "md5..."
  ScramSecret scram_;
};

}  // namespace tidepool::auth
