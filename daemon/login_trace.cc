#include "daemon/login_trace.h"

#include <algorithm>
#include <charconv>

// A line of the trace:
//
//   B \t 27 \t ParameterStatus \t  "application_name" "a"b?c" \n
//   |    |     |                   strings stand as they came: a quote or a newline in them looks like the
//   end of one |    |     name of the message |    the message's length field, from which the end of its line
//   follows B from the server, F to it
//
// Where the length does not tell the line's end (an ErrorResponse has any number of fields, each of which
// adds quotes), the next newline is taken, so that a message of many lines may look like several. Those who
// use the result look every name up in libpq, and compare the process id.

namespace tidepool::daemon {
namespace {

using base::Bytes;

struct Record {
  bool from_server;
  size_t length;  // the message's own length field
  Bytes name;
  Bytes rest;  // the remaining trace, from behind the tab that follows the name
};

bool take_prefix(Bytes& bytes, Bytes prefix) {
  if (bytes.substr(0, prefix.size()) != prefix) return false;
  bytes.remove_prefix(prefix.size());
  return true;
}

template <class Number>
std::optional<Number> take_number(Bytes& bytes) {
  Number number{};
  const auto [end, error] = std::from_chars(bytes.data(), bytes.data() + bytes.size(), number);
  if (error != std::errc()) return {};
  bytes.remove_prefix(static_cast<size_t>(end - bytes.data()));
  return number;
}

std::optional<Record> read_head(Bytes bytes) {
  const bool from_server = take_prefix(bytes, "B\t");
  if (!from_server && !take_prefix(bytes, "F\t")) return {};
  const auto length = take_number<uint32_t>(bytes);
  if (!length || *length < 4 || !take_prefix(bytes, "\t")) return {};
  const size_t name_end = bytes.find_first_of("\t\n");
  if (name_end == Bytes::npos || bytes[name_end] != '\t') return {};
  return Record{from_server, *length, bytes.substr(0, name_end), bytes.substr(name_end + 1)};
}

// ` "name" "value"`: six characters more than the two strings, which are two zero bytes shorter than the
// body. Returns the name and how much was read of `rest`.
struct Status {
  Bytes name;
  size_t size;
};
std::optional<Status> read_parameter_status(const Record& record) {
  const size_t body = record.length - 4;
  if (body < 2) return {};
  const size_t size = body - 2 + 6;
  if (record.rest.size() <= size || record.rest[size] != '\n') return {};
  Bytes text = record.rest.substr(0, size);
  if (!take_prefix(text, " \"") || text.back() != '"') return {};
  const size_t name_end = text.find("\" \"");  // a name has no quotes
  if (name_end == Bytes::npos || name_end == 0) return {};
  return Status{text.substr(0, name_end), size + 1};
}

int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  return -1;
}

// `\x07` for a byte that is not printable; a printable one, a backslash too, stands for itself. So a `\x07`
// in the text may be four bytes of the secret; if the secret's length does not exclude that, there is no
// answer.
std::optional<std::string> unescape(Bytes text, size_t length) {
  std::string secret;
  for (size_t at = 0; at < text.size();) {
    if (text[at] == '\\' && at + 3 < text.size() && text[at + 1] == 'x') {
      const int high = hex_digit(text[at + 2]), low = hex_digit(text[at + 3]);
      const int byte = high * 16 + low;
      if (high >= 0 && low >= 0 && (byte < 0x20 || byte > 0x7e)) {
        secret.push_back(static_cast<char>(byte));
        at += 4;
        continue;
      }
    }
    secret.push_back(text[at++]);
  }
  if (secret.size() != length) return {};
  return secret;
}

// ` 4711 -559038737`, or since libpq 18 ` 4711 'secret'`.
std::optional<LoginTrace::Key> read_key(const Record& record) {
  if (record.length < 12) return {};
  Bytes text = record.rest;
  if (!take_prefix(text, " ")) return {};
  const auto process_id = take_number<int32_t>(text);
  if (!process_id || !take_prefix(text, " ")) return {};
  if (take_prefix(text, "'")) {
    // The bytes in between are printable, so that the line ends at the first newline.
    const size_t end = text.find('\n');
    if (end == Bytes::npos || end == 0 || text[end - 1] != '\'') return {};
    auto secret = unescape(text.substr(0, end - 1), record.length - 8);
    if (!secret) return {};
    return LoginTrace::Key{*process_id, std::move(*secret)};
  }
  const auto number = take_number<int32_t>(text);
  if (!number || !text.starts_with('\n') || record.length != 12) return {};
  std::string secret;
  base::append_u32(secret, static_cast<uint32_t>(*number));
  return LoginTrace::Key{*process_id, std::move(secret)};
}

}  // namespace

LoginTrace read_login_trace(Bytes trace) {
  LoginTrace read;
  while (!trace.empty()) {
    if (const auto record = read_head(trace); record && record->from_server) {
      if (record->name == "ParameterStatus") {
        if (const auto status = read_parameter_status(*record)) {
          auto& names = read.parameter_names;
          if (std::find(names.begin(), names.end(), status->name) == names.end())
            names.emplace_back(status->name);
          trace = record->rest.substr(status->size);
          continue;
        }
      } else if (record->name == "BackendKeyData" && !read.key) {
        read.key = read_key(*record);
      }
    }
    const size_t line_end = trace.find('\n');
    trace.remove_prefix(line_end == Bytes::npos ? trace.size() : line_end + 1);
  }
  return read;
}

}  // namespace tidepool::daemon
