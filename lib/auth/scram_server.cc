#include "lib/auth/scram_server.h"

#include <cstdio>
#include <utility>

#include "lib/auth/base64.h"
#include "lib/auth/hash.h"

namespace tidepool::auth {

namespace {

base::Error malformed(std::string detail) {
  return {"08P01", "malformed SCRAM message", std::move(detail)};
}

std::string shown(char c) {
  char text[8];
  std::snprintf(text, sizeof text, c >= 0x21 && c <= 0x7e ? "'%c'" : "0x%02x", static_cast<unsigned char>(c));
  return text;
}

// Reads "a=value,b=value,...". The first error stays.
class AttributeReader {
 public:
  explicit AttributeReader(std::string_view text) : text_(text) {}

  // '\0' at the end.
  char peek() const { return at_ < text_.size() ? text_[at_] : '\0'; }
  void skip() { ++at_; }
  size_t position() const { return at_; }
  bool at_end() const { return at_ >= text_.size(); }

  std::optional<std::string_view> value_of(char attribute) {
    if (peek() != attribute) {
      return fail(std::string("Expected attribute \"") + attribute + "\" but found \"" + shown(peek()) +
                  "\".");
    }
    return value(attribute);
  }
  // Whatever comes next; its letter goes to `attribute`.
  std::optional<std::string_view> any_value(char& attribute) {
    attribute = peek();
    if (at_end()) return fail("Attribute expected, but found end of string.");
    const bool is_letter = (attribute >= 'A' && attribute <= 'Z') || (attribute >= 'a' && attribute <= 'z');
    if (!is_letter) {
      return fail("Attribute expected, but found invalid character \"" + shown(attribute) + "\".");
    }
    return value(attribute);
  }
  const base::Error& error() const { return error_; }

 private:
  std::optional<std::string_view> value(char attribute) {
    skip();
    if (peek() != '=')
      return fail(std::string("Expected character \"=\" for attribute \"") + attribute + "\".");
    skip();
    const size_t end = text_.find(',', at_);
    const std::string_view found = text_.substr(at_, end == std::string_view::npos ? end : end - at_);
    at_ += found.size();
    if (!at_end()) skip();  // the comma
    return found;
  }
  std::nullopt_t fail(std::string detail) {
    error_ = malformed(std::move(detail));
    return std::nullopt;
  }

  std::string_view text_;
  size_t at_ = 0;
  base::Error error_;
};

// As RFC 5802 has it: ASCII without space and comma.
bool is_printable(std::string_view text) {
  for (const char c : text) {
    if (c < 0x21 || c > 0x7e || c == ',') return false;
  }
  return true;
}

std::optional<base::Error> check_shape(base::Bytes message) {
  if (message.empty()) return malformed("The message is empty.");
  if (message.find('\0') != base::Bytes::npos)
    return malformed("Message length does not match input length.");
  return std::nullopt;
}

}  // namespace

std::string mock_salt(std::string_view mock_key, std::string_view user) {
  return hmac_sha256(mock_key, user).substr(0, kScramSaltSize);
}

ScramServer::ScramServer(const Secret* secret, std::string_view user, std::string_view mock_key,
                         std::string_view nonce)
    : nonce_(nonce) {
  if (secret != nullptr && secret->scram() != nullptr) {
    secret_ = *secret->scram();
    return;
  }
  doomed_ = true;
  const std::string no_key(kSha256Size, '\0');
  secret_ = {kScramIterations, mock_salt(mock_key, user), no_key, no_key};
}

base::Result<std::string> ScramServer::first(base::Bytes message) {
  if (const auto error = check_shape(message)) return *error;
  AttributeReader attributes(message);
  switch (channel_binding_flag_ = attributes.peek()) {
    case 'n':
    case 'y':  // the client could bind, and believes rightly that we cannot
      attributes.skip();
      break;
    case 'p':
      return malformed(
          "The client selected SCRAM-SHA-256 without channel binding, but the SCRAM message includes channel "
          "binding "
          "data.");
    default:
      return malformed("Unexpected channel-binding flag \"" + shown(attributes.peek()) + "\".");
  }
  if (attributes.peek() != ',') {
    return malformed("Comma expected, but found character \"" + shown(attributes.peek()) + "\".");
  }
  attributes.skip();
  if (attributes.peek() == 'a') {
    return base::Error{"0A000", "client uses authorization identity, but it is not supported"};
  }
  if (attributes.peek() != ',') {
    return malformed("Unexpected attribute \"" + shown(attributes.peek()) + "\" in client-first-message.");
  }
  attributes.skip();
  client_first_bare_ = message.substr(attributes.position());
  if (attributes.peek() == 'm') return base::Error{"0A000", "client requires an unsupported SCRAM extension"};
  if (!attributes.value_of('n')) return attributes.error();
  const auto client_nonce = attributes.value_of('r');
  if (!client_nonce) return attributes.error();
  if (!is_printable(*client_nonce)) return base::Error{"08P01", "non-printable characters in SCRAM nonce"};
  for (char attribute; !attributes.at_end();) {
    if (!attributes.any_value(attribute)) return attributes.error();
  }
  nonce_.insert(0, *client_nonce);
  server_first_ =
      "r=" + nonce_ + ",s=" + base64_of(secret_.salt) + ",i=" + std::to_string(secret_.iterations);
  return server_first_;
}

base::Result<std::optional<std::string>> ScramServer::final(base::Bytes message) const {
  if (const auto error = check_shape(message)) return *error;
  AttributeReader attributes(message);
  const auto channel_binding = attributes.value_of('c');
  if (!channel_binding) return attributes.error();
  if (*channel_binding != (channel_binding_flag_ == 'n' ? "biws" : "eSws")) {  // base64 of "n,," and "y,,"
    return base::Error{"08P01", "unexpected SCRAM channel-binding attribute in client-final-message"};
  }
  const auto nonce = attributes.value_of('r');
  if (!nonce) return attributes.error();
  std::string_view without_proof, proof_text;
  for (char attribute = '\0'; attribute != 'p';) {  // extensions may come before
    without_proof = message.substr(0, attributes.position() - 1);
    const auto value = attributes.any_value(attribute);
    if (!value) return attributes.error();
    proof_text = *value;
  }
  const auto proof = bytes_of_base64(proof_text);
  if (!proof || proof->size() != kSha256Size) return malformed("Malformed proof in client-final-message.");
  if (!attributes.at_end()) return malformed("Garbage found at the end of client-final-message.");
  if (!same_bytes(*nonce, nonce_))
    return base::Error{"08P01", "invalid SCRAM response", "Nonce does not match."};

  std::string client_key = signature_of(secret_.stored_key, without_proof);
  if (client_key.size() != kSha256Size) return std::optional<std::string>();  // libcrypto failed
  for (size_t i = 0; i < kSha256Size; ++i) client_key[i] = static_cast<char>(client_key[i] ^ (*proof)[i]);
  const bool right = same_bytes(sha256(client_key), secret_.stored_key);
  if (!right || doomed_) return std::optional<std::string>();
  return std::optional<std::string>("v=" + base64_of(signature_of(secret_.server_key, without_proof)));
}

std::string ScramServer::signature_of(std::string_view key, std::string_view final_without_proof) const {
  std::string authentication_message = client_first_bare_ + ',' + server_first_ + ',';
  authentication_message += final_without_proof;
  return hmac_sha256(key, authentication_message);
}

}  // namespace tidepool::auth
