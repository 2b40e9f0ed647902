// How clients prove who they are at the front door.
#include <doctest/doctest.h>

#include "lib/auth/base64.h"
#include "lib/auth/hash.h"
#include "lib/wire/message_writer.h"
#include "tests/unit/auth/scram_client.h"
#include "tests/unit/session/login_conversation.h"

using namespace tidepool;
using namespace tidepool::session;
using auth::AuthMethod;

namespace {

std::string startup(std::string_view user) {
  std::string out;
  wire::append_startup(out, 0, {{"user", user}, {"database", "orders"}});
  return out;
}
std::string password(std::string_view text) {
  std::string out;
  wire::append_password(out, text);
  return out;
}
std::string mechanism(std::string_view name, std::string_view data) {
  std::string out;
  wire::append_sasl_initial_response(out, name, data);
  return out;
}
std::string response(std::string_view data) {
  std::string out;
  wire::append_sasl_response(out, data);
  return out;
}
std::string md5_answer(std::string_view user, std::string_view text) {
  return "md5" + auth::md5_hex(auth::md5_hex(std::string(text).append(user)) + "RRRR");
}

// All kinds of users, each with the password "pencil".
Rules world(AuthMethod method) {
  Rules rules;
  rules.method = method;
  rules.add_user("plain", "pencil");
  rules.add_user("scram",
                 "SCRAM-SHA-256$4096:6X6k23SiA2iKSLolH4HgwA==$Dw7GN3GzaMVcyaOxkE0D43o58J/6pZRvlfv6ss3aFBg=:"
                 "sRaGLy4f9hn2IBQ85IXGTAgWHo9ZbTPow4dWftImplY=");
  rules.add_user("m", "md58bbf3f45673bf67d02e4214911f3417f");
  return rules;
}

constexpr std::string_view kOk = "Authentication 0\n";
constexpr std::string_view kMd5Challenge = "Authentication 5 \"RRRR\"\n";
constexpr std::string_view kOffersScram = "Authentication 10 \"SCRAM-SHA-256\\x00\\x00\"\n";
constexpr std::string_view kClientFirstBare = "n=,r=clientnonce";

std::string wrong_password(std::string_view user) {
  return "password authentication failed for user \"" + std::string(user) + "\"";
}

// The data of the one Authentication message that was answered.
std::string sasl_data(Conversation& with) {
  const std::string answer = with.answer();
  REQUIRE(answer.size() > 9);
  CHECK(answer[0] == 'R');
  CHECK(base::read_u32(answer.data() + 5) == 11);
  return answer.substr(9);
}

// Up to the client's final message; returns that.
std::string scram_up_to_final(Conversation& with, std::string_view user, std::string_view text) {
  with.receives(startup(user)).answers(kOffersScram);
  with.receives(mechanism("SCRAM-SHA-256", "n,," + std::string(kClientFirstBare)));
  const std::string server_first = sasl_data(with);
  const std::string nonce = server_first.substr(0, server_first.find(','));
  CHECK(nonce == "r=clientnonce" + auth::base64_of(std::string(18, 'R')));
  return response(auth::scram_client_final(text, kClientFirstBare, server_first, "c=biws," + nonce));
}

}  // namespace

TEST_CASE("trust lets anybody in, known or not") {
  Rules rules = world(AuthMethod::Trust);
  Conversation with(rules);
  with.receives(startup("stranger")).answers(kOk);
  CHECK(with.accepted().user == "stranger");
}

TEST_CASE("peer lets in whom the operating system vouches for") {
  Rules rules = world(AuthMethod::Peer);
  rules.peer_names.insert("app");
  Conversation known(rules), unknown(rules);
  known.receives(startup("app")).answers(kOk);
  known.accepted();
  unknown.receives(startup("root"));
  unknown.is_refused("28000", "Peer authentication failed for user \"root\"");
}

TEST_CASE("who is at the other end is found out before anything is decided") {
  Rules rules = world(AuthMethod::Peer);
  rules.peer_names.insert("app");
  rules.is_peer_known = false;
  Conversation with(rules), gone(rules);
  with.receives(startup("app") + "session");
  CHECK(std::holds_alternative<PeerNameNeeded>(with.step));
  CHECK(with.answer().empty());
  with.peer_is_known().answers(kOk);
  CHECK(with.accepted().user == "app");
  CHECK(with.unused == 7);
  gone.receives(startup("app"));
  CHECK(gone.login.hung_up().is_probe);
}

TEST_CASE("password: only what takes long is checked elsewhere") {
  Rules rules = world(AuthMethod::Password);
  const auto checks = [&](std::string_view user, std::string_view text) {
    Conversation with(rules);
    with.receives(startup(user)).answer();
    with.receives(password(text) + "session");
    if (std::holds_alternative<Accepted>(with.step)) CHECK(with.unused == 7);
    return std::pair(std::holds_alternative<Accepted>(with.step), with.checks);
  };
  CHECK(checks("plain", "pencil") == std::pair(true, 0));
  CHECK(checks("m", "pencil") == std::pair(true, 0));
  CHECK(checks("scram", "pencil") == std::pair(true, 1));
  for (const char* user : {"plain", "m", "scram", "nobody"})
    CHECK(checks(user, "pen") == std::pair(false, 1));
}

