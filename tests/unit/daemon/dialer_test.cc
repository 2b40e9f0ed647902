// Logins that succeed, on a real PostgreSQL.
#include <doctest/doctest.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <thread>

#include "tests/unit/daemon/dial_and_wait.h"
#include "tests/unit/daemon/private_postgres.h"

namespace tidepool::daemon {
namespace {

TEST_CASE("a server dialed through a Unix socket is idle, non-blocking and known") {
  auto& postgres = PrivatePostgres::get();
  auto dialed = dial_and_wait({.conninfo = postgres.conninfo(), .application_name = "app"});
  auto& server = dialed.server();
  CHECK(dialed.took.count() > 0);
  CHECK((fcntl(server.fd(), F_GETFL) & O_NONBLOCK) != 0);
  CHECK_FALSE(server.tls());
  CHECK(server.tls_version.empty());
  CHECK(server.host == postgres.folder());
  CHECK(server.port == postgres.port());
  CHECK(server.user == "postgres");
  CHECK(server.database == "postgres");
  CHECK(server.server_version >= 90000);
  CHECK(server.cancel_key.size() == 4);
  char nothing;
  CHECK(recv(server.fd(), &nothing, 1, MSG_PEEK) == -1);

  const auto is_there =
      postgres.query("select state || ' ' || application_name from pg_stat_activity where pid = " +
                     std::to_string(server.process_id));
  CHECK(is_there == "idle app");
  REQUIRE(run_raw(server, "select 42"));
}

TEST_CASE("every reported parameter is known") {
  auto dialed = dial_and_wait({.conninfo = PrivatePostgres::get().conninfo()});
  auto& parameters = dialed.server().parameters;
  for (const char* name : {"application_name", "client_encoding", "DateStyle", "integer_datetimes",
                           "IntervalStyle", "is_superuser", "server_encoding", "server_version",
                           "session_authorization", "standard_conforming_strings", "TimeZone"}) {
    CAPTURE(name);
    CHECK(parameters.find(name));
  }
  CHECK(*parameters.find("session_authorization") == "postgres");
}

TEST_CASE("the peer's address and the key cancel a query") {
  for (const auto& conninfo : {PrivatePostgres::get().conninfo(), PrivatePostgres::get().tcp_conninfo()}) {
    auto dialed = dial_and_wait({.conninfo = conninfo});
    auto& server = dialed.server();
    sockaddr_storage peer{};
    REQUIRE(server.peer_address.size() <= sizeof peer);
    memcpy(&peer, server.peer_address.data(), server.peer_address.size());
    std::thread canceller([&] {
      const auto until = std::chrono::steady_clock::now() + std::chrono::seconds(20);
      const auto ask = "select state from pg_stat_activity where pid = " + std::to_string(server.process_id);
      while (PrivatePostgres::get().query(ask) != "active" && std::chrono::steady_clock::now() < until) {
      }
      const int fd = socket(peer.ss_family, SOCK_STREAM, 0);
      CHECK(connect(fd, reinterpret_cast<sockaddr*>(&peer),
                    static_cast<socklen_t>(server.peer_address.size())) == 0);
      std::string request;
      wire::append_cancel_request(request, static_cast<uint32_t>(server.process_id), server.cancel_key);
      CHECK(send(fd, request.data(), request.size(), 0) == static_cast<ssize_t>(request.size()));
      char nothing;
      CHECK(recv(fd, &nothing, 1, 0) == 0);
      close(fd);
    });
    std::string query;
    wire::append_query(query, "select pg_sleep(50)");
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(30);
    auto answer = ServerStream(server.fd(), server.tls(), -1).ask(query, deadline, server.parameters);
    canceller.join();
    REQUIRE(answer);
    CHECK(answer->error.sqlstate == "57014");
  }
}

TEST_CASE("a password is given by SCRAM, from the conninfo or from a password file") {
  auto& postgres = PrivatePostgres::get();
  const std::string passfile = postgres.folder() + "/passfile";
  std::ofstream(passfile) << "localhost:" << postgres.port() << ":*:locked:wrong\n"
                          << postgres.folder() << ":" << postgres.port() << ":*:locked:Geheim 1\n";
  REQUIRE(chmod(passfile.c_str(), 0600) == 0);
  CHECK(run_raw(dial_and_wait({.conninfo = postgres.conninfo("locked") + " password='Geheim 1'"}).server(),
                "select 1"));
  CHECK(run_raw(dial_and_wait({.conninfo = postgres.conninfo("locked") + " passfile=" + passfile}).server(),
                "select 1"));
}

TEST_CASE("TLS is relayed through the SSL object") {
  auto& postgres = PrivatePostgres::get();
  for (const std::string mode :
       {" sslmode=require", " sslmode=prefer", " host=localhost sslmode=verify-full"}) {
    CAPTURE(mode);
    auto dialed = dial_and_wait({.conninfo = postgres.tcp_conninfo("encrypted") +
                                             " password='Geheim 2' sslrootcert=" + postgres.folder() +
                                             "/root.crt" + mode,
                                 .configure = "set timezone = 'UTC'"});
    auto& server = dialed.server();
    REQUIRE(server.tls());
    CHECK(server.tls_version.starts_with("TLSv1."));
    CHECK(run_raw(server, "select repeat('x', 1000000)"));
  }
}

TEST_CASE("a service file is read, and URIs too") {
  auto& postgres = PrivatePostgres::get();
  const std::string file = postgres.folder() + "/services.conf";
  std::ofstream(file) << "[ours]\nhost=" << postgres.folder() << "\nport=" << postgres.port()
                      << "\nuser=postgres\n";
  setenv("PGSERVICEFILE", file.c_str(), 1);
  auto by_service = dial_and_wait({.conninfo = "service=ours dbname=template1"});
  CHECK(by_service.server().database == "template1");
  CHECK(by_service.server().user == "postgres");
  unsetenv("PGSERVICEFILE");

  const std::string port = std::to_string(postgres.port());
  auto by_uri = dial_and_wait({.conninfo = "postgresql://postgres@127.0.0.1:" + port +
                                           "/template1?application_name=a%20b&sslmode=disable"});
  CHECK(*by_uri.server().parameters.find("application_name") == "a b");
  CHECK(by_uri.server().host == "127.0.0.1");
}

TEST_CASE("a server's application_name is the order's, else the conninfo's, else none") {
  const auto conninfo = PrivatePostgres::get().conninfo();
  const auto name_of = [](const DialOrder& order) {
    auto dialed = dial_and_wait(order);
    return *dialed.server().parameters.find("application_name");
  };
  CHECK(name_of({.conninfo = conninfo + " application_name=own", .application_name = "client"}) == "client");
  CHECK(name_of({.conninfo = conninfo + " application_name=own"}) == "own");
  CHECK(name_of({.conninfo = conninfo + " fallback_application_name=other"}) == "other");
  CHECK(name_of({.conninfo = conninfo}).empty());
  CHECK(name_of({.conninfo = conninfo + " application_name=own", .application_name = ""}).empty());
}

TEST_CASE("an application_name with quotes, newlines and UTF-8 disturbs nothing") {
  for (const std::string name : {"a \"b\" c", "two\nB\t12\tBackendKeyData\t 1 2\n", "'; drop table x; --",
                                 "f\xc3\xbcr \xe2\x82\xac", " ", "\\"}) {
    CAPTURE(name);
    auto dialed = dial_and_wait({.conninfo = PrivatePostgres::get().conninfo(), .application_name = name});
    auto& server = dialed.server();
    const auto told = *server.parameters.find("application_name");
    CHECK(told.size() >= name.size());  // unprintable bytes become '?', since PostgreSQL 16 \xNN
    CHECK(server.parameters.entries().size() >= 11);
    CHECK(server.cancel_key.size() == 4);
    CHECK(PrivatePostgres::get().query("select application_name from pg_stat_activity where pid = " +
                                       std::to_string(server.process_id)) == told);
  }
}

TEST_CASE("target_session_attrs chooses among several hosts") {
  auto& postgres = PrivatePostgres::get();
  const auto as_reader = postgres.conninfo("reader");
  CHECK(
      run_raw(dial_and_wait({.conninfo = postgres.conninfo() + " target_session_attrs=read-write"}).server(),
              "select 1"));
  CHECK(run_raw(dial_and_wait({.conninfo = as_reader + " target_session_attrs=read-only"}).server(),
                "select 1"));
  CHECK(run_raw(dial_and_wait({.conninfo = as_reader + " target_session_attrs=prefer-standby"}).server(),
                "select 1"));

  auto dialed = dial_and_wait({.conninfo = as_reader + " target_session_attrs=read-write"});
  CHECK(dialed.failure().kind == pool::DialFailure::Unreachable);
  CHECK(dialed.failure().error.message.find("read-only") != std::string::npos);
}

TEST_CASE("each host of a list is tried, and each address of a name") {
  auto& postgres = PrivatePostgres::get();
  const auto port = std::to_string(postgres.port());
  auto second = dial_and_wait(
      {.conninfo = "host=/nowhere," + postgres.folder() + " port=1," + port + " user=postgres"});
  CHECK(second.server().host == postgres.folder());
  // ::1, where nobody listens, often comes first.
  auto by_name = dial_and_wait({.conninfo = "host=localhost user=postgres port=" + port});
  CHECK(by_name.server().host == "localhost");
  auto by_address =
      dial_and_wait({.conninfo = "host=nowhere.invalid hostaddr=127.0.0.1 user=postgres port=" + port});
  CHECK(by_address.server().host == "nowhere.invalid");
}

TEST_CASE("configure runs before the server is given out") {
  auto& postgres = PrivatePostgres::get();
  auto dialed =
      dial_and_wait({.conninfo = postgres.conninfo(), .configure = "set timezone = 'Asia/Tokyo'; select 1"});
  CHECK(*dialed.server().parameters.find("TimeZone") == "Asia/Tokyo");
}

TEST_CASE("fact 5: an idle_session_timeout of the role does not end a resting server") {
  auto& postgres = PrivatePostgres::get();
  auto dialed = dial_and_wait({.conninfo = postgres.conninfo("sleepy")});
  CHECK(show(dialed.server(), "idle_session_timeout") == "0");
  REQUIRE(run_raw(dialed.server(), "set idle_session_timeout = '1min'"));
  REQUIRE(run_raw(dialed.server(), "discard all"));
  CHECK(show(dialed.server(), "idle_session_timeout") == "0");

  auto asked = dial_and_wait(
      {.conninfo = postgres.conninfo("sleepy") + " options='-c idle_session_timeout=7min -c work_mem=99kB'"});
  CHECK(show(asked.server(), "idle_session_timeout") == "7min");
  CHECK(show(asked.server(), "work_mem") == "99kB");
}

TEST_CASE("fact 13: closing a server that does not read does not block") {
  auto& postgres = PrivatePostgres::get();
  auto dialed = dial_and_wait({.conninfo = postgres.conninfo()});
  auto& server = dialed.server();
  const pid_t process = server.process_id;
  REQUIRE(kill(process, SIGSTOP) == 0);
  const std::string flood(65536, 'x');
  while (send(server.fd(), flood.data(), flood.size(), MSG_NOSIGNAL) > 0) {
  }
  const auto begin = std::chrono::steady_clock::now();
  dialed.result = DialFailed{};
  CHECK(std::chrono::steady_clock::now() - begin < std::chrono::seconds(2));
  kill(process, SIGCONT);
}

TEST_CASE("many dials share few threads") {
  ServerDialer dialer(1);
  dialer.set_threads(4);
  std::vector<std::future<bool>> results;
  for (int i = 0; i < 20; ++i) {
    auto done = std::make_shared<std::promise<bool>>();
    results.push_back(done->get_future());
    dialer.dial({.conninfo = PrivatePostgres::get().conninfo()}, [done](DialResult result, base::Duration) {
      done->set_value(std::holds_alternative<std::unique_ptr<OpenServer>>(result));
    });
    if (i == 10) dialer.set_threads(2);
  }
  for (auto& result : results) {
    REQUIRE(result.wait_for(std::chrono::minutes(1)) == std::future_status::ready);
    CHECK(result.get());
  }
}

}  // namespace
}  // namespace tidepool::daemon
