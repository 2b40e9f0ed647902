// Logins that fail: what the pool is told, and how soon.
#include <doctest/doctest.h>

#include <atomic>
#include <chrono>
#include <vector>

#include "tests/unit/daemon/dial_and_wait.h"
#include "tests/unit/daemon/private_postgres.h"
#include "tests/unit/daemon/scripted_server.h"

namespace tidepool::daemon {
namespace {

using base::Error;
using pool::DialFailure;
using std::chrono::seconds;

void check_failure(const DialOrder& order, DialFailure kind, const Error& error) {
  auto dialed = dial_and_wait(order);
  const auto& failed = dialed.failure();
  CHECK(failed.kind == kind);
  CHECK(failed.error.sqlstate == error.sqlstate);
  CHECK(failed.error.message == error.message);
}

TEST_CASE("a login that the server refuses is told in the server's own words") {
  auto& postgres = PrivatePostgres::get();
  check_failure({.conninfo = postgres.conninfo("locked") + " password=wrong"}, DialFailure::LoginRefused,
                {"28P01", "password authentication failed for user \"locked\""});
  check_failure({.conninfo = postgres.conninfo("nobody-here")}, DialFailure::LoginRefused,
                {"28000", "role \"nobody-here\" does not exist"});
  check_failure({.conninfo = postgres.conninfo() + " dbname='no such'"}, DialFailure::LoginRefused,
                {"3D000", "database \"no such\" does not exist"});
  check_failure({.conninfo = postgres.conninfo() + " options='-c no_such_thing=1'"}, DialFailure::Unreachable,
                {"42704", "unrecognized configuration parameter \"no_such_thing\""});
}

TEST_CASE("a password that is asked for and not there is a refused login") {
  auto dialed =
      dial_and_wait({.conninfo = PrivatePostgres::get().conninfo("locked") + " passfile=/dev/null"});
  CHECK(dialed.failure().kind == DialFailure::LoginRefused);
  CHECK(dialed.failure().error.sqlstate == "28P01");
  CHECK(dialed.failure().error.message.find("no password supplied") != std::string::npos);
}

TEST_CASE("too many connections are no outage") {
  auto& postgres = PrivatePostgres::get();
  auto first = dial_and_wait({.conninfo = postgres.conninfo("single")});
  first.server();
  check_failure({.conninfo = postgres.conninfo("single")}, DialFailure::TooMany,
                {"53300", "too many connections for role \"single\""});
}

TEST_CASE("a server that is not there is unreachable, in libpq's words") {
  auto dialed = dial_and_wait({.conninfo = "host=/nowhere port=1"});
  CHECK(dialed.failure().kind == DialFailure::Unreachable);
  CHECK(dialed.failure().error.sqlstate == "08001");
  CHECK(dialed.failure().error.message.find("/nowhere/.s.PGSQL.1") != std::string::npos);

  auto unknown = dial_and_wait({.conninfo = "host=nowhere.invalid"});
  CHECK(unknown.failure().error.message.find("could not translate host name \"nowhere.invalid\"") == 0);

  auto both = dial_and_wait({.conninfo = "host=/nowhere,/elsewhere port=1"});
  CHECK(both.failure().error.message.find("/nowhere/.s.PGSQL.1") != std::string::npos);
  CHECK(both.failure().error.message.find("/elsewhere/.s.PGSQL.1") != std::string::npos);
}

TEST_CASE("a certificate that nobody vouches for is refused") {
  auto& postgres = PrivatePostgres::get();
  auto dialed =
      dial_and_wait({.conninfo = postgres.tcp_conninfo() + " sslmode=verify-full sslrootcert=/etc/hostname"});
  CHECK(dialed.failure().kind == DialFailure::Unreachable);
  CHECK_FALSE(dialed.failure().error.message.empty());
}

TEST_CASE("a server that never answers costs connect_timeout") {
  BlackHole hole;
  auto dialed = dial_and_wait({.conninfo = "port=1 connect_timeout=1 host=" + hole.folder()});
  CHECK(dialed.failure().kind == DialFailure::Unreachable);
  CHECK(dialed.failure().error.sqlstate == "08001");
  CHECK(dialed.failure().error.message ==
        "connection to server on socket \"" + hole.folder() + "/.s.PGSQL.1\" failed: timeout expired");
  CHECK(dialed.took >= seconds(1));
  CHECK(dialed.took < seconds(20));
}

TEST_CASE("a host that never answers does not use up the time of the next") {
  BlackHole hole;
  auto& postgres = PrivatePostgres::get();
  const auto ports = " port=1," + std::to_string(postgres.port());
  auto dialed = dial_and_wait({.conninfo = "connect_timeout=1 user=postgres host=" + hole.folder() + "," +
                                           postgres.folder() + ports});
  CHECK(dialed.server().host == postgres.folder());
  CHECK(dialed.took >= seconds(1));
}

TEST_CASE("a server that is starting up is unreachable, and the next host is tried") {
  const auto starting_up = [](const std::string&) {
    std::string answer;
    wire::append_error_response(answer, "FATAL", {"57P03", "the database system is starting up"});
    return answer;
  };
  ScriptedServer server(starting_up);
  check_failure({.conninfo = server.conninfo()}, DialFailure::Unreachable,
                {"57P03", "the database system is starting up"});

  auto& postgres = PrivatePostgres::get();
  const auto ports = " port=1," + std::to_string(postgres.port());
  auto next =
      dial_and_wait({.conninfo = "user=postgres host=" + server.folder() + "," + postgres.folder() + ports});
  CHECK(next.server().host == postgres.folder());

  auto down = dial_and_wait({.conninfo = "port=1 host=" + server.folder() + ",/nowhere"});
  CHECK(down.failure().error.sqlstate == "57P03");
  CHECK(down.failure().error.message.find("starting up\nconnection to server") != std::string::npos);
}

TEST_CASE("a refused login is not tried on the next host") {
  auto& postgres = PrivatePostgres::get();
  const auto folder = postgres.folder(), port = std::to_string(postgres.port());
  check_failure({.conninfo = "user=locked password=wrong dbname=postgres host=/nowhere," + folder + "," +
                             folder + " port=" + port},
                DialFailure::LoginRefused, {"28P01", "password authentication failed for user \"locked\""});
}

TEST_CASE("configure must succeed in time and leave the server idle") {
  auto& postgres = PrivatePostgres::get();
  check_failure({.conninfo = postgres.conninfo(), .configure = "select 1/0"}, DialFailure::LoginRefused,
                {"22012", "configure: division by zero"});
  check_failure({.conninfo = postgres.conninfo(), .configure = "begin"}, DialFailure::LoginRefused,
                {"25001", "configure: it left a transaction open"});
  check_failure({.conninfo = postgres.conninfo(), .configure = "create temp table t (); copy t from stdin"},
                DialFailure::LoginRefused, {"0A000", "configure: the server waits for COPY data"});

  const auto begin = std::chrono::steady_clock::now();
  auto slow = dial_and_wait(
      {.conninfo = postgres.conninfo(), .configure = "select pg_sleep(60)", .configure_timeout = seconds(1)});
  CHECK(slow.failure().kind == DialFailure::Unreachable);
  CHECK(std::chrono::steady_clock::now() - begin < seconds(20));
}

TEST_CASE("a conninfo that libpq does not understand fails in its words") {
  check_failure({.conninfo = "hst=x"}, DialFailure::Unreachable,
                {"22023", "invalid connection option \"hst\""});
}

TEST_CASE("a dialer that ends gives up its dials and calls nobody") {
  BlackHole hole;
  std::atomic<int> called = 0;
  const auto begin = std::chrono::steady_clock::now();
  {
    ServerDialer dialer(2);
    for (int i = 0; i < 5; ++i)
      dialer.dial({.conninfo = "port=1 host=" + hole.folder()},
                  [&](DialResult, base::Duration) { ++called; });
    dialer.dial({.conninfo = "host=/nowhere"}, [&](DialResult, base::Duration) { ++called; });
  }
  CHECK(std::chrono::steady_clock::now() - begin < seconds(3));
  CHECK(called == 0);
}

}  // namespace
}  // namespace tidepool::daemon
