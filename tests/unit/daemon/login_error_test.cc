#include "daemon/login_error.h"

#include <doctest/doctest.h>

namespace tidepool::daemon {
namespace {

using base::Error;
using pool::DialFailure;

TEST_CASE("the server's words are found behind libpq's") {
  CHECK(read_login_error("connection to server at \"127.0.0.1\", port 5432 failed: FATAL:  28P01: password "
                         "authentication failed for "
                         "user \"pw\"\nLOCATION:  auth_failed, auth.c:334\n") ==
        Error{"28P01", "password authentication failed for user \"pw\""});
}

TEST_CASE("detail and hint are kept apart, and a message may have lines") {
  CHECK(read_login_error(
            "connection to server on socket \"/x\" failed: FATAL:  42501: one\ntwo\nDETAIL:  three\nfour\n"
            "HINT:  five\nLOCATION:  f, f.c:1\n") == Error{"42501", "one\ntwo", "three\nfour", "five"});
}

TEST_CASE("of several tries the last counts") {
  CHECK(read_login_error(
            "connection to server at \"h\" (1.2.3.4), port 5432 failed: FATAL:  28000: with TLS\nLOCATION:  "
            "f, f.c:1\n"
            "connection to server at \"h\" (1.2.3.4), port 5432 failed: FATAL:  28000: without TLS\n"
            "LOCATION:  f, f.c:1\n") == Error{"28000", "without TLS"});
}

TEST_CASE("a severity in another language is a severity") {
  CHECK(read_login_error("connection to server at \"h\", port 1 failed: ВАЖНО:  53300: извините\n") ==
        Error{"53300", "извините"});
}

TEST_CASE("a message that quotes an error is not taken for one") {
  CHECK(read_login_error(
            "connection to server at \"h\", port 1 failed: FATAL:  XX000: it said ERROR:  28000: no\n") ==
        Error{"XX000", "it said ERROR:  28000: no"});
}

TEST_CASE("where the server said nothing, libpq's words are left whole") {
  CHECK(read_login_error(
            "connection to server at \"h\", port 1 failed: Connection refused\n\tIs the server running?\n") ==
        Error{"",
              "connection to server at \"h\", port 1 failed: Connection refused\n\tIs the server running?"});
  CHECK(read_login_error("") == Error{"", ""});
  CHECK(read_login_error(":  ") == Error{"", ":  "});
}

TEST_CASE("an SQLSTATE decides what the pool makes of a failure") {
  CHECK(classify_login_error("28P01") == DialFailure::LoginRefused);
  CHECK(classify_login_error("28000") == DialFailure::LoginRefused);
  CHECK(classify_login_error("3D000") == DialFailure::LoginRefused);
  CHECK(classify_login_error("53300") == DialFailure::TooMany);
  CHECK(classify_login_error("57P03") == DialFailure::Unreachable);
  CHECK(classify_login_error("08001") == DialFailure::Unreachable);
  CHECK(classify_login_error("") == DialFailure::Unreachable);
}

}  // namespace
}  // namespace tidepool::daemon
