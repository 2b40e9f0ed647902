#include "lib/config/values.h"

#include <doctest/doctest.h>

using namespace std::chrono_literals;

namespace tidepool::config {
namespace {

Value value(const std::string& text) {
  return {text, in_quotes(text)};
}

std::string duration(const std::string& text) {
  base::Duration out{-1};
  const Wrong wrong = read_duration(value(text), {1ms, 24h, Zero::Allowed}, out);
  CHECK(wrong.has_value() == (out.count() == -1));
  return wrong ? *wrong : std::to_string(out.count());
}
std::string number(const std::string& text) {
  uint32_t out = 77;
  const Wrong wrong = read_number(value(text), 1, 4'000'000'000, out);
  CHECK((!wrong || out == 77));
  return wrong ? *wrong : std::to_string(out);
}

std::string size(const std::string& text) {
  uint64_t out = 77;
  const Wrong wrong = read_size(value(text), 2, uint64_t{64} << 30, out);
  CHECK((!wrong || out == 77));
  return wrong ? *wrong : std::to_string(out);
}

TEST_CASE("sizes are read with PostgreSQL's units, and printed as short as they can be") {
  CHECK(size("2B") == "2");
  CHECK(size("64kB") == "65536");
  CHECK(size("16MB") == "16777216");
  CHECK(size("16 MB") == "16777216");
  CHECK(size("64GB") == "68719476736");
  CHECK(size("65536MB") == "68719476736");
  CHECK(print_size(0) == "0B");
  CHECK(print_size(77) == "77B");
  CHECK(print_size(1024) == "1kB");
  CHECK(print_size(1025) == "1025B");
  CHECK(print_size(uint64_t{1536} << 10) == "1536kB");
  CHECK(print_size(uint64_t{256} << 20) == "256MB");
  CHECK(print_size(uint64_t{64} << 30) == "64GB");
  for (const uint64_t bytes : {uint64_t{2}, uint64_t{1} << 16, uint64_t{3} << 20, (uint64_t{1} << 30) + 1})
    CHECK(size(print_size(bytes)) == std::to_string(bytes));
}

TEST_CASE("a size that is none says what one is") {
  const std::string not_one =
      " is not a size from 2B to 64GB; write a number with its unit as in 64kB, 16MB, 1GB";
  for (const std::string text : {"", "big", "MB", "16", "16mb", "16KB", "16M", "1.5MB", "-1MB", "+1MB", "1B",
                                 "0GB", "65GB", "68719476737B", "16MB more", "18446744073709551615GB",
                                 "99999999999999999999999B", "17179869184GB", "0x10MB"})
    CHECK(size(text) == "\"" + text + "\"" + not_one);
}

TEST_CASE("durations are read as people write them, and bare numbers are seconds") {
  CHECK(duration("30") == "30000000");
  CHECK(duration("30s") == "30000000");
  CHECK(duration("30 s") == "30000000");
  CHECK(duration("500ms") == "500000");
  CHECK(duration("1500us") == "1500");
  CHECK(duration("10min") == "600000000");
  CHECK(duration("1h") == "3600000000");
  CHECK(duration("1d") == "86400000000");
  CHECK(duration("0") == "0");
  CHECK(duration("0s") == "0");
  CHECK(duration("0.25") == "250000");
  CHECK(duration("1.5h") == "5400000000");
  CHECK(duration("0.0010009999999999s") == "1000");
}

TEST_CASE("a duration that is none says what one is") {
  const std::string not_one =
      " is not a duration; write seconds, or a number with its unit as in 500ms, 30s, 10min, 1h, 1d";
  CHECK(duration("soon") == "\"soon\"" + not_one);
  CHECK(duration("") == "\"\"" + not_one);
  CHECK(duration("-") == "\"-\"" + not_one);
  CHECK(duration("1.") == "\"1.\"" + not_one);
  CHECK(duration(".5") == "\".5\"" + not_one);
  CHECK(duration("10m") == "\"10m\" could be minutes or milliseconds; write min or ms");
  CHECK(duration("10 years") ==
        "\"10 years\" has no unit that is known; write us, ms, s, min, h or d, or nothing for seconds");
  CHECK(duration("-5s") == "\"-5s\" is negative; write 1ms to 1d, or 0");
  CHECK(duration("10us") == "\"10us\" is too short; write 1ms to 1d, or 0");
  CHECK(duration("25h") == "\"25h\" is too long; write 1ms to 1d, or 0");
  CHECK(duration("1.1d") == "\"1.1d\" is too long; write 1ms to 1d, or 0");
  CHECK(duration("99999999999999999999999s") ==
        "\"99999999999999999999999s\" is too long; write 1ms to 1d, or 0");
  CHECK(duration("18446744073709551615d") == "\"18446744073709551615d\" is too long; write 1ms to 1d, or 0");
}

TEST_CASE("a duration is printed with its largest whole unit") {
  CHECK(print_duration(0s) == "0");
  CHECK(print_duration(90s) == "90s");
  CHECK(print_duration(60s) == "60s");
  CHECK(print_duration(10min) == "10min");
  CHECK(print_duration(1h) == "1h");
  CHECK(print_duration(48h) == "2d");
  CHECK(print_duration(1500us) == "1500us");
}

TEST_CASE("a number is whole and in its range") {
  CHECK(number("1") == "1");
  CHECK(number("4000000000") == "4000000000");
  CHECK(number("0") == "\"0\" is too small; write a number from 1 to 4000000000");
  CHECK(number("-3") == "\"-3\" is negative; write a number from 1 to 4000000000");
  CHECK(number("4000000001") == "\"4000000001\" is too large; write a number from 1 to 4000000000");
  CHECK(number("99999999999999999999") ==
        "\"99999999999999999999\" is too large; write a number from 1 to 4000000000");
  for (const char* text : {"", "x", "1x", "1.5", "1 000", "+1", "0x10", " 1"}) {
    CHECK(number(text) == in_quotes(text) + " is not a whole number; write a number from 1 to 4000000000");
  }
}

TEST_CASE("a file mode is octal, with quotes or without") {
  uint32_t mode = 0;
  for (const char* text : {"0660", "660", "0o660"}) {
    CHECK(!read_mode(value(text), mode));
    CHECK(mode == 0660);
  }
  for (const char* text : {"", "888", "rw-rw----", "1777", "-660"}) {
    CHECK(read_mode(value(text), mode) ==
          in_quotes(text) +
              " is not a file mode; write three octal digits, as for chmod: 0660, 0666 or 0600");
  }
  CHECK(print_mode(0600) == "0600");
}

TEST_CASE("the nearest known word is what was meant") {
  const std::vector<std::string_view> known{"min_size",     "max_size", "max_idle",
                                            "max_lifetime", "check",    "check_query"};
  CHECK(nearest("max_szie", known) == "max_size");
  CHECK(nearest("maxSize", known) == "max_size");
  CHECK(nearest("max-size", known) == "max_size");
  CHECK(nearest("MIN_SIZE", known) == "min_size");
  CHECK(nearest("chek", known) == "check");
  CHECK(nearest("lifetime", known) == "max_lifetime");
  CHECK(nearest("max_idle_time", known) == "max_idle");
  CHECK(nearest("pgbouncer", known) == "");
  CHECK(nearest("", known) == "");
  CHECK(nearest(std::string(100'000, 'x'), known) == "");
}

TEST_CASE("what is quoted in a message is short and one line") {
  CHECK(in_quotes("a\nb\x01") == "\"a b \"");
  CHECK(in_quotes(std::string(100, 'x')) == "\"" + std::string(60, 'x') + "...\"");
  CHECK(in_quotes(std::string(59, 'x') + "\xc3\xa9\xc3\xa9") == "\"" + std::string(59, 'x') + "...\"");
}

}  // namespace
}  // namespace tidepool::config
