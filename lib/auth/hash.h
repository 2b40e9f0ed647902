// The hash functions of PostgreSQL's authentication, from libcrypto. The result is empty if libcrypto refuses
// (FIPS).
#pragma once

#include <string>
#include <string_view>

#include "lib/base/bytes.h"

namespace tidepool::auth {

inline constexpr size_t kSha256Size = 32;

std::string sha256(base::Bytes bytes);
std::string hmac_sha256(base::Bytes key, base::Bytes bytes);
// PBKDF2 with HMAC-SHA-256: SCRAM's Hi(). About half a millisecond for 4096 iterations.
std::string pbkdf2_sha256(std::string_view password, base::Bytes salt, int iterations);
// 32 hexadecimal digits.
std::string md5_hex(base::Bytes bytes);

// Takes as long whether they differ at the first byte or at the last. Sizes are no secret.
bool same_bytes(base::Bytes a, base::Bytes b);

}  // namespace tidepool::auth
