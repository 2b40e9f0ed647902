#include "lib/session/login_stream.h"

#include <algorithm>
#include <charconv>
#include <string_view>

#include "lib/wire/frame_cursor.h"
#include "lib/wire/message_reader.h"

namespace tidepool::session {

namespace {

using base::Bytes;
using base::Done;
using base::Error;
using wire::FieldReader;
using wire::TypeSet;

constexpr const char* kProtocolViolation = "08P01";
constexpr uint32_t kAuthenticationOk = 0;
constexpr uint32_t kSaslContinue = 11;
// Protocol 3.2 allows no longer keys, and knows none shorter than 3.0's.
constexpr size_t kShortestSecret = 4, kLongestSecret = 256;

const TypeSet kAuthenticating{'R', 'E', 'N', 'v'};
const TypeSet kStarting{'S', 'K', 'N', 'A', 'E', 'Z'};
const TypeSet kReady{'S', 'N', 'A', 'E'};
const TypeSet kAsking{'S', 'N', 'A', 'E', 'T', 'D', 'C', 'I', 'Z'};

// As it stands in PostgreSQL's documentation, or by its number.
std::string shown(char type) {
  const auto byte = static_cast<unsigned char>(type);
  if (byte > ' ' && byte < 0x7f) return std::string("'") + type + "'";
  return "number " + std::to_string(byte);
}

Error malformed(char type) {
  return {kProtocolViolation, "the server sent a malformed message of type " + shown(type) + " in its login"};
}

// Of each: the strings and numbers that it must have, and nothing behind them.
bool is_error_or_notice(Bytes body) {
  FieldReader fields(body);
  while (fields.byte() != '\0') fields.cstring();
  return fields.ok_and_at_end();
}

bool is_negotiation(Bytes body) {
  FieldReader fields(body);
  fields.u32();
  for (uint32_t count = fields.u32(); count > 0 && fields.ok(); --count) fields.cstring();
  return fields.ok_and_at_end();
}

bool is_notification(Bytes body) {
  FieldReader fields(body);
  fields.u32();
  fields.cstring();
  fields.cstring();
  return fields.ok_and_at_end();
}

bool is_row_description(Bytes body) {
  constexpr size_t kBehindName = 18;
  FieldReader fields(body);
  for (unsigned count = fields.u16(); count > 0 && fields.ok(); --count) {
    fields.cstring();
    fields.bytes(kBehindName);
  }
  return fields.ok_and_at_end();
}

bool is_data_row(Bytes body) {
  constexpr uint32_t kNull = 0xffffffff;
  FieldReader fields(body);
  for (unsigned count = fields.u16(); count > 0 && fields.ok(); --count) {
    const uint32_t size = fields.u32();
    if (size != kNull) fields.bytes(size);
  }
  return fields.ok_and_at_end();
}

bool is_string(Bytes body) {
  FieldReader fields(body);
  fields.cstring();
  return fields.ok_and_at_end();
}

// Of a parameter: clients are told it, and look for those that they know.
bool is_name(std::string_view name) {
  return !name.empty() && std::all_of(name.begin(), name.end(), [](char c) { return c >= ' ' && c < 0x7f; });
}

bool is_ready_for_query(Bytes body) {
  return body == "I" || body == "T" || body == "E";
}

// Codes that come with nothing, and md5's salt. What others bring along is libpq's to judge.
bool has_right_size(uint32_t code, size_t size) {
  constexpr uint32_t kCleartextPassword = 3, kMd5Password = 5, kGss = 7, kSspi = 9;
  switch (code) {
    case kAuthenticationOk:
    case kCleartextPassword:
    case kGss:
    case kSspi:
      return size == 0;
    case kMd5Password:
      return size == 4;
    default:
      return true;
  }
}

// "r=NONCE,s=SALT,i=ITERATIONS", as libpq reads it too, and nothing else: a number that it understands and
// this does not would be computed. Nothing: it is none.
std::optional<uint32_t> iterations_of(Bytes server_first) {
  const size_t salt = server_first.find(",s=");
  if (!server_first.starts_with("r=") || server_first.find(',') != salt || salt == Bytes::npos) return {};
  const size_t count = server_first.find(',', salt + 1);
  if (count == Bytes::npos || server_first.substr(count, 3) != ",i=") return {};
  const Bytes digits = server_first.substr(count + 3);
  if (digits.empty() || digits.front() < '0' || digits.front() > '9') return {};
  uint32_t number = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), number);
  if (error == std::errc::result_out_of_range) return UINT32_MAX;
  if (error != std::errc() || end != digits.data() + digits.size()) return {};
  return number;
}

// Servers that cannot fork say "E" and words, as in the protocol before 3.0, whoever asks. libpq reads that.
bool is_old_error(Bytes header) {
  return header.front() == 'E' && std::all_of(header.begin() + 1, header.end(), [](char c) {
           return c >= ' ' && static_cast<unsigned char>(c) < 0x7f;
         });
}

}  // namespace