TEST_CASE("password: every kind of secret opens to its password") {
  both_ways([](Pieces pieces) {
    Rules rules = world(AuthMethod::Password);
    for (const char* user : {"plain", "scram", "m"}) {
      CAPTURE(user);
      Conversation with(rules, pieces);
      with.receives(startup(user)).answers("Authentication 3\n");
      with.receives(password("pencil")).answers(kOk);
      CHECK(with.accepted().user == user);
    }
  });
}

TEST_CASE("password: a wrong one and an unknown user are refused alike") {
  Rules rules = world(AuthMethod::Password);
  for (const char* user : {"plain", "scram", "m", "stranger"}) {
    CAPTURE(user);
    Conversation with(rules);
    with.receives(startup(user)).answers("Authentication 3\n");
    with.receives(password("wrong"));
    with.is_refused("28P01", wrong_password(user));
  }
}

TEST_CASE("password: it may come together with the startup packet, and the session's bytes with it") {
  Rules rules = world(AuthMethod::Password);
  Conversation with(rules);
  with.receives(startup("plain") + password("pencil") + "session");
  with.accepted();
  CHECK(with.unused == 7);
}

TEST_CASE("password: what is not one message with one string is refused in PostgreSQL's words") {
  Rules rules = world(AuthMethod::Password);
  const auto refused = [&](std::string_view bytes, std::string_view sqlstate, std::string_view message) {
    Conversation with(rules);
    with.receives(startup("plain")).answer();
    with.receives(bytes);
    with.is_refused(sqlstate, message);
  };
  refused(response("pencil"), "08P01", "invalid password packet size");
  refused(response(std::string_view("pencil\0\0", 8)), "08P01", "invalid password packet size");
  refused(response(""), "08P01", "invalid password packet size");
  refused(password(""), "28P01", "empty password returned by client");
  std::string query;
  wire::append_query(query, "select 1");
  refused(query, "08P01", "expected password response, got message type 81");
  refused("Q", "08P01", "expected password response, got message type 81");
}

TEST_CASE("md5: who has an md5 secret or a plain one answers the challenge") {
  both_ways([](Pieces pieces) {
    Rules rules = world(AuthMethod::Md5);
    for (const char* user : {"plain", "m"}) {
      CAPTURE(user);
      Conversation with(rules, pieces);
      with.receives(startup(user)).answers(kMd5Challenge);
      with.receives(password(md5_answer(user, "pencil"))).answers(kOk);
      with.accepted();
    }
  });
}

TEST_CASE("md5: a wrong answer and an unknown user are refused alike") {
  Rules rules = world(AuthMethod::Md5);
  for (const char* user : {"plain", "m", "stranger"}) {
    CAPTURE(user);
    Conversation with(rules);
    with.receives(startup(user)).answers(kMd5Challenge);
    with.receives(password(md5_answer(user, "wrong")));
    with.is_refused("28P01", wrong_password(user));
  }
}

TEST_CASE("md5: the password itself in the clear is no answer") {
  Rules rules = world(AuthMethod::Md5);
  Conversation with(rules);
  with.receives(startup("m")).answer();
  with.receives(password("pencil"));
  with.is_refused("28P01", wrong_password("m"));
}

TEST_CASE("md5: who has a SCRAM secret is offered SCRAM, as PostgreSQL does") {
  Rules rules = world(AuthMethod::Md5);
  Conversation with(rules);
  with.receives(scram_up_to_final(with, "scram", "pencil"));
  with.accepted();
}

TEST_CASE("scram-sha-256: a plain secret and a stored one open to their password") {
  both_ways([](Pieces pieces) {
    Rules rules = world(AuthMethod::ScramSha256);
    for (const char* user : {"plain", "scram"}) {
      CAPTURE(user);
      Conversation with(rules, pieces);
      with.receives(scram_up_to_final(with, user, "pencil"));
      CHECK(with.accepted().user == user);
      const std::string said = wire::trace_server(with.answer());
      CHECK(said.substr(0, 21) == "Authentication 12 \"v=");
      CHECK(said.substr(said.find('\n') + 1) == kOk);
    }
  });
}

TEST_CASE("scram-sha-256: a wrong password, an md5 secret and an unknown user are refused alike") {
  Rules rules = world(AuthMethod::ScramSha256);
  for (const char* user : {"plain", "scram", "m", "stranger"}) {
    CAPTURE(user);
    const char* const text = user == std::string_view("m") ? "pencil" : "wrong";
    Conversation with(rules);
    with.receives(scram_up_to_final(with, user, text));
    with.is_refused("28P01", wrong_password(user));
  }
}

