#include "lib/wire/message_reader.h"

#include <doctest/doctest.h>

#include "lib/wire/message_writer.h"

using namespace tidepool;
using namespace tidepool::wire;

namespace {

std::string body_of(const std::string& message) {
  return message.substr(5);
}

}  // namespace

TEST_CASE("fields are read one after the other") {
  const std::string body("a\x01\x02\x03\x04\x05\x06name\0xyzrest", 19);
  FieldReader fields(body);
  CHECK(fields.byte() == 'a');
  CHECK(fields.u16() == 0x0102);
  CHECK(fields.u32() == 0x03040506);
  CHECK(fields.cstring() == "name");
  CHECK(fields.bytes(3) == "xyz");
  CHECK_FALSE(fields.at_end());
  CHECK(fields.rest() == "rest");
  CHECK(fields.ok_and_at_end());
}

TEST_CASE("the first failure sticks") {
  FieldReader fields("abc");
  CHECK(fields.u32() == 0);
  CHECK_FALSE(fields.ok());
  CHECK(fields.byte() == '\0');  // although there was one
  CHECK(fields.cstring().empty());
  CHECK(fields.rest().empty());
  CHECK_FALSE(fields.ok());
  CHECK_FALSE(fields.ok_and_at_end());
}

TEST_CASE("what is cut off anywhere fails and nothing is read beyond the end") {
  const std::string body("a\x01\x02\x03\x04\x05\x06name\0xyz", 15);
  for (size_t cut = 0; cut < body.size(); ++cut) {
    CAPTURE(cut);
    const std::string part(body, 0, cut);  // of its own, so that a sanitizer sees a read beyond it
    FieldReader fields(part);
    fields.byte();
    fields.u16();
    fields.u32();
    fields.cstring();
    fields.bytes(3);
    CHECK_FALSE(fields.ok());
  }
}

TEST_CASE("a string without its NUL byte is no string, and an empty one is") {
  FieldReader open("name");
  open.cstring();
  CHECK_FALSE(open.ok());
  FieldReader empty(std::string_view("\0", 1));
  CHECK(empty.cstring().empty());
  CHECK(empty.ok_and_at_end());
}

TEST_CASE("a size that wraps around fails") {
  FieldReader fields("abc");
  fields.bytes(static_cast<size_t>(-1));
  CHECK_FALSE(fields.ok());
}

TEST_CASE("an error is read as it was written") {
  const base::Error error{"53300", "too many", "a detail", "a hint"};
  std::string message;
  append_error_response(message, "FATAL", error);
  CHECK(read_error(body_of(message)) == error);
  CHECK(read_severity(body_of(message)) == "FATAL");
}

TEST_CASE("every field of an error is optional, and unknown ones are passed over") {
  CHECK(read_error({}) == base::Error{});
  CHECK(read_error(std::string_view("\0", 1)) == base::Error{});
  CHECK(read_error(std::string_view("Fpostgres.c\0Mwords\0L1\0\0", 24)) == base::Error{"", "words"});
  CHECK(read_severity(std::string_view("SFEHLER\0\0", 9)) == "FEHLER");
  CHECK(read_severity({}).empty());
}

TEST_CASE("an error that is cut off anywhere gives the fields that are whole") {
  std::string message;
  append_error_response(message, "ERROR", {"22012", "division by zero", "d", "h"});
  const std::string body = body_of(message);
  for (size_t cut = 0; cut < body.size(); ++cut) {
    CAPTURE(cut);
    const base::Error error = read_error(std::string(body, 0, cut));
    CHECK((error.sqlstate.empty() || error.sqlstate == "22012"));
    CHECK((error.message.empty() || error.message == "division by zero"));
  }
}

TEST_CASE("a ParameterStatus is a name and a value, and nothing else") {
  std::string message;
  append_parameter_status(message, "TimeZone", "Europe/Berlin");
  const std::string body = body_of(message);
  const auto status = read_parameter_status(body);
  REQUIRE(status);
  CHECK(status->name == "TimeZone");
  CHECK(status->value == "Europe/Berlin");
  CHECK_FALSE(read_parameter_status(body + "x"));
  for (size_t cut = 0; cut < body.size(); ++cut)
    CHECK_FALSE(read_parameter_status(std::string(body, 0, cut)));
}
