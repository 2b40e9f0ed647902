#include "lib/auth/base64.h"

#include <doctest/doctest.h>

using namespace tidepool::auth;

TEST_CASE("RFC 4648's examples") {
  constexpr struct {
    std::string_view bytes, text;
  } kExamples[] = {{"", ""},
                   {"f", "Zg=="},
                   {"fo", "Zm8="},
                   {"foo", "Zm9v"},
                   {"foob", "Zm9vYg=="},
                   {"fooba", "Zm9vYmE="},
                   {"foobar", "Zm9vYmFy"}};
  for (const auto& example : kExamples) {
    CHECK(base64_of(example.bytes) == example.text);
    CHECK(bytes_of_base64(example.text) == example.bytes);
  }
}

TEST_CASE("every byte comes back") {
  std::string bytes;
  for (int byte = 0; byte < 256; ++byte) {
    bytes += static_cast<char>(byte);
    CHECK(bytes_of_base64(base64_of(bytes)) == bytes);
  }
}

TEST_CASE("what base64_of() would not have made is refused") {
  for (const char* text : {"Zg", "Zg=", "Z===", "====", "Zg==Zg==", "Z=g=", "Zh==", "Zm9=", "Zm 9", "Zm9\n",
                           "Zm9*", "=m9v", "Zm9vYg=\xff"}) {
    CAPTURE(text);
    CHECK_FALSE(bytes_of_base64(text));
  }
}
