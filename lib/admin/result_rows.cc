#include "lib/admin/result_rows.h"

#include <charconv>

#include "lib/base/bytes.h"

namespace tidepool::admin {

using base::append_u16;
using base::append_u32;

namespace {

int64_t integer(std::string_view digits) {
  int64_t value = 0;
  std::from_chars(digits.data(), digits.data() + digits.size(), value);
  return value;
}

void append_u64(std::string& out, uint64_t value) {
  append_u32(out, static_cast<uint32_t>(value >> 32));
  append_u32(out, static_cast<uint32_t>(value));
}

// Digits to the base of 10000, the most significant first; those that are 0 at the end are left out.
// numeric_send() in PostgreSQL's src/backend/utils/adt/numeric.c
void append_numeric(std::string& out, std::string_view text) {
  const bool negative = text.starts_with('-');
  if (negative) text.remove_prefix(1);
  while (text.starts_with('0')) text.remove_prefix(1);
  const size_t count = (text.size() + 3) / 4;
  std::vector<uint16_t> digits;
  digits.reserve(count);
  for (size_t left = text.size(); left > 0;) {
    const size_t size = left % 4 == 0 ? 4 : left % 4;
    digits.push_back(static_cast<uint16_t>(integer(text.substr(text.size() - left, size))));
    left -= size;
  }
  while (!digits.empty() && digits.back() == 0) digits.pop_back();
  append_u16(out, static_cast<uint16_t>(digits.size()));
  append_u16(out, static_cast<uint16_t>(count == 0 ? 0 : count - 1));  // the first digit's weight
  append_u16(out, negative ? 0x4000 : 0);
  append_u16(out, 0);  // digits behind the point
  for (uint16_t digit : digits) append_u16(out, digit);
}

void append_binary(std::string& out, uint32_t type_oid, const std::string& text) {
  switch (type_oid) {
    case kInt4Oid:
      return append_u32(out, static_cast<uint32_t>(integer(text)));
    case kInt8Oid:
      return append_u64(out, static_cast<uint64_t>(integer(text)));
    case kNumericOid:
      return append_numeric(out, text);
    default:
      out += text;
  }
}

void set_u32(std::string& out, size_t at, size_t value) {
  std::string bytes;
  append_u32(bytes, static_cast<uint32_t>(value));
  out.replace(at, bytes.size(), bytes);
}

}  // namespace

void append_row_description(std::string& out, std::span<const wire::Column> columns,
                            const ResultFormats& formats) {
  wire::MessageFrame frame(out, 'T');
  append_u16(out, static_cast<uint16_t>(columns.size()));
  for (size_t i = 0; i < columns.size(); ++i) {
    wire::append_cstring(out, columns[i].name);
    append_u32(out, 0);  // of no table
    append_u16(out, 0);
    append_u32(out, columns[i].type_oid);
    append_u16(out, static_cast<uint16_t>(columns[i].type_size));
    append_u32(out, 0xffffffffu);  // no type modifier
    append_u16(out, formats.of(i) == Format::Binary ? 1 : 0);
  }
}

void append_data_row(std::string& out, std::span<const wire::Column> columns, const ResultFormats& formats,
                     const Row& row) {
  wire::MessageFrame frame(out, 'D');
  append_u16(out, static_cast<uint16_t>(columns.size()));
  for (size_t i = 0; i < columns.size(); ++i) {
    const size_t length_at = out.size();
    append_u32(out, 0xffffffffu);  // NULL, unless set below
    if (!row[i]) continue;
    if (formats.of(i) == Format::Binary)
      append_binary(out, columns[i].type_oid, *row[i]);
    else
      out += *row[i];
    set_u32(out, length_at, out.size() - length_at - 4);
  }
}

}  // namespace tidepool::admin
