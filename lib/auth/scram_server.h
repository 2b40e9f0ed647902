// The server's side of one SCRAM-SHA-256 exchange, as PostgreSQL's auth-scram.c has it.
// https://www.rfc-editor.org/rfc/rfc5802, rfc7677;
// https://www.postgresql.org/docs/current/sasl-authentication.html
//   client -> first()   n,,n=,r=<client's nonce>
//   <- server           r=<both nonces>,s=<salt>,i=<iterations>
//   client -> final()   c=biws,r=<both nonces>,p=<proof>
//   <- server           v=<signature>
// Without channel binding, which needs TLS. The user is the startup packet's; the name in the exchange is
// ignored. Makes no randomness: the nonce is passed in.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "lib/auth/secret.h"
#include "lib/base/bytes.h"
#include "lib/base/result.h"

namespace tidepool::auth {

inline constexpr std::string_view kScramSha256 = "SCRAM-SHA-256";  // the mechanism's name
inline constexpr size_t kRawNonceSize = 18;

// The salt of a user that does not exist, or has a plain password: always the same, and nobody knows which of them it is.
std::string mock_salt(std::string_view mock_key, std::string_view user);

class ScramServer {
 public:
  // `secret` is null for an unknown user, and may lack SCRAM keys: then the exchange goes its way and fails
  // at the end like one with a wrong password. The salt that such a user is shown is made from `mock_key` and
  // the name, the same each time. `nonce` is printable and has no comma: base64 of kRawNonceSize random
  // bytes.
  ScramServer(const Secret* secret, std::string_view user, std::string_view mock_key, std::string_view nonce);

  // The client's first message; what to answer. Errors: a broken protocol, or something that is not
  // supported.
  base::Result<std::string> first(base::Bytes message);
  // After first(): the client's final message; the last thing to say to it, or nothing if the password was
  // wrong.
  base::Result<std::optional<std::string>> final(base::Bytes message) const;

 private:
  std::string signature_of(std::string_view key, std::string_view final_without_proof) const;

  ScramSecret secret_;
  bool doomed_ = false;
  std::string nonce_;  // the server's; after first() both
  char channel_binding_flag_ = 'n';
  std::string client_first_bare_;
  std::string server_first_;
};

}  // namespace tidepool::auth
