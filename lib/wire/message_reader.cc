#include "lib/wire/message_reader.h"

namespace tidepool::wire {

namespace {

template <class Visitor>
void for_each_field(base::Bytes body, Visitor&& visit) {
  FieldReader fields(body);
  while (const char code = fields.byte()) {
    const std::string_view text = fields.cstring();
    if (!fields.ok()) return;
    visit(code, text);
  }
}

}  // namespace

base::Error read_error(base::Bytes body) {
  base::Error error;
  for_each_field(body, [&](char code, std::string_view text) {
    if (code == 'C') error.sqlstate = text;
    if (code == 'M') error.message = text;
    if (code == 'D') error.detail = text;
    if (code == 'H') error.hint = text;
  });
  return error;
}

std::string_view read_severity(base::Bytes body) {
  std::string_view translated, severity;
  for_each_field(body, [&](char code, std::string_view text) {
    if (code == 'S') translated = text;
    if (code == 'V') severity = text;
  });
  return severity.empty() ? translated : severity;
}

std::optional<ParameterStatus> read_parameter_status(base::Bytes body) {
  FieldReader fields(body);
  const std::string_view name = fields.cstring();
  const std::string_view value = fields.cstring();
  if (!fields.ok_and_at_end()) return std::nullopt;
  return ParameterStatus{name, value};
}

}  // namespace tidepool::wire
