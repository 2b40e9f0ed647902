// The front door against anything: it answers in whole messages, and decides the same whole and byte by byte.
// The input: a byte that chooses the method, then what the client sends. Randomness is constant, so that a
// seed can hold a login that succeeds.
#include <cstddef>
#include <cstdint>
#include <string>

#include "lib/session/client_login.h"
#include "lib/wire/frame_cursor.h"
#include "tests/fuzz/expect.h"

using namespace tidepool;
using namespace tidepool::session;

namespace {

auth::Secret secret_for(std::string_view stored) {
  auto secret = auth::Secret::parse(stored, "sixteen bytes ok");
  EXPECT(secret);
  return *std::move(secret);
}

struct Rules : LoginRules {
  auth::AuthMethod method = auth::AuthMethod::Trust;

  std::optional<base::Error> may_log_in() override { return std::nullopt; }
  std::optional<base::Error> admit(std::string_view database) override {
    if (database == "full") return base::Error{"53300", "full house"};
    return std::nullopt;
  }
  auth::AuthMethod method_for(std::string_view, std::string_view) override { return method; }
  const auth::Secret* secret_of(std::string_view user) override {
    static const auth::Secret plain = secret_for("pencil");
    static const auth::Secret md5 = secret_for("md58bbf3f45673bf67d02e4214911f3417f");
    // One iteration, so that most of the time goes into other things.
    static const auth::Secret scram = secret_for(
        "SCRAM-SHA-256$1:c2l4dGVlbiBieXRlcyBvaw==$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=:"
        "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=");
    if (user == "p") return &plain;
    if (user == "m") return &md5;
    if (user == "s") return &scram;
    return nullptr;
  }
  bool knows_peer(std::string_view database) override { return database != "slow"; }
  bool peer_may_be(std::string_view user, std::string_view) override { return user == "p"; }
  std::optional<base::Error> authorize(std::string_view, std::string_view database) override {
    if (database == "none") return base::Error{"3D000", "none of that name"};
    return std::nullopt;
  }
  std::string random_bytes(size_t size) override { return std::string(size, 'R'); }
  std::string_view mock_key() override { return "mock key"; }
};

// 'N' for each refused encryption, then whole messages; or the one old error that has no length.
void expect_whole_messages(base::Bytes said) {
  while (!said.empty() && said[0] == 'N') said.remove_prefix(1);
  if (said.substr(0, 9) == "EFATAL:  ") return;
  wire::FrameCursor cursor;
  const auto result = cursor.walk(said, {}, [](const wire::Message&) { return wire::Walk::Go; });
  EXPECT(!result.broken && result.consumed == said.size() && cursor.between_messages());
}

struct Outcome {
  LoginStep step = MoreNeeded{};
  size_t used = 0;
  std::string said;
};

Outcome log_in(auth::AuthMethod method, base::Bytes bytes, size_t piece) {
  Rules rules;
  rules.method = method;
  ClientLogin login(rules);
  Outcome outcome;
  while (outcome.used < bytes.size() && std::holds_alternative<MoreNeeded>(outcome.step)) {
    const std::string part(bytes.substr(outcome.used, piece));
    size_t consumed = 0;
    outcome.step = login.receive(part, consumed, outcome.said);
    EXPECT(consumed <= part.size());
    EXPECT(consumed == part.size() || !std::holds_alternative<MoreNeeded>(outcome.step));
    outcome.used += consumed;
    std::string rest;
    if (std::holds_alternative<PeerNameNeeded>(outcome.step))
      outcome.step = login.peer_is_known(rest, outcome.said);
    if (const auto* check = std::get_if<PasswordToCheck>(&outcome.step))
      outcome.step = login.password_checked(check->matches(), rest, outcome.said);
    outcome.used -= rest.size();
  }
  expect_whole_messages(outcome.said);
  if (std::holds_alternative<MoreNeeded>(outcome.step)) {
    login.hung_up();
    login.timed_out(outcome.said);
  }
  return outcome;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < 1) return 0;
  const auto method = static_cast<auth::AuthMethod>(data[0] % 5);
  const base::Bytes bytes(reinterpret_cast<const char*>(data) + 1, size - 1);

  const Outcome whole = log_in(method, bytes, bytes.size());
  const Outcome pieces = log_in(method, bytes, 1);
  if (const auto* accepted = std::get_if<Accepted>(&whole.step)) {
    const auto* again = std::get_if<Accepted>(&pieces.step);
    EXPECT(again != nullptr);
    EXPECT(again->user == accepted->user && again->database == accepted->database);
    EXPECT(again->settings == accepted->settings && again->protocol_minor == accepted->protocol_minor);
    EXPECT(pieces.used == whole.used && pieces.said == whole.said);
    EXPECT(!accepted->user.empty() && !accepted->database.empty());
    EXPECT(method == auth::AuthMethod::Trust || accepted->user.size() == 1);  // of those that are known
  }
  if (std::holds_alternative<MoreNeeded>(whole.step)) EXPECT(std::holds_alternative<MoreNeeded>(pieces.step));
  return 0;
}
