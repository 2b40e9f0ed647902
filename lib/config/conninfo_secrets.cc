#include "lib/config/conninfo_secrets.h"

#include <algorithm>
#include <array>

namespace tidepool::config {
namespace {

constexpr std::array<std::string_view, 5> kSecretKeywords{"password", "sslpassword", "scram_client_key",
                                                          "scram_server_key", "oauth_client_secret"};

bool is_secret(std::string_view keyword) {
  for (std::string_view secret : kSecretKeywords) {
    if (keyword == secret) return true;
  }
  return false;
}

bool is_space(char c) {
  return c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == '\f' || c == '\v';
}

// A reader of "keyword = 'value' ..." that only finds where values start and end.
class Keywords {
 public:
  explicit Keywords(std::string_view conninfo) : text_(conninfo) {}

  std::vector<std::string_view> passwords() {
    std::vector<std::string_view> found;
    for (skip_spaces(); at_ < text_.size(); skip_spaces()) {
      const std::string_view keyword = read_keyword();
      skip_spaces();
      if (at_ >= text_.size() ||
          text_[at_] != '=') {  // libpq refuses it; it may be the rest of a password with spaces
        if (!found.empty()) found.push_back(text_.substr(static_cast<size_t>(keyword.data() - text_.data())));
        break;
      }
      ++at_;
      skip_spaces();
      const std::string_view value = read_value();
      if (is_secret(keyword) && !value.empty()) found.push_back(value);
    }
    return found;
  }

 private:
  void skip_spaces() {
    while (at_ < text_.size() && is_space(text_[at_])) ++at_;
  }
  std::string_view read_keyword() {
    const size_t start = at_;
    while (at_ < text_.size() && text_[at_] != '=' && !is_space(text_[at_])) ++at_;
    return text_.substr(start, at_ - start);
  }
  std::string_view read_value() {
    const size_t start = at_;
    const bool is_quoted = at_ < text_.size() && text_[at_] == '\'';
    if (is_quoted) ++at_;
    while (at_ < text_.size() && (is_quoted ? text_[at_] != '\'' : !is_space(text_[at_]))) {
      at_ += text_[at_] == '\\' && at_ + 1 < text_.size() ? 2 : 1;
    }
    if (is_quoted && at_ < text_.size()) ++at_;
    return text_.substr(start, at_ - start);
  }

  std::string_view text_;
  size_t at_ = 0;
};

int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

std::string percent_decoded(std::string_view text) {
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    const bool is_escape =
        text[i] == '%' && i + 2 < text.size() && hex_digit(text[i + 1]) >= 0 && hex_digit(text[i + 2]) >= 0;
    out.push_back(is_escape ? static_cast<char>(hex_digit(text[i + 1]) * 16 + hex_digit(text[i + 2]))
                            : text[i]);
    if (is_escape) i += 2;
  }
  return out;
}

std::vector<std::string_view> passwords_in_uri(std::string_view rest) {  // behind "postgres://"
  std::vector<std::string_view> found;
  // The last @, wherever it stands: an unescaped "/", "?" or "@" in a password makes the URI wrong, but not
  // public.
  const size_t colon = rest.find(':'), at = rest.rfind('@');
  if (at != std::string_view::npos) {
    if (colon < at && colon + 1 < at) found.push_back(rest.substr(colon + 1, at - colon - 1));
    rest.remove_prefix(at + 1);
  }
  const size_t query = rest.find('?');
  if (query == std::string_view::npos) return found;
  for (rest.remove_prefix(query + 1); !rest.empty();) {
    const std::string_view parameter = rest.substr(0, rest.find('&'));
    const size_t equals = parameter.find('=');
    if (equals + 1 < parameter.size() && equals != std::string_view::npos &&
        is_secret(percent_decoded(parameter.substr(0, equals)))) {
      found.push_back(parameter.substr(equals + 1));
    }
    rest.remove_prefix(std::min(parameter.size() + 1, rest.size()));
  }
  return found;
}

}  // namespace

std::vector<std::string_view> passwords_in(std::string_view conninfo) {
  for (std::string_view scheme : {"postgresql://", "postgres://"}) {
    if (conninfo.starts_with(scheme)) return passwords_in_uri(conninfo.substr(scheme.size()));
  }
  return Keywords(conninfo).passwords();
}

std::string without_passwords(std::string_view conninfo) {
  std::string out;
  const char* copied = conninfo.data();
  for (std::string_view password : passwords_in(conninfo)) {
    out.append(copied, password.data()).append("<hidden>");
    copied = password.data() + password.size();
  }
  return out.append(copied, conninfo.data() + conninfo.size());
}

std::string without_quotes(std::string_view message) {
  if (message.starts_with("invalid connection option") ||
      message.starts_with("invalid URI query parameter")) {
    return std::string(message);
  }
  // A password may hold quotes itself: all from the first quoted piece to the last quote goes, except quoted
  // single characters.
  std::string out;
  for (size_t at = 0; at < message.size(); ++at) {
    const bool is_one_character = at + 2 < message.size() && message[at + 2] == '"';
    if (message[at] != '"') {
      out.push_back(message[at]);
    } else if (is_one_character) {
      out.append(message.substr(at, 3));
      at += 2;
    } else {
      const size_t last = message.rfind('"');
      out += "<hidden>";
      return last > at ? out.append(message.substr(last + 1)) : out;
    }
  }
  return out;
}

}  // namespace tidepool::config
