#include "lib/session/application_name.h"

#include <algorithm>
#include <charconv>

#include "lib/wire/message_writer.h"

namespace tidepool::session {

namespace {

// Since this version a byte that is not a printable letter of ASCII becomes \xNN, before it became '?'.
constexpr int kFirstWithHexadecimals = 16;

// How long the character is that begins with `first`: pg_encoding_mblen() of the encodings that a server may
// have.
size_t length_of(unsigned char first, std::string_view encoding) {
  if (first < 0x80) return 1;
  if (encoding == "UTF8") {
    if ((first & 0xe0) == 0xc0) return 2;
    if ((first & 0xf0) == 0xe0) return 3;
    return (first & 0xf8) == 0xf0 ? 4 : 1;
  }
  if (encoding == "MULE_INTERNAL") {
    if (first <= 0x8d) return first >= 0x81 ? 2 : 1;
    if (first >= 0x90 && first <= 0x9b) return 3;
    return first == 0x9c || first == 0x9d ? 4 : 1;
  }
  if (!encoding.starts_with("EUC_")) return 1;
  if (encoding == "EUC_TW" && first == 0x8e) return 4;
  return first == 0x8f && (encoding.starts_with("EUC_J") || encoding == "EUC_TW") ? 3 : 2;
}

bool is_shown(unsigned char c) {
  return c >= ' ' && c <= '~';
}

int major_of(std::string_view version) {
  int major = 0;
  std::from_chars(version.data(), version.data() + version.size(), major);
  return major;
}

}  // namespace

bool is_plain_name(std::string_view name) {
  return name.size() <= kLongestName && std::all_of(name.begin(), name.end(), is_shown);
}

std::string clipped_name(std::string_view name, std::string_view server_encoding) {
  if (name.size() <= kLongestName) return std::string(name);
  size_t end = 0;
  while (end < kLongestName) {
    const size_t length = length_of(static_cast<unsigned char>(name[end]), server_encoding);
    if (end + length > kLongestName) break;
    end += length;
  }
  return std::string(name.substr(0, end));
}

std::string shown_application_name(std::string name, std::string_view server_version) {
  if (is_plain_name(name)) return name;
  std::string shown;
  if (major_of(server_version) < kFirstWithHexadecimals) {
    for (const char c : name) shown += is_shown(static_cast<unsigned char>(c)) ? c : '?';
    return shown;
  }
  for (const char c : name) {
    if (is_shown(static_cast<unsigned char>(c))) {
      shown += c;
      continue;
    }
    constexpr std::string_view kDigits = "0123456789abcdef";
    shown += "\\x";
    shown += kDigits[static_cast<unsigned char>(c) >> 4];
    shown += kDigits[static_cast<unsigned char>(c) & 15];
  }
  // Given back to PostgreSQL in this form it would be cut.
  return shown.size() > kLongestName ? name : shown;
}

void append_clipping_notice(std::string_view name, std::string_view server_encoding, std::string& out) {
  if (name.size() <= kLongestName) return;
  wire::append_notice_response(out, "NOTICE",
                               {"42622", "identifier \"" + std::string(name) + "\" will be truncated to \"" +
                                             clipped_name(name, server_encoding) + "\""});
}

}  // namespace tidepool::session
