#include "lib/admin/result_rows.h"

#include <doctest/doctest.h>

#include <array>

using namespace tidepool::admin;

namespace {

// The value's bytes of a row of one column, after its length.
std::string value(const tidepool::wire::Column& column, const std::string& digits) {
  std::string out;
  append_data_row(out, std::array{column}, ResultFormats({Format::Binary}), {digits});
  return out.substr(1 + 4 + 2 + 4);
}

std::string numeric_value(std::initializer_list<uint16_t> words) {
  std::string bytes;
  for (uint16_t word : words) tidepool::base::append_u16(bytes, word);
  return bytes;
}

}  // namespace

TEST_CASE("integers in binary are big-endian, in the size of their type") {
  CHECK(value(int4("n"), "258") == std::string("\0\0\1\2", 4));
  CHECK(value(int4("n"), "-2") == "\xff\xff\xff\xfe");
  CHECK(value(int8("n"), "0") == std::string(8, '\0'));
  CHECK(value(int8("n"), "70000000000") == std::string("\0\0\0\x10\x4c\x53\x3c\x00", 8));
  CHECK(value(int8("n"), "-1") == std::string(8, '\xff'));
}

TEST_CASE("text is the same in binary") {
  CHECK(value(text("t"), "hello") == "hello");
}

// Compared with numeric_send() of PostgreSQL 15.
TEST_CASE("a numeric in binary has digits to the base of 10000") {
  CHECK(value(numeric("n"), "0") == numeric_value({0, 0, 0, 0}));
  CHECK(value(numeric("n"), "1") == numeric_value({1, 0, 0, 0, 1}));
  CHECK(value(numeric("n"), "9999") == numeric_value({1, 0, 0, 0, 9999}));
  CHECK(value(numeric("n"), "10000") == numeric_value({1, 1, 0, 0, 1}));
  CHECK(value(numeric("n"), "123456789") == numeric_value({3, 2, 0, 0, 1, 2345, 6789}));
  CHECK(value(numeric("n"), "100000001") == numeric_value({3, 2, 0, 0, 1, 0, 1}));
  CHECK(value(numeric("n"), "18446744073709551615") ==
        numeric_value({5, 4, 0, 0, 1844, 6744, 737, 955, 1615}));
  CHECK(value(numeric("n"), "-12") == numeric_value({1, 0, 0x4000, 0, 12}));
}

TEST_CASE("NULL and an empty text differ, in both formats") {
  for (Format format : {Format::Text, Format::Binary}) {
    std::string out;
    append_data_row(out, std::array{text("a"), text("b")}, ResultFormats({format}), {std::nullopt, ""});
    CHECK(out == std::string("D\0\0\0\x0e\0\2\xff\xff\xff\xff\0\0\0\0", 15));
  }
}
