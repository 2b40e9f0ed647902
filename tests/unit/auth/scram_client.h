// The client's side of SCRAM-SHA-256, for tests.
#pragma once

#include <string>
#include <string_view>

#include "lib/auth/base64.h"
#include "lib/auth/hash.h"

namespace tidepool::auth {

// The client's final message: `without_proof` ("c=biws,r=...") and the proof that it knows `password`.
inline std::string scram_client_final(std::string_view password, std::string_view client_first_bare,
                                      std::string_view server_first, std::string_view without_proof) {
  const size_t salt_at = server_first.find(",s=") + 3;
  const size_t salt_end = server_first.find(",i=");
  const std::string salt = bytes_of_base64(server_first.substr(salt_at, salt_end - salt_at)).value_or("");
  const int iterations = std::stoi(std::string(server_first.substr(salt_end + 3)));
  const std::string client_key = hmac_sha256(pbkdf2_sha256(password, salt, iterations), "Client Key");
  std::string message(client_first_bare);
  message.append(",").append(server_first).append(",").append(without_proof);
  std::string proof = hmac_sha256(sha256(client_key), message);
  for (size_t i = 0; i < proof.size(); ++i) proof[i] = static_cast<char>(proof[i] ^ client_key[i]);
  return std::string(without_proof) + ",p=" + base64_of(proof);
}

}  // namespace tidepool::auth
