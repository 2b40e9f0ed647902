// A user's secret in the forms that PostgreSQL stores (pg_authid.rolpassword), or plain.
// https://www.postgresql.org/docs/current/catalog-pg-authid.html
#pragma once

#include <string>
#include <string_view>

#include "lib/base/result.h"

namespace tidepool::auth {

inline constexpr int kScramIterations = 4096;  // PostgreSQL's default
inline constexpr size_t kScramSaltSize = 16;

// SCRAM-SHA-256$<iterations>:<salt>$<StoredKey>:<ServerKey>, decoded.
struct ScramSecret {
  int iterations = 0;
  std::string salt;
  std::string stored_key;
  std::string server_key;

  bool operator==(const ScramSecret&) const = default;
};

// What PostgreSQL would store for `password`: it is prepared by SASLprep, as drivers do.
ScramSecret make_scram_secret(std::string_view password, std::string_view salt,
                              int iterations = kScramIterations);

class Secret {
 public:
  // "SCRAM-SHA-256$...", "md5<32 hex>", or a plain password. A plain one is given SCRAM keys here, once, with
  // a salt that the caller makes from real randomness (16 bytes). Errors: a malformed SCRAM secret, an empty
  // password.
  static base::Result<Secret> parse(std::string_view stored, std::string_view salt);

  const ScramSecret* scram() const;  // null for an md5 secret
  // The 35 characters "md5..." for `user`; computed for a plain secret, empty for a SCRAM one.
  std::string md5_of(std::string_view user) const;
  // Whether a password sent in the clear is the right one. `user` salts an md5 secret.
  bool matches(std::string_view password, std::string_view user) const;
  bool is_plain() const;
  // Whether parse() made it of this plain password.
  bool is_of_plain(std::string_view text) const { return kind_ == Kind::Plain && text_ == text; }
  bool can_md5() const;  // everything but a SCRAM secret

  // The same secret; the salt that a plain one was given does not count.
  bool operator==(const Secret& other) const;

 private:
  enum class Kind { Plain, Md5, Scram };

  Secret() = default;

  Kind kind_ = Kind::Plain;
  std::string text_;  // the plain password, or "md5..."
  ScramSecret scram_;
};

// Whether `user` sent the right password in the clear. `secret` is null for an unknown user. A wrong answer
// takes the time of one SCRAM verification, whatever is wrong, so that it does not tell who exists.
bool password_matches(const Secret* secret, std::string_view password, std::string_view user);
// Whether `answer` is the right one to an md5 challenge with `salt`.
bool md5_answer_matches(const Secret* secret, std::string_view answer, std::string_view salt,
                        std::string_view user);

}  // namespace tidepool::auth
