#include "lib/auth/scram_server.h"

#include <doctest/doctest.h>

#include "lib/auth/base64.h"
#include "tests/unit/auth/scram_client.h"

using namespace tidepool;
using namespace tidepool::auth;

namespace {

constexpr std::string_view kMockKey = "the key of this process";

Secret secret(std::string_view stored) {
  auto parsed = Secret::parse(stored, *bytes_of_base64("W22ZaJ0SNY7soEsUEjb6gQ=="));
  REQUIRE(parsed);
  return *std::move(parsed);
}

// RFC 7677's example: the password is "pencil".
constexpr std::string_view kServerNonce = "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0";
constexpr std::string_view kClientFirst = "n,,n=user,r=rOprNGfwEbeRWgbNEkqO";
constexpr std::string_view kServerFirst =
    "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096";
constexpr std::string_view kClientFinal =
    "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,"
    "p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=";
constexpr std::string_view kServerFinal = "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=";

ScramServer server(const Secret* known) {
  return {known, "user", kMockKey, kServerNonce};
}

base::Error first_error(std::string_view message) {
  const Secret known = secret("pencil");
  const auto answer = server(&known).first(message);
  REQUIRE_FALSE(answer);
  return answer.error();
}

base::Error final_error(std::string_view message) {
  const Secret known = secret("pencil");
  ScramServer scram = server(&known);
  REQUIRE(scram.first(kClientFirst));
  const auto answer = scram.final(message);
  REQUIRE_FALSE(answer);
  return answer.error();
}

}  // namespace

TEST_CASE("RFC 7677's exchange") {
  const Secret known = secret("pencil");
  ScramServer scram = server(&known);
  const auto first = scram.first(kClientFirst);
  REQUIRE(first);
  CHECK(*first == kServerFirst);
  const auto final = scram.final(kClientFinal);
  REQUIRE(final);
  REQUIRE(final->has_value());
  CHECK(**final == kServerFinal);
}

TEST_CASE("a wrong password, an unknown user and an md5 secret fail alike, at the end") {
  const Secret known = secret("pencil"), md5 = secret("md58bbf3f45673bf67d02e4214911f3417f");
  const std::string without_proof = "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0";
  for (const Secret* stored : {&known, &md5, static_cast<const Secret*>(nullptr)}) {
    ScramServer scram = server(stored);
    const auto first = scram.first(kClientFirst);
    REQUIRE(first);
    CHECK(first->size() == kServerFirst.size());  // the same form: 16 bytes of salt, 4096 iterations
    CHECK(first->substr(first->size() - 7) == ",i=4096");
    const auto final =
        scram.final(scram_client_final("wrong", kClientFirst.substr(3), *first, without_proof));
    REQUIRE(final);
    CHECK_FALSE(final->has_value());
  }
}

TEST_CASE("an unknown user is shown the same salt each time, and another than other users") {
  const auto salt_of = [](std::string_view user, std::string_view key) {
    const auto first = ScramServer(nullptr, user, key, kServerNonce).first(kClientFirst);
    REQUIRE(first);
    return *first;
  };
  CHECK(salt_of("nobody", kMockKey) == salt_of("nobody", kMockKey));
  CHECK(salt_of("nobody", kMockKey) != salt_of("noone", kMockKey));
  CHECK(salt_of("nobody", kMockKey) != salt_of("nobody", "another process"));
}

TEST_CASE("no proof opens an account that has no SCRAM keys") {
  // Its stored key is 32 zero bytes: a proof that hashes to them is not known, but the flag does not depend
  // on that.
  ScramServer scram = server(nullptr);
  REQUIRE(scram.first(kClientFirst));
  const auto final = scram.final(kClientFinal);
  REQUIRE(final);
  CHECK_FALSE(final->has_value());
}

TEST_CASE("a client that could bind the channel but believes that we cannot is right") {
  const Secret known = secret("pencil");
  ScramServer scram = server(&known);
  const auto first = scram.first("y,,n=,r=abc");
  REQUIRE(first);
  const std::string nonce = first->substr(0, first->find(','));
  const auto final = scram.final(scram_client_final("pencil", "n=,r=abc", *first, "c=eSws," + nonce));
  REQUIRE(final);
  CHECK(final->has_value());
}

