#include "lib/base/bytes.h"

#include <doctest/doctest.h>

#include <limits>

using namespace tidepool::base;

TEST_CASE("integers are written with their most significant byte first") {
  std::string out;
  append_u16(out, 0x0102);
  append_u32(out, 0x03040506);
  CHECK(out == "\x01\x02\x03\x04\x05\x06");
}

TEST_CASE("an integer is read as it was written, also with its highest bits set") {
  for (const uint32_t value :
       {0u, 1u, 0x7fu, 0x80u, 0xffu, 0x8000u, 0xffffu, 0x80000000u, 0xdeadbeefu, 0xffffffffu}) {
    CAPTURE(value);
    std::string out;
    append_u32(out, value);
    append_u16(out, static_cast<uint16_t>(value));
    REQUIRE(out.size() == 6);
    CHECK(read_u32(out.data()) == value);
    CHECK(read_u16(out.data() + 4) == static_cast<uint16_t>(value));
  }
}