TEST_CASE("scram-sha-256: a client may wait to be asked for its first message") {
  Rules rules = world(AuthMethod::ScramSha256);
  Conversation with(rules);
  with.receives(startup("plain")).answer();
  std::string initial;
  {
    wire::MessageFrame frame(initial, 'p');
    initial += std::string_view("SCRAM-SHA-256\0\xff\xff\xff\xff", 18);
  }
  with.receives(initial).answers("Authentication 11\n");
  with.receives(response("n,," + std::string(kClientFirstBare)));
  const std::string server_first = sasl_data(with);
  const std::string nonce = server_first.substr(0, server_first.find(','));
  with.receives(
      response(auth::scram_client_final("pencil", kClientFirstBare, server_first, "c=biws," + nonce)));
  with.accepted();
}

TEST_CASE("scram-sha-256: other mechanisms and broken messages are refused with 08P01") {
  Rules rules = world(AuthMethod::ScramSha256);
  const auto refused = [&](std::string_view bytes, std::string_view message) {
    Conversation with(rules);
    with.receives(startup("plain")).answer();
    with.receives(bytes);
    with.is_refused("08P01", message);
  };
  refused(mechanism("SCRAM-SHA-256-PLUS", "p=tls-server-end-point,,n=,r=x"),
          "client selected an invalid SASL authentication mechanism");
  refused(mechanism("", ""), "client selected an invalid SASL authentication mechanism");
  refused(mechanism("SCRAM-SHA-256", ""), "malformed SCRAM message");
  refused(mechanism("SCRAM-SHA-256", "p=tls-server-end-point,,n=,r=x"), "malformed SCRAM message");
  refused(response("SCRAM-SHA-256"), "invalid string in message");
  refused(response(std::string_view("SCRAM-SHA-256\0", 14)), "insufficient data left in message");
  refused(response(std::string_view("SCRAM-SHA-256\0\0\0\0\4n,,", 21)), "insufficient data left in message");
  refused(response(std::string_view("SCRAM-SHA-256\0\0\0\0\1n,,", 21)), "invalid message format");
  refused(response(std::string_view("SCRAM-SHA-256\0\x80\0\0\0", 18)), "insufficient data left in message");
  refused("X", "expected SASL response, got message type 88");
}

TEST_CASE("an answer longer than PostgreSQL reads is hung up on at its header") {
  const auto header = [](uint32_t length) {
    std::string out = "p";
    base::append_u32(out, length);
    return out;
  };
  for (const AuthMethod method : {AuthMethod::Password, AuthMethod::Md5, AuthMethod::ScramSha256}) {
    CAPTURE(name_of(method));
    const uint32_t longest = method == AuthMethod::ScramSha256 ? 1024 : 65535;
    Rules rules = world(method);
    for (const uint32_t length : {0u, 3u, longest + 1, 0xffffffffu}) {
      Conversation with(rules);
      with.receives(startup("plain")).answer();
      with.receives(header(length));
      with.is_hung_up_on("invalid message length");
    }
    Conversation with(rules);
    with.receives(startup("plain")).answer();
    with.receives(header(longest));
    CHECK(std::holds_alternative<MoreNeeded>(with.step));
  }
}

TEST_CASE("a client that leaves when it is asked for a password is a probe, as psql without one") {
  for (const AuthMethod method : {AuthMethod::Password, AuthMethod::Md5, AuthMethod::ScramSha256}) {
    Rules rules = world(method);
    Conversation with(rules);
    with.receives(startup("plain"));
    CHECK(with.login.hung_up().is_probe);
    with.receives(password("pencil").substr(0, 4));
    CHECK_FALSE(with.login.hung_up().is_probe);
  }
}

TEST_CASE("a login that is cut off anywhere lets nobody in") {
  Rules rules = world(AuthMethod::ScramSha256);
  std::string final;
  {
    Conversation with(rules);
    final = scram_up_to_final(with, "scram", "pencil");
  }
  for (size_t cut = 0; cut < final.size(); ++cut) {
    CAPTURE(cut);
    Conversation with(rules);
    scram_up_to_final(with, "scram", "pencil");
    with.receives(final.substr(0, cut)).answers("");
    CHECK(std::holds_alternative<MoreNeeded>(with.step));
    CHECK(with.login.hung_up().error.sqlstate == "08006");
  }
}

TEST_CASE("the right password does not open a pool that is not the user's") {
  Rules rules = world(AuthMethod::Password);
  rules.authorization = base::Error{"28000", "not your pool"};
  Conversation right(rules), wrong(rules);
  right.receives(startup("plain")).answer();
  right.receives(password("pencil"));
  right.is_refused("28000", "not your pool");
  wrong.receives(startup("plain")).answer();
  wrong.receives(password("wrong"));
  wrong.is_refused("28P01", wrong_password("plain"));  // and who has no right one does not learn whose it is
}

TEST_CASE("a user removed by a reload between challenge and answer does not get in") {
  for (const AuthMethod method : {AuthMethod::Password, AuthMethod::Md5}) {
    Rules rules = world(method);
    Conversation with(rules);
    with.receives(startup("plain")).answer();
    rules.users.clear();
    with.receives(password(method == AuthMethod::Md5 ? md5_answer("plain", "pencil") : "pencil"));
    with.is_refused("28P01", wrong_password("plain"));
  }
}
