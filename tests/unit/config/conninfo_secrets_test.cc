#include "lib/config/conninfo_secrets.h"

#include <doctest/doctest.h>

namespace tidepool::config {
namespace {

TEST_CASE("passwords in keywords are hidden, however they are written") {
  CHECK(without_passwords("host=a password=secret user=b") == "host=a password=<hidden> user=b");
  CHECK(without_passwords("password = 'se cret\\'s' user=b") == "password = <hidden> user=b");
  CHECK(without_passwords("password=se\\ cret user=b") == "password=<hidden> user=b");
  CHECK(without_passwords("user=b sslpassword=x password=y") ==
        "user=b sslpassword=<hidden> password=<hidden>");
  CHECK(without_passwords("user=b passfile=/x options='-c a=password=b'") ==
        "user=b passfile=/x options='-c a=password=b'");
  CHECK(without_passwords("password='never closed user=b") == "password=<hidden>");
  CHECK(without_passwords("password=two words") == "password=<hidden> <hidden>");
  CHECK(without_passwords("password=") == "password=");
  CHECK(without_passwords("password") == "password");
  CHECK(without_passwords("") == "");
}
TEST_CASE("passwords in a URI are hidden") {
  CHECK(without_passwords("postgresql://app:secret@db1/orders") == "postgresql://app:<hidden>@db1/orders");
  CHECK(without_passwords("postgres://app@db1:5432/orders") == "postgres://app@db1:5432/orders");
  CHECK(without_passwords("postgres://db1:5432,db2:5433/orders") == "postgres://db1:5432,db2:5433/orders");
  CHECK(without_passwords("postgres://app:p@ss/w?rd@db1/") == "postgres://app:<hidden>@db1/");
  CHECK(without_passwords("postgres://db/x?user=a&password=b&port=1") ==
        "postgres://db/x?user=a&password=<hidden>&port=1");
  CHECK(without_passwords("postgres://db/x?p%61ssword=b") == "postgres://db/x?p%61ssword=<hidden>");
}
TEST_CASE("libpq's words are kept without what they quote") {
  CHECK(without_quotes("invalid connection option \"load_balance\"") ==
        "invalid connection option \"load_balance\"");
  CHECK(without_quotes("missing \"=\" after \"secret\" in connection info string") ==
        "missing \"=\" after <hidden> in connection info string");
  CHECK(without_quotes("unexpected character \"x\" at position 5 in URI (expected \":\" or \"/\"): "
                       "\"postgres://a:\"b@c\"") ==
        "unexpected character \"x\" at position 5 in URI (expected \":\" or \"/\"): <hidden>");
  CHECK(without_quotes("invalid percent-encoded token: \"p%zz") == "invalid percent-encoded token: <hidden>");
}

}  // namespace
}  // namespace tidepool::config
