#include "lib/auth/secret.h"

#include <doctest/doctest.h>

#include "lib/auth/base64.h"
#include "lib/auth/hash.h"
#include "lib/auth/saslprep.h"

using namespace tidepool;
using namespace tidepool::auth;

namespace {

// As PostgreSQL 15 stored the password "pencil".
constexpr std::string_view kStoredScram =
    "SCRAM-SHA-256$4096:6X6k23SiA2iKSLolH4HgwA==$Dw7GN3GzaMVcyaOxkE0D43o58J/6pZRvlfv6ss3aFBg=:"
    "sRaGLy4f9hn2IBQ85IXGTAgWHo9ZbTPow4dWftImplY=";
constexpr std::string_view kStoredMd5 = "md58bbf3f45673bf67d02e4214911f3417f";  // of the user m
constexpr std::string_view kSalt = "sixteen bytes ok";

Secret secret(std::string_view stored) {
  auto parsed = Secret::parse(stored, kSalt);
  REQUIRE(parsed);
  return *std::move(parsed);
}

}  // namespace

TEST_CASE("a SCRAM secret as PostgreSQL stores it is decoded and knows its password") {
  const Secret scram = secret(kStoredScram);
  REQUIRE(scram.scram() != nullptr);
  CHECK(scram.scram()->iterations == 4096);
  CHECK(base64_of(scram.scram()->salt) == "6X6k23SiA2iKSLolH4HgwA==");
  CHECK(scram.scram()->stored_key.size() == 32);
  CHECK(scram.matches("pencil", "s"));
  CHECK_FALSE(scram.matches("pencils", "s"));
  CHECK_FALSE(scram.matches("", "s"));
  CHECK(scram.md5_of("s").empty());
  CHECK_FALSE(scram.can_md5());
  CHECK_FALSE(scram.is_plain());
}

TEST_CASE("the keys made from a password are PostgreSQL's") {
  const Secret stored = secret(kStoredScram);
  CHECK(make_scram_secret("pencil", stored.scram()->salt) == *stored.scram());
}

TEST_CASE("a password is prepared by SASLprep, as PostgreSQL prepares it") {
  const auto same = [](std::string_view password, std::string_view prepared) {
    CHECK(make_scram_secret(password, kSalt) == make_scram_secret(prepared, kSalt));
    CHECK(secret(password).matches(prepared, "s"));
    CHECK(secret(prepared).matches(password, "s"));
  };
  same("pa\xcc\x88ssword", "p\xc3\xa4ssword");        // letter and accent
  same("two\xc2\xa0words", "two words");              // a no-break space
  same("zero\xe2\x80\x8bwidth", "zero width");        // a space of no width
  same("pass\xc2\xadword", "password");               // a soft hyphen
  same("\xc2\xaa\xef\xac\x81\xe2\x85\xa8", "afiIX");  // letters of compatibility
}

TEST_CASE("what SASLprep does not allow or does not change stays as it is, as in PostgreSQL") {
  for (std::string_view password : {"all of it ascii", "with\ttab\x01", "key\xf0\x9f\x94\x91", "\xc2\xad",
                                    "latin \xe4", "a\xcc\x88\xc2\x85",
                                    "\xd8\xa7"
                                    "1",
                                    "p\xc3\xa4ssword"}) {
    CHECK(saslprep(password) == password);
    CHECK(secret(password).matches(password, "s"));
  }
}

TEST_CASE("an md5 secret is salted with its user") {
  const Secret md5 = secret(kStoredMd5);
  CHECK(md5.scram() == nullptr);
  CHECK(md5.md5_of("m") == kStoredMd5);
  CHECK(md5.matches("pencil", "m"));
  CHECK_FALSE(md5.matches("pencil", "n"));
  CHECK_FALSE(md5.matches("pencils", "m"));
}

TEST_CASE("a plain password can do everything") {
  const Secret plain = secret("pencil");
  CHECK(plain.is_plain());
  CHECK(plain.matches("pencil", "anybody"));
  CHECK_FALSE(plain.matches("Pencil", "anybody"));
  CHECK(plain.md5_of("m") == kStoredMd5);
  REQUIRE(plain.scram() != nullptr);
  CHECK(plain.scram()->salt == kSalt);
  CHECK(plain.scram()->iterations == 4096);
}

