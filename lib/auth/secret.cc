#include "lib/auth/secret.h"

#include <charconv>
#include <optional>

#include "lib/auth/base64.h"
#include "lib/auth/hash.h"
#include "lib/auth/saslprep.h"

namespace tidepool::auth {

namespace {

constexpr std::string_view kScramPrefix = "SCRAM-SHA-256$";
constexpr size_t kMd5SecretSize = 35;

bool is_md5_secret(std::string_view text) {
  return text.size() == kMd5SecretSize && text.substr(0, 3) == "md5" &&
         text.find_first_not_of("0123456789abcdef", 3) == std::string_view::npos;
}

// Takes what stands before `end` off the front of `text`.
std::optional<std::string_view> take_until(std::string_view& text, char end) {
  const size_t at = text.find(end);
  if (at == std::string_view::npos) return std::nullopt;
  const std::string_view taken = text.substr(0, at);
  text.remove_prefix(at + 1);
  return taken;
}

std::optional<int> positive_number(std::string_view text) {
  int number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || end != text.data() + text.size() || number < 1) return std::nullopt;
  return number;
}

std::optional<ScramSecret> parse_scram(std::string_view text) {
  text.remove_prefix(kScramPrefix.size());
  const auto iterations_text = take_until(text, ':');
  if (!iterations_text) return std::nullopt;
  const auto salt_text = take_until(text, '$');
  if (!salt_text) return std::nullopt;
  const auto stored_key_text = take_until(text, ':');
  if (!stored_key_text) return std::nullopt;

  const auto iterations = positive_number(*iterations_text);
  const auto salt = bytes_of_base64(*salt_text);
  const auto stored_key = bytes_of_base64(*stored_key_text);
  const auto server_key = bytes_of_base64(text);
  if (!iterations || !salt || salt->empty()) return std::nullopt;
  if (!stored_key || stored_key->size() != kSha256Size) return std::nullopt;
  if (!server_key || server_key->size() != kSha256Size) return std::nullopt;
  return ScramSecret{*iterations, *salt, *stored_key, *server_key};
}

bool scram_matches(const ScramSecret& secret, std::string_view password) {
  const std::string salted = pbkdf2_sha256(saslprep(password), secret.salt, secret.iterations);
  return !salted.empty() && same_bytes(hmac_sha256(salted, "Server Key"), secret.server_key);
}

}  // namespace

ScramSecret make_scram_secret(std::string_view password, std::string_view salt, int iterations) {
  const std::string salted = pbkdf2_sha256(saslprep(password), salt, iterations);
  if (salted.empty()) return {};
  return {iterations, std::string(salt), sha256(hmac_sha256(salted, "Client Key")),
          hmac_sha256(salted, "Server Key")};
}

base::Result<Secret> Secret::parse(std::string_view stored, std::string_view salt) {
  Secret secret;
  if (stored.empty()) return base::Error{"22023", "an empty password lets nobody in"};
  if (stored.find('\0') != std::string_view::npos) return base::Error{"22023", "a password has no NUL byte"};
  if (stored.substr(0, kScramPrefix.size()) == kScramPrefix) {
    auto scram = parse_scram(stored);
    if (!scram) {
      return base::Error{
          "22023",
          "malformed SCRAM secret, expected SCRAM-SHA-256$<iterations>:<salt>$<StoredKey>:<ServerKey>"};
    }
    secret.kind_ = Kind::Scram;
    secret.scram_ = *std::move(scram);
    return secret;
  }
  secret.text_ = stored;
  if (is_md5_secret(stored)) {
    secret.kind_ = Kind::Md5;
    return secret;
  }
  secret.scram_ = make_scram_secret(stored, salt);
  if (secret.scram_.server_key.empty()) return base::Error{"58000", "libcrypto refused to make SCRAM keys"};
  return secret;
}

const ScramSecret* Secret::scram() const {
  return kind_ == Kind::Md5 ? nullptr : &scram_;
}
bool Secret::is_plain() const {
  return kind_ == Kind::Plain;
}
bool Secret::can_md5() const {
  return kind_ != Kind::Scram;
}

std::string Secret::md5_of(std::string_view user) const {
  if (kind_ == Kind::Scram) return {};
  if (kind_ == Kind::Md5) return text_;
  return "md5" + md5_hex(text_ + std::string(user));
}

bool Secret::matches(std::string_view password, std::string_view user) const {
  switch (kind_) {
    case Kind::Plain:
      return same_bytes(saslprep(password), saslprep(text_));
    case Kind::Md5:
      return same_bytes("md5" + md5_hex(std::string(password).append(user)), text_);
    case Kind::Scram:
      return scram_matches(scram_, password);
  }
  return false;
}

bool Secret::operator==(const Secret& other) const {
  return kind_ == other.kind_ && text_ == other.text_ && (kind_ != Kind::Scram || scram_ == other.scram_);
}

bool password_matches(const Secret* secret, std::string_view password, std::string_view user) {
  if (secret != nullptr && secret->matches(password, user)) return true;
  const bool verified = secret != nullptr && secret->scram() != nullptr && !secret->is_plain();
  if (!verified) scram_matches({kScramIterations, std::string(kScramSaltSize, 's'), "", ""}, password);
  return false;
}

bool md5_answer_matches(const Secret* secret, std::string_view answer, std::string_view salt,
                        std::string_view user) {
  const std::string stored = secret != nullptr ? secret->md5_of(user) : std::string();
  // An unknown user's answer is hashed too. A stored secret of another size (a SCRAM one, or no MD5 in
  // libcrypto) never matches.
  std::string digits = stored.size() == kMd5SecretSize ? stored.substr(3) : std::string(32, '0');
  const bool right = same_bytes(answer, "md5" + md5_hex(digits.append(salt)));
  return right && stored.size() == kMd5SecretSize;
}

}  // namespace tidepool::auth
