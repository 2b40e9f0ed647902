// Servers that behave in ways that a real one seldom shows: what admits them, and what does not.
#include <doctest/doctest.h>

#include <atomic>

#include "tests/unit/daemon/dial_and_wait.h"
#include "tests/unit/daemon/scripted_server.h"

namespace tidepool::daemon {
namespace {

using base::Error;
using pool::DialFailure;

std::string ready() {
  std::string answer;
  wire::append_ready_for_query(answer, 'I');
  return answer;
}

std::string notice() {
  std::string answer;
  wire::append_notice_response(answer, "NOTICE", {"00000", "the moon is full"});
  return answer;
}

std::string status(const std::string& name, const std::string& value) {
  std::string answer;
  wire::append_parameter_status(answer, name, value);
  return answer;
}

std::string error(const Error& what) {
  std::string answer;
  wire::append_error_response(answer, "FATAL", what);
  return answer;
}

using Then = ScriptedServer::Then;

Dialed dial_script(const std::string& login, const std::string& answer_to_sync, Then then = Then::Closes) {
  ScriptedServer server([&](const std::string&) { return login; }, answer_to_sync, then);
  return dial_and_wait({.conninfo = server.conninfo() + " connect_timeout=1"});
}

TEST_CASE("the key and the process id are taken as they came") {
  auto dialed = dial_script(scripted_login(), ready());
  CHECK(dialed.server().process_id == 4711);
  CHECK(dialed.server().cancel_key == std::string("\x80\x00\xff\x0a", 4));
}

TEST_CASE("a server without a key can be used, not cancelled") {
  std::string login;
  wire::append_authentication_ok(login);
  login += status("server_version", "15.2") + ready();
  auto dialed = dial_script(login, ready());
  CHECK(dialed.server().cancel_key.empty());
  CHECK(dialed.server().process_id == 0);
}

TEST_CASE("fact 12: whole messages right behind the login are read, and half a message is read to its end") {
  auto whole = dial_script(scripted_login() + notice() + status("TimeZone", "UTC"), ready());
  CHECK(*whole.server().parameters.find("TimeZone") == "UTC");

  const std::string behind = notice() + status("TimeZone", "UTC");
  for (size_t here = 1; here < behind.size(); ++here) {
    CAPTURE(here);
    auto half = dial_script(scripted_login() + behind.substr(0, here), behind.substr(here) + ready());
    CHECK(*half.server().parameters.find("TimeZone") == "UTC");
    // The rest never comes.
    auto cut = dial_script(scripted_login() + behind.substr(0, here), ready());
    if (here != notice().size()) CHECK(cut.failure().kind == DialFailure::Unreachable);
  }
  auto ended = dial_script(scripted_login() + error({"57P01", "terminating connection"}), ready());
  CHECK(ended.failure().error.sqlstate == "57P01");
}

TEST_CASE("what comes in answer to the Sync is read to the end of a message") {
  auto dialed =
      dial_script(scripted_login(), status("a.b", "x\"\ny") + notice() + ready() + status("TimeZone", "UTC"));
  CHECK(*dialed.server().parameters.find("a.b") == "x\"\ny");
  CHECK(*dialed.server().parameters.find("TimeZone") == "UTC");
}

TEST_CASE("a server that is not idle after the Sync is refused") {
  std::string in_transaction;
  wire::append_ready_for_query(in_transaction, 'T');
  std::string complete;
  wire::append_command_complete(complete, "SELECT 1");
  for (const auto& answer :
       {in_transaction, complete + ready(), ready() + ready(), std::string("garbage garbage")}) {
    auto dialed = dial_script(scripted_login(), answer);
    CHECK(dialed.failure().kind == DialFailure::Unreachable);
    CHECK(dialed.failure().error.sqlstate.starts_with("08"));
  }
  auto ended =
      dial_script(scripted_login(), error({"57P01", "terminating connection due to administrator command"}));
  CHECK(ended.failure().error.sqlstate == "57P01");
}

TEST_CASE("values of parameters are taken byte for byte") {
  const std::string value =
      "x\"\nB\t12\tBackendKeyData\t 4711 2\nB\t9\tParameterStatus\t \"evil\" \"\"\n\" \"";
  std::string login;
  wire::append_authentication_ok(login);
  login += status("search_path", value) + status("b.empty", "") + scripted_login().substr(login.size());
  auto dialed = dial_script(login, ready());
  auto& server = dialed.server();
  CHECK(*server.parameters.find("search_path") == value);
  CHECK(*server.parameters.find("b.empty") == "");
  CHECK_FALSE(server.parameters.find("evil"));
  CHECK(server.cancel_key == std::string("\x80\x00\xff\x0a", 4));
}

TEST_CASE("a parameter of a name that nobody knows is known from the login, however long its value") {
  std::string login;
  wire::append_authentication_ok(login);
  const std::string value(29'000, 'x');  // libpq takes no longer one
  login += status("of some pooler", value) + scripted_login().substr(login.size());
  auto dialed = dial_script(login, ready());
  CHECK(*dialed.server().parameters.find("of some pooler") == value);
}

TEST_CASE("a server that says in its login what belongs into none is refused, and libpq never sees it") {
  std::string ok;
  wire::append_authentication_ok(ok);
  const std::string lying_row("D\x00\x00\x00\x0b\x00\x01\x7f\xff\xff\xf0x", 12);
  for (const std::string& login : {lying_row, ok + lying_row, scripted_login() + lying_row}) {
    auto dialed = dial_script(login, ready(), Then::Stays);
    CHECK(dialed.failure().kind == DialFailure::Unreachable);
    CHECK(dialed.failure().error.sqlstate == "08P01");
    CHECK(dialed.failure().error.message.find("a message of type 'D'") != std::string::npos);
  }
}

TEST_CASE("a login that never ends is given up by its size, and an answer to the Sync as well") {
  std::string flood;
  while (flood.size() < (size_t{2} << 20)) flood += notice();
  std::string ok;
  wire::append_authentication_ok(ok);
  CHECK(dial_script(ok + flood, ready()).failure().error.sqlstate == "08P01");

  std::string reports;
  for (int i = 0; reports.size() < (size_t{2} << 20); ++i)
    reports += status("a." + std::to_string(i), std::string(1000, 'x'));
  CHECK(dial_script(scripted_login(), reports + ready()).failure().error.sqlstate == "08P01");
  CHECK(dial_script(scripted_login(), std::string("S\x3f\xff\xff\xff", 5)).failure().error.sqlstate ==
        "08P01");
}

TEST_CASE("a server that does not know idle_session_timeout is logged in without it") {
  for (const Error& refusal :
       {Error{"42704", "unrecognized configuration parameter \"idle_session_timeout\""},
        Error{"08P01", "unsupported startup parameter: options"}}) {
    std::atomic<int> with = 0, without = 0;
    ScriptedServer server(
        [&](const std::string& startup) {
          const bool asks = startup.find("idle_session_timeout") != std::string::npos;
          ++(asks ? with : without);
          return asks ? error(refusal) : scripted_login();
        },
        ready());
    ServerDialer dialer(1);
    dial_and_wait({.conninfo = server.conninfo()}, dialer).server();
    dial_and_wait({.conninfo = server.conninfo()}, dialer).server();
    CHECK(with == 1);
    CHECK(without == 2);
  }
}

TEST_CASE("a message that never ends is given up") {
  auto dialed = dial_script(scripted_login(), std::string("N\x3f\xff\xff\xff", 5), Then::Stays);
  CHECK(dialed.failure().error.sqlstate == "08006");
}

}  // namespace
}  // namespace tidepool::daemon
