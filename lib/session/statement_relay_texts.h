// How the relay reads and rewrites what travels through it.
#pragma once

#include <algorithm>
#include <string>
#include <string_view>
#include <vector>

#include "lib/base/result.h"
#include "lib/sql/statement_traits.h"
#include "lib/wire/frame_cursor.h"
#include "lib/wire/message_reader.h"

namespace tidepool::session {

// A message as the client sent it, or what is here of it, with another name in the place of `name`, which is
// a view of its body.
void append_renamed(const wire::Message& message, std::string_view name, std::string_view other,
                    std::string& out);

// The one statement that the text names is the object of a DEALLOCATE. `alone`: it must be all that the text
// is.
bool is_deallocate(std::string_view text, const sql::StatementTraits& traits, bool alone);

// PostgreSQL's words for "cached plan must not change result type": some drivers look for the routine, and
// prepare again.
base::Error other_rows();
void append_other_rows(std::string& out);

// The error with the client's name for the statement in place of ours.
void append_renamed_error(base::Bytes body, std::string_view ours, std::string_view name, std::string& out);
std::string_view field_of_error(base::Bytes body, char wanted);

// The values of a set_config's name that travel as parameters of a Bind. False: they cannot be read.
template <class Visitor>
bool each_parameter(base::Bytes bind, const std::vector<uint16_t>& wanted, Visitor&& visit) {
  wire::FieldReader fields(bind);
  fields.cstring();
  fields.cstring();
  for (uint16_t formats = fields.u16(); formats > 0 && fields.ok(); --formats) fields.u16();
  const uint16_t count = fields.u16();
  for (uint16_t i = 1; i <= count && fields.ok(); ++i) {
    const auto size = static_cast<int32_t>(fields.u32());
    const base::Bytes value = size < 0 ? base::Bytes() : fields.bytes(static_cast<size_t>(size));
    if (fields.ok() && std::find(wanted.begin(), wanted.end(), i) != wanted.end()) visit(value);
  }
  return fields.ok();
}

}  // namespace tidepool::session
