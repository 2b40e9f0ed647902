// A client and ClientLogin talking, for tests: what the client sends goes in whole or one byte at a time,
// what comes back is compared as trace lines.
#pragma once

#include <doctest/doctest.h>

#include <map>
#include <set>
#include <string>
#include <utility>

#include "lib/session/client_login.h"
#include "lib/wire/trace.h"

namespace tidepool::session {

enum class Pieces { Whole, Bytes };

// The world as the login sees it: plain fields that a test sets.
struct Rules : LoginRules {
  auth::AuthMethod method = auth::AuthMethod::Trust;
  std::map<std::string, auth::Secret, std::less<>> users;
  std::set<std::string, std::less<>> peer_names;
  std::optional<base::Error> admission, authorization;
  int admissions = 0;
  bool is_peer_known = true;

  void add_user(std::string name, std::string_view stored) {
    auto secret = auth::Secret::parse(stored, "sixteen bytes ok");
    REQUIRE(secret);
    users.emplace(std::move(name), *std::move(secret));
  }

  std::optional<base::Error> may_log_in() override { return std::nullopt; }
  std::optional<base::Error> admit(std::string_view) override {
    ++admissions;
    return admission;
  }
  auth::AuthMethod method_for(std::string_view, std::string_view) override { return method; }
  const auth::Secret* secret_of(std::string_view user) override {
    const auto found = users.find(user);
    return found == users.end() ? nullptr : &found->second;
  }
  bool knows_peer(std::string_view) override { return is_peer_known; }
  bool peer_may_be(std::string_view user, std::string_view) override { return peer_names.count(user) > 0; }
  std::optional<base::Error> authorize(std::string_view, std::string_view) override { return authorization; }
  std::string random_bytes(size_t size) override { return std::string(size, 'R'); }
  std::string_view mock_key() override { return "mock key"; }
};

class Conversation {
 public:
  explicit Conversation(Rules& rules, Pieces pieces = Pieces::Whole) : login(rules), pieces_(pieces) {}

  Conversation& receives(std::string_view bytes) {
    REQUIRE(std::holds_alternative<MoreNeeded>(step));
    size_t at = 0;
    do {
      const std::string piece(bytes.substr(at, pieces_ == Pieces::Whole ? bytes.size() : 1));
      size_t consumed = 0;
      step = login.receive(piece, consumed, out_);
      REQUIRE(consumed <= piece.size());
      if (!std::holds_alternative<Accepted>(step)) CHECK(consumed == piece.size());
      at += consumed;
      settle();
    } while (at < bytes.size() && std::holds_alternative<MoreNeeded>(step));
    unused = bytes.size() - at + rest_.size();
    return *this;
  }
  // Who is at the other end has been found out.
  Conversation& peer_is_known() {
    REQUIRE(std::holds_alternative<PeerNameNeeded>(step));
    step = login.peer_is_known(rest_, out_);
    settle();
    unused = rest_.size();
    return *this;
  }
  // The bytes that were answered since the last call.
  std::string answer() { return std::exchange(out_, {}); }
  Conversation& answers(std::string_view trace) {
    CHECK(wire::trace_server(answer()) == trace);
    return *this;
  }
  const Accepted& accepted() const {
    REQUIRE(std::holds_alternative<Accepted>(step));
    return std::get<Accepted>(step);
  }
  const Rejected& rejected() const {
    REQUIRE(std::holds_alternative<Rejected>(step));
    return std::get<Rejected>(step);
  }
  // Refused, and told so.
  void is_refused(std::string_view sqlstate, std::string_view message) {
    CHECK(rejected().error.sqlstate == sqlstate);
    CHECK(rejected().error.message == message);
    CHECK_FALSE(rejected().is_probe);
    const std::string said = wire::trace_server(answer());
    const std::string expected =
        "ErrorResponse S \"FATAL\" V \"FATAL\" C \"" + std::string(sqlstate) + "\" M \"";
    CAPTURE(said);
    CHECK(said.find(expected) != std::string::npos);
  }
  // The connection is closed without a word.
  void is_hung_up_on(std::string_view message) {
    CHECK(rejected().error.message == message);
    CHECK(answer().empty());
  }

  ClientLogin login;
  LoginStep step = MoreNeeded{};
  int checks = 0;     // of passwords, by a function that takes long
  size_t unused = 0;  // bytes of the last receives() that belong to the session

 private:
  // What the shell does elsewhere.
  void settle() {
    if (const auto* check = std::get_if<PasswordToCheck>(&step)) {
      ++checks;
      step = login.password_checked(check->matches(), rest_, out_);
    }
  }

  Pieces pieces_;
  std::string out_, rest_;
};

// Runs a test whole and byte by byte.
template <class Test>
void both_ways(Test&& test) {
  SUBCASE("whole") {
    test(Pieces::Whole);
  }
  SUBCASE("byte by byte") {
    test(Pieces::Bytes);
  }
}

}  // namespace tidepool::session
