// Reads the fields of one message's body.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "lib/base/bytes.h"
#include "lib/base/result.h"

namespace tidepool::wire {

// Never reads beyond its bytes. The first failure sticks: every later field is empty or 0 and ok() stays
// false, so that a body can be read to its end and asked about once.
class FieldReader {
 public:
  explicit FieldReader(base::Bytes body) : left_(body) {}

  char byte() {
    const base::Bytes field = bytes(1);
    return field.empty() ? '\0' : field.front();
  }
  uint16_t u16() {
    const base::Bytes field = bytes(2);
    return field.empty() ? uint16_t{0} : base::read_u16(field.data());
  }
  uint32_t u32() {
    const base::Bytes field = bytes(4);
    return field.empty() ? 0 : base::read_u32(field.data());
  }
  // Without its NUL byte.
  std::string_view cstring() {
    const size_t end = left_.find('\0');
    if (end == base::Bytes::npos) return fail();
    const std::string_view text = left_.substr(0, end);
    left_.remove_prefix(end + 1);
    return text;
  }
  base::Bytes bytes(size_t size) {
    if (size > left_.size() || !ok_) return fail();
    const base::Bytes field = left_.substr(0, size);
    left_.remove_prefix(size);
    return field;
  }
  base::Bytes rest() { return bytes(left_.size()); }

  bool ok() const { return ok_; }
  // Everything was there, and nothing more.
  bool ok_and_at_end() const { return ok_ && left_.empty(); }
  bool at_end() const { return left_.empty(); }
  size_t left() const { return left_.size(); }

 private:
  base::Bytes fail() {
    ok_ = false;
    left_ = {};
    return {};
  }

  base::Bytes left_;
  bool ok_ = true;
};

// The body of an ErrorResponse or a NoticeResponse; a field that is not there, or not whole, is empty.
base::Error read_error(base::Bytes body);
// Its severity, not translated ("ERROR", "FATAL", ...); before PostgreSQL 9.6, in the server's language.
std::string_view read_severity(base::Bytes body);

struct ParameterStatus {
  std::string_view name;  // borrowed from the body
  std::string_view value;
};
std::optional<ParameterStatus> read_parameter_status(base::Bytes body);

}  // namespace tidepool::wire