TEST_CASE("extensions that are optional are passed over and signed") {
  const Secret known = secret("pencil");
  ScramServer scram = server(&known);
  const auto first = scram.first("n,,n=,r=abc,x=1,y=");
  REQUIRE(first);
  const std::string nonce = first->substr(0, first->find(','));
  const auto final =
      scram.final(scram_client_final("pencil", "n=,r=abc,x=1,y=", *first, "c=biws," + nonce + ",z=2"));
  REQUIRE(final);
  CHECK(final->has_value());
}

TEST_CASE("a first message that is not one is refused in PostgreSQL's words") {
  const auto detail = [](std::string_view message) {
    const base::Error error = first_error(message);
    CHECK(error.sqlstate == "08P01");
    CHECK(error.message == "malformed SCRAM message");
    return error.detail;
  };
  CHECK(detail("") == "The message is empty.");
  CHECK(detail(std::string_view("n,,n=\0,r=x", 10)) == "Message length does not match input length.");
  CHECK(detail("x,,n=,r=x") == "Unexpected channel-binding flag \"'x'\".");
  CHECK(detail("n") == "Comma expected, but found character \"0x00\".");
  CHECK(detail("n;,n=,r=x") == "Comma expected, but found character \"';'\".");
  CHECK(detail("n,x,n=,r=x") == "Unexpected attribute \"'x'\" in client-first-message.");
  CHECK(detail("n,,r=x") == "Expected attribute \"n\" but found \"'r'\".");
  CHECK(detail("n,,n") == "Expected character \"=\" for attribute \"n\".");
  CHECK(detail("n,,n=user") == "Expected attribute \"r\" but found \"0x00\".");
  CHECK(detail("n,,n=,r=x,\x01=2") == "Attribute expected, but found invalid character \"0x01\".");
  CHECK(detail("p=tls-unique,,n=,r=x").find("without channel binding") != std::string::npos);
  CHECK(first_error("n,a=other,n=,r=x").sqlstate == "0A000");
  CHECK(first_error("n,,m=ext,n=,r=x").message == "client requires an unsupported SCRAM extension");
  CHECK(first_error("n,,n=,r=a\x80").message == "non-printable characters in SCRAM nonce");
}

TEST_CASE("a final message that is not one is refused in PostgreSQL's words") {
  const std::string nonce = "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0";
  const std::string proof = "p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=";
  CHECK(final_error("").detail == "The message is empty.");
  CHECK(final_error("x").detail == "Expected attribute \"c\" but found \"'x'\".");
  CHECK(final_error("c=eSws," + nonce + "," + proof).message ==
        "unexpected SCRAM channel-binding attribute in client-final-message");
  CHECK(final_error("c=biws," + nonce).detail == "Attribute expected, but found end of string.");
  CHECK(final_error("c=biws").detail == "Expected attribute \"r\" but found \"0x00\".");
  CHECK(final_error("c=biws," + nonce + ",p=AAAA").detail == "Malformed proof in client-final-message.");
  CHECK(final_error("c=biws," + nonce + ",p=").detail == "Malformed proof in client-final-message.");
  CHECK(final_error("c=biws," + nonce + "," + proof + ",x=1").detail ==
        "Garbage found at the end of client-final-message.");
  CHECK(final_error("c=biws,r=other," + proof).detail == "Nonce does not match.");
}

TEST_CASE("a message that is cut off anywhere opens nothing") {
  const Secret known = secret("pencil");
  for (size_t cut = 0; cut < kClientFinal.size(); ++cut) {
    CAPTURE(cut);
    ScramServer scram = server(&known);
    REQUIRE(scram.first(kClientFirst));
    const auto answer = scram.final(std::string(kClientFinal.substr(0, cut)));
    CHECK((!answer || !answer->has_value()));
  }
  for (size_t cut = 0; cut < kClientFirst.size() - 20; ++cut) {
    CAPTURE(cut);
    CHECK_FALSE(server(&known).first(std::string(kClientFirst.substr(0, cut))));
  }
}
