#include "lib/auth/hash.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

namespace tidepool::auth {

namespace {

const unsigned char* unsigned_bytes(base::Bytes bytes) {
  return reinterpret_cast<const unsigned char*>(bytes.data());
}

}  // namespace

std::string sha256(base::Bytes bytes) {
  unsigned char digest[kSha256Size];
  unsigned size = 0;
  if (EVP_Digest(bytes.data(), bytes.size(), digest, &size, EVP_sha256(), nullptr) != 1) return {};
  return {reinterpret_cast<const char*>(digest), size};
}

std::string hmac_sha256(base::Bytes key, base::Bytes bytes) {
  unsigned char digest[kSha256Size];
  unsigned size = 0;
  if (HMAC(EVP_sha256(), key.empty() ? "" : key.data(), static_cast<int>(key.size()), unsigned_bytes(bytes),
           bytes.size(), digest, &size) == nullptr) {
    return {};
  }
  return {reinterpret_cast<const char*>(digest), size};
}

std::string pbkdf2_sha256(std::string_view password, base::Bytes salt, int iterations) {
  unsigned char digest[kSha256Size];
  if (PKCS5_PBKDF2_HMAC(password.data(), static_cast<int>(password.size()), unsigned_bytes(salt),
                        static_cast<int>(salt.size()), iterations, EVP_sha256(), sizeof digest,
                        digest) != 1) {
    return {};
  }
  return {reinterpret_cast<const char*>(digest), sizeof digest};
}

std::string md5_hex(base::Bytes bytes) {
  unsigned char digest[EVP_MAX_MD_SIZE];
  unsigned size = 0;
  if (EVP_Digest(bytes.data(), bytes.size(), digest, &size, EVP_md5(), nullptr) != 1) return {};
  constexpr char kDigits[] = "0123456789abcdef";
  std::string hex;
  for (unsigned i = 0; i < size; ++i) {
    hex += kDigits[digest[i] >> 4];
    hex += kDigits[digest[i] & 15];
  }
  return hex;
}

bool same_bytes(base::Bytes a, base::Bytes b) {
  return a.size() == b.size() && CRYPTO_memcmp(a.data(), b.data(), a.size()) == 0;
}

}  // namespace tidepool::auth