base::Status LoginStream::receive(Bytes bytes) {
  if (bytes.size() > kMostBytes - received_)
    return Error{kProtocolViolation, "the server said more in its login than any server would"};
  received_ += bytes.size();
  if (phase_ == Phase::OldError) return Done{};
  unfinished_.append(bytes);

  size_t at = 0;
  for (;;) {
    const Bytes here = Bytes(unfinished_).substr(at);
    if (here.empty()) break;
    if (auto checked = check_header(here); !checked) return checked;
    if (phase_ == Phase::OldError) {
      unfinished_.clear();
      return Done{};
    }
    if (here.size() < wire::kHeaderSize) break;
    const size_t size = size_t{1} + base::read_u32(here.data() + 1);
    if (here.size() < size) break;
    const Bytes body = here.substr(wire::kHeaderSize, size - wire::kHeaderSize);
    if (auto read_well = read(here.front(), body); !read_well) return read_well;
    at += size;
  }
  unfinished_.erase(0, at);
  return Done{};
}

void LoginStream::asked() {
  if (phase_ == Phase::Ready) phase_ = Phase::Asking;
}

// As much of it as is here.
base::Status LoginStream::check_header(Bytes here) {
  const TypeSet& expected = phase_ == Phase::Authenticating ? kAuthenticating
                            : phase_ == Phase::Starting     ? kStarting
                            : phase_ == Phase::Ready        ? kReady
                                                            : kAsking;
  const char type = here.front();
  if (!expected.has(type)) {
    const char* when = phase_ == Phase::Authenticating ? " before it let us in"
                       : phase_ == Phase::Ready        ? " that nobody asked for"
                                                       : " in its login";
    return Error{kProtocolViolation, "the server sent a message of type " + shown(type) + when};
  }
  if (here.size() < wire::kHeaderSize) return Done{};
  const uint32_t length = base::read_u32(here.data() + 1);
  if (phase_ == Phase::Authenticating && length > kMostBytes &&
      is_old_error(here.substr(0, wire::kHeaderSize))) {
    phase_ = Phase::OldError;
    return Done{};
  }
  if (length < 4)
    return Error{kProtocolViolation, "the server sent a message of impossible length in its login"};
  if (length > kMostBytes)
    return Error{kProtocolViolation,
                 "the server sent a message in its login that is longer than any would be"};
  return Done{};
}

base::Status LoginStream::read(char type, Bytes body) {
  bool is_well_formed = true;
  switch (type) {
    case 'R':
      return read_authentication(body);
    case 'S': {
      const auto status = wire::read_parameter_status(body);
      is_well_formed = status && is_name(status->name);
      if (is_well_formed && !parameters_.report(status->name, status->value))
        return Error{kProtocolViolation, "the server reports more parameters than any server would"};
      break;
    }
    case 'K': {
      FieldReader fields(body);
      Key key{static_cast<int32_t>(fields.u32()), std::string(fields.rest())};
      is_well_formed =
          fields.ok() && key.secret.size() >= kShortestSecret && key.secret.size() <= kLongestSecret;
      if (is_well_formed) key_ = std::move(key);
      break;
    }
    case 'E':
      is_well_formed = is_error_or_notice(body);
      if (is_well_formed && phase_ == Phase::Ready && last_error_.message.empty())
        last_error_ = wire::read_error(body);
      break;
    case 'N':
      is_well_formed = is_error_or_notice(body);
      break;
    case 'v':
      is_well_formed = is_negotiation(body);
      break;
    case 'A':
      is_well_formed = is_notification(body);
      break;
    case 'T':
      is_well_formed = is_row_description(body);
      break;
    case 'D':
      is_well_formed = is_data_row(body);
      break;
    case 'C':
      is_well_formed = is_string(body);
      break;
    case 'I':
      is_well_formed = body.empty();
      break;
    case 'Z':
      is_well_formed = is_ready_for_query(body);
      phase_ = Phase::Ready;
      break;
    default:
      break;
  }
  if (!is_well_formed) return malformed(type);
  return Done{};
}

base::Status LoginStream::read_authentication(Bytes body) {
  FieldReader fields(body);
  const uint32_t code = fields.u32();
  const Bytes rest = fields.rest();
  if (!fields.ok() || !has_right_size(code, rest.size())) return malformed('R');
  if (code == kSaslContinue) {
    const auto iterations = iterations_of(rest);
    if (!iterations) return malformed('R');
    if (*iterations > kMostIterations)
      return Error{kProtocolViolation, "the server asks for more SCRAM iterations than any server would"};
  }
  if (code == kAuthenticationOk) phase_ = Phase::Starting;
  return Done{};
}

}  // namespace tidepool::session
