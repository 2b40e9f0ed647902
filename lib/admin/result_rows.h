// The rows that a command answers with, and their way onto the wire: as text, or in PostgreSQL's binary
// format where a client asks for it (asyncpg asks for integers that way).
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "lib/wire/message_writer.h"

namespace tidepool::admin {

inline constexpr uint32_t kInt8Oid = 20;
inline constexpr uint32_t kInt4Oid = 23;
inline constexpr uint32_t kTextOid = 25;
inline constexpr uint32_t kNumericOid = 1700;

constexpr wire::Column text(std::string_view name) {
  return {name, kTextOid, -1};
}
constexpr wire::Column int4(std::string_view name) {
  return {name, kInt4Oid, 4};
}
constexpr wire::Column int8(std::string_view name) {
  return {name, kInt8Oid, 8};
}
constexpr wire::Column numeric(std::string_view name) {
  return {name, kNumericOid, -1};
}

using Cell = std::optional<std::string>;  // its text; nothing: NULL
using Row = std::vector<Cell>;
using Rows = std::vector<Row>;

enum class Format : uint8_t { Text, Binary };

// What a Bind asks for: none (all text), one for all columns, or one for each.
class ResultFormats {
 public:
  ResultFormats() = default;
  explicit ResultFormats(std::vector<Format> formats) : formats_(std::move(formats)) {}
  Format of(size_t column) const {
    if (formats_.empty()) return Format::Text;
    return formats_.size() == 1 ? formats_.front() : formats_[column];
  }

 private:
  std::vector<Format> formats_;
};

void append_row_description(std::string& out, std::span<const wire::Column> columns,
                            const ResultFormats& formats);
// `row` has a cell for each column, and integers and numerics are decimal digits.
void append_data_row(std::string& out, std::span<const wire::Column> columns, const ResultFormats& formats,
                     const Row& row);

}  // namespace tidepool::admin