TEST_CASE("what only looks like an md5 secret is a plain password, as in PostgreSQL") {
  for (const char* text : {"md5", "md58bbf3f45673bf67d02e4214911f3417", "md58BBF3F45673BF67D02E4214911F3417F",
                           "md58bbf3f45673bf67d02e4214911f3417fa", "MD58bbf3f45673bf67d02e4214911f3417f"}) {
    CAPTURE(text);
    CHECK(secret(text).is_plain());
  }
}

TEST_CASE("an empty password and malformed SCRAM secrets are refused") {
  const std::string good(kStoredScram);
  const auto with = [&](std::string_view from, std::string_view to) {
    std::string text = good;
    return text.replace(text.find(from), from.size(), to);
  };
  for (const std::string& stored :
       {std::string(), std::string("a\0b", 3), std::string("SCRAM-SHA-256$"), with("4096", ""),
        with("4096", "0"), with("4096", "-1"), with("4096", "4096x"), with("4096", "99999999999"),
        with("6X6k23SiA2iKSLolH4HgwA==", ""), with("6X6k", "6X6"), with("$Dw7G", ":Dw7G"), with("=:s", "=s"),
        with("Dw7G", ""), with("sRaG", ""), good + "=", good + ":"}) {
    CAPTURE(stored);
    const auto parsed = Secret::parse(stored, kSalt);
    REQUIRE_FALSE(parsed);
    CHECK(parsed.error().sqlstate == "22023");
    CHECK(parsed.error().message.find("Dw7G") == std::string::npos);  // no secret in a log
  }
}

TEST_CASE("a secret is the same if it was stored the same, whatever salt it was given") {
  CHECK(*Secret::parse("pencil", "one salt........") == *Secret::parse("pencil", "another salt...."));
  CHECK_FALSE(secret("pencil") == secret("pencils"));
  CHECK(secret(kStoredScram) == secret(kStoredScram));
  CHECK_FALSE(secret(kStoredScram) == secret("pencil"));
  CHECK_FALSE(secret(kStoredMd5) == secret("pencil"));
}

TEST_CASE("a password in the clear is right only for a user who has it") {
  const Secret scram = secret(kStoredScram), md5 = secret(kStoredMd5), plain = secret("pencil");
  for (const Secret* known : {&scram, &md5, &plain}) {
    CHECK(password_matches(known, "pencil", "m"));
    CHECK_FALSE(password_matches(known, "wrong", "m"));
  }
  CHECK_FALSE(password_matches(nullptr, "pencil", "m"));
  CHECK_FALSE(password_matches(nullptr, "", "m"));
}

TEST_CASE("an answer to an md5 challenge is right only for a user who has the password") {
  const std::string salt = "salt";
  const std::string right = "md5" + md5_hex(std::string(kStoredMd5.substr(3)) + salt);
  const Secret scram = secret(kStoredScram), md5 = secret(kStoredMd5), plain = secret("pencil");
  CHECK(md5_answer_matches(&md5, right, salt, "m"));
  CHECK(md5_answer_matches(&plain, right, salt, "m"));
  CHECK_FALSE(md5_answer_matches(&plain, right, salt, "n"));
  CHECK_FALSE(md5_answer_matches(&md5, right, "tlas", "m"));
  CHECK_FALSE(md5_answer_matches(&md5, kStoredMd5, salt, "m"));  // the stored secret itself opens nothing
  CHECK_FALSE(md5_answer_matches(&md5, "", salt, "m"));
  CHECK_FALSE(md5_answer_matches(&scram, right, salt, "m"));
  CHECK_FALSE(md5_answer_matches(nullptr, right, salt, "m"));
  // Nor does what is hashed for those who have no secret.
  const std::string nobodys = "md5" + md5_hex(std::string(32, '0') + salt);
  CHECK_FALSE(md5_answer_matches(nullptr, nobodys, salt, "m"));
  CHECK_FALSE(md5_answer_matches(&scram, nobodys, salt, "m"));
}
