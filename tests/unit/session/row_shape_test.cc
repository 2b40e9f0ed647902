#include "lib/session/row_shape.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <set>
#include <string>
#include <vector>

namespace tidepool::session {
namespace {

struct Column {
  std::string name = "a";
  uint32_t type = 23, modifier = 0xffffffff;
  uint32_t table = 16384;
  uint16_t number = 1, size = 4, format = 0;
};

std::string body_of(const std::vector<Column>& columns) {
  std::string body;
  base::append_u16(body, static_cast<uint16_t>(columns.size()));
  for (const Column& column : columns) {
    body.append(column.name).push_back('\0');
    base::append_u32(body, column.table);
    base::append_u16(body, column.number);
    base::append_u32(body, column.type);
    base::append_u16(body, column.size);
    base::append_u32(body, column.modifier);
    base::append_u16(body, column.format);
  }
  return body;
}

uint64_t shape_of(const std::vector<Column>& columns, size_t piece = std::string::npos) {
  const std::string body = body_of(columns);
  RowShape shape;
  for (size_t at = 0; at < body.size(); at += std::min(piece, body.size()))
    shape.read(base::Bytes(body).substr(at, piece));
  return shape.number();
}

TEST_CASE("what a client decodes rows by makes another shape") {
  const std::vector<std::vector<Column>> all = {
      {},
      {{}},
      {{}, {}},
      {{.name = "b"}},
      {{.name = ""}},
      {{.name = "A"}},
      {{.type = 20}},
      {{.type = 0x17000000}},
      {{.modifier = 14}},
      {{.name = "a"}, {.name = "b"}},
      {{.name = "b"}, {.name = "a"}},
      {{.name = "ab"}},
      {{.name = std::string(63, 'a')}, {.type = 25}},
  };
  std::set<uint64_t> shapes{RowShape::kUnknown, RowShape::kNoRows};
  for (const auto& columns : all) shapes.insert(shape_of(columns));
  CHECK(shapes.size() == 2 + all.size());
}

TEST_CASE("what PostgreSQL does not compare either makes none: the table, the format") {
  const uint64_t shape = shape_of({{}, {.name = "b", .type = 25}});
  CHECK(shape_of({{.table = 5}, {.name = "b", .type = 25, .table = 6}}) == shape);
  CHECK(shape_of({{.number = 3}, {.name = "b", .type = 25, .number = 2}}) == shape);
  CHECK(shape_of({{.format = 1}, {.name = "b", .type = 25}}) == shape);
}

TEST_CASE("a description may come in pieces of any size") {
  std::vector<Column> columns(100);
  for (size_t i = 0; i < columns.size(); ++i) columns[i].name = "column " + std::to_string(i);
  for (const size_t piece : {1, 2, 3, 7, 18, 19, 1000}) CHECK(shape_of(columns, piece) == shape_of(columns));
}

}  // namespace
}  // namespace tidepool::session
