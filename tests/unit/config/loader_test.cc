#include <cstdlib>

#include "tests/unit/config/loading.h"

namespace tidepool::config {
namespace {

constexpr const char* kIssueExample = R"(
listen:
  - {unix: /run/tidepool, port: 6432, mode: "0660", owner: tidepool, group: app, auth: peer}
  - {tcp: 127.0.0.1, port: 6432, auth: scram-sha-256, keepalive: 30s}
workers: 3
users:
  app: {password: "secret"}
  report: {password: "md5aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"}
peer_map: {www-data: [app, report]}
pools:
  orders:
    conninfo: "host=/var/run/postgresql dbname=orders user=app"
    users: [app, report]
    mode: transaction
    user_modes: {report: session, app: statement}
    min_size: 2
    max_size: 20
    max_prepared_statements: 300
    parse: shared
    statement_memory: 128MB
    client_statement_memory: 512 kB
    on_session_state: error
    max_pinned: 5
    pin_functions: [Lock_It, app.lock_it]
    timeout: 31s
    max_waiting: 7
    max_lifetime: 2h
    max_idle: 11min
    reconnect_timeout: 6min
    check: 32s
    check_query: "select 1"
    check_timeout: 6s
    configure: "set a.b = 'c'"
    reset: "RESET ALL"
    reset_timeout: 7s
    orphans: finish
    when_down: fail
    notice_after: 8s
    max_dials: 4
    client_idle: 1
    idle_in_transaction: 2
    transaction: 4
    query: 3
    server_application_name: "%a/%p/%u/%c/100%%"
    auth: md5
console: {users: [app], peers: [root]}
limits: {max_clients: 100, console_reserve: 6, max_logins: 7, login_timeout: 10s, max_dials: 9, drain_timeout: 11s}
log: {level: debug, format: json, to: /var/log/tidepool.log}
)";

TEST_CASE("every setting reaches its field") {
  const Settings settings = settings_in(kIssueExample);
  REQUIRE(settings.listen.size() == 2);
  const ListenSettings unix_socket{.unix_directory = "/run/tidepool",
                                   .tcp_address = "",
                                   .port = 6432,
                                   .auth = auth::AuthMethod::Peer,
                                   .mode = 0660,
                                   .owner = "tidepool",
                                   .group = "app"};
  CHECK(settings.listen[0] == unix_socket);
  CHECK(settings.listen[1].tcp_address == "127.0.0.1");
  CHECK(settings.listen[1].auth == auth::AuthMethod::ScramSha256);
  CHECK(settings.listen[1].keepalive == 30s);
  CHECK(settings.workers == 3);
  CHECK(!settings.workers_auto);
  CHECK(settings.users.at("app").secret.matches("secret", "app"));
  CHECK(settings.users.at("report").secret.scram() == nullptr);
  CHECK(settings.peer_map.at("www-data") == std::vector<std::string>{"app", "report"});

  PoolSettings pool;
  pool.name = "orders";
  pool.conninfo = "host=/var/run/postgresql dbname=orders user=app";
  pool.server_user = "app";
  pool.users = {"app", "report"};
  pool.mode = PoolMode::Transaction;
  pool.user_modes = {{"report", PoolMode::Session}, {"app", PoolMode::Statement}};
  pool.min_size = 2;
  pool.max_size = 20;
  pool.max_prepared_statements = 300;
  pool.parse = ParseKind::Shared;
  pool.statement_memory = uint64_t{128} << 20;
  pool.client_statement_memory = uint64_t{512} << 10;
  pool.on_session_state = OnSessionState::Error;
  pool.max_pinned = 5;
  pool.pin_functions = {"lock_it", "app.lock_it"};
  pool.timeout = 31s;
  pool.max_waiting = 7;
  pool.max_lifetime = 2h;
  pool.max_idle = 11min;
  pool.reconnect_timeout = 6min;
  pool.check = 32s;
  pool.check_query = "select 1";
  pool.check_timeout = 6s;
  pool.configure = "set a.b = 'c'";
  pool.reset = ResetKind::Sql;
  pool.reset_sql = "RESET ALL";
  pool.reset_timeout = 7s;
  pool.orphans = Orphans::Finish;
  pool.when_down = WhenDown::Fail;
  pool.notice_after = 8s;
  pool.max_dials = 4;
  pool.client_idle = 1s;
  pool.idle_in_transaction = 2s;
  pool.transaction = 4s;
  pool.query = 3s;
  pool.server_application_name = "%a/%p/%u/%c/100%%";
  pool.auth = auth::AuthMethod::Md5;
  CHECK(settings.pools.at("orders") == pool);

  CHECK(settings.console == ConsoleSettings{{"app"}, {"root"}});
  CHECK(settings.limits == LimitSettings{100, 6, 7, 10s, 9, 11s});
  CHECK(settings.log == LogSettings{LogLevel::Debug, LogFormat::Json, "/var/log/tidepool.log"});
  CHECK(settings.file == "t.yaml");
  CHECK(settings.holds_secrets);
}

TEST_CASE("what is left out has its default") {
  const Settings settings =
      settings_in("listen: [{unix: /run/t}, {tcp: '*'}]\npools: {orders: {conninfo: 'user=app'}}\n");
  ListenSettings unix_socket;
  unix_socket.unix_directory = "/run/t";
  unix_socket.auth = auth::AuthMethod::Peer;
  CHECK(settings.listen[0] == unix_socket);
  ListenSettings tcp;
  tcp.tcp_address = "*";
  CHECK(settings.listen[1] == tcp);

  PoolSettings pool;
  pool.name = "orders";
  pool.conninfo = "user=app";
  pool.server_user = "app";
  pool.users = {"app"};
  CHECK(settings.pools.at("orders") == pool);
  CHECK(settings.workers_auto);
  CHECK(settings.workers >= 1);
  CHECK(settings.limits == LimitSettings{});
  CHECK(settings.console == ConsoleSettings{});
  CHECK(settings.log == LogSettings{});
  CHECK(!settings.holds_secrets);
}

TEST_CASE("max_size is min_size if left out") {
  CHECK(settings_in(with_pool("min_size: 9")).pools.at("orders").max_size == 9);
  CHECK(settings_in(with_pool("max_size: 9")).pools.at("orders").min_size == 4);
}

TEST_CASE("max_pinned is one server less than max_size if left out, and at least one") {
  const auto max_pinned = [](const std::string& text) {
    return settings_in(with_pool(text)).pools.at("orders").max_pinned;
  };
  CHECK(max_pinned("max_size: 20") == 19);
  CHECK(max_pinned("min_size: 9") == 8);
  CHECK(max_pinned("min_size: 0\n    max_size: 2") == 1);
  CHECK(max_pinned("min_size: 1\n    max_size: 1") == 1);
  CHECK(max_pinned("max_pinned: 0") == 0);
  CHECK(max_pinned("max_pinned: 4") == 4);
}

TEST_CASE("a pool has a mode, and a user may have another") {
  CHECK(settings_in(with_pool("mode: session")).pools.at("orders").mode == PoolMode::Session);
  const PoolSettings pool =
      settings_in(with_pool("mode: statement\n    users: [app, report]\n    user_modes: {report: session}"))
          .pools.at("orders");
  CHECK(mode_for(pool, "report") == PoolMode::Session);
  CHECK(mode_for(pool, "app") == PoolMode::Statement);
  CHECK(mode_for(pool, "repor") == PoolMode::Statement);
  for (const char* mode : {"session", "transaction", "statement"}) {
    CHECK(name_of(settings_in(with_pool(std::string("mode: ") + mode)).pools.at("orders").mode) ==
          std::string(mode));
  }
  // The conninfo's user may use a pool that names nobody.
  CHECK(mode_for(settings_in(with_pool("user_modes: {app: transaction}")).pools.at("orders"), "app") ==
        PoolMode::Transaction);
  CHECK(settings_in(with_pool("user_modes: {}")).pools.at("orders").user_modes.empty());
}

TEST_CASE("a mode of a user can come from the environment") {
  setenv("TIDEPOOL_TEST_NAME", "statement", 1);
  const auto pool = settings_in(with_pool("user_modes: {app: \"${TIDEPOOL_TEST_NAME}\"}")).pools.at("orders");
  CHECK(mode_for(pool, "app") == PoolMode::Statement);
}

TEST_CASE("check is never, always, or after so long") {
  const auto check = [](const std::string& text) {
    return settings_in(with_pool("check: " + text)).pools.at("orders").check;
  };
  CHECK(!check("never").has_value());
  CHECK(check("always") == base::Duration(0));
  CHECK(check("0") == base::Duration(0));
  CHECK(check("1min") == base::Duration(1min));
}

TEST_CASE("reset is a word or SQL") {
  const auto pool = [](const std::string& text) {
    return settings_in(with_pool("reset: " + text)).pools.at("orders");
  };
  CHECK(pool("discard_all").reset == ResetKind::DiscardAll);
  CHECK(pool("rollback").reset == ResetKind::Rollback);
  CHECK(pool("none").reset == ResetKind::None);
  CHECK(pool("close").reset == ResetKind::Close);
  CHECK(pool("DISCARD ALL").reset == ResetKind::Sql);
  CHECK(pool("DISCARD ALL").reset_sql == "DISCARD ALL");
  CHECK(pool("\"ABORT;\"").reset_sql == "ABORT;");
}

TEST_CASE("a bare mode is octal, as with quotes") {
  for (const char* mode : {"0600", "\"0600\"", "600"}) {
    CHECK(settings_in(with_listeners(std::string("  - {unix: /x/, mode: ") + mode + "}")).listen[0].mode ==
          0600);
  }
}

TEST_CASE("a folder's trailing slashes are cut off") {
  CHECK(settings_in(with_listeners("  - {unix: /x//}")).listen[0].unix_directory == "/x");
}

TEST_CASE("sections whose lines are commented out are empty") {
  CHECK(settings_in(with_sections("users:\npeer_map:\nconsole:\nlimits:\nlog:")).users.empty());
}

TEST_CASE("an alias gives a list to several pools") {
  const Settings settings = settings_in(
      "listen: [{unix: /run/t}]\npools:\n  a: {conninfo: user=a, users: &who [x, y]}\n  b: {conninfo: "
      "user=b, users: *who}\n");
  CHECK(settings.pools.at("b").users == std::vector<std::string>{"x", "y"});
}

TEST_CASE("variables stand for the environment, anywhere in a value") {
  setenv("TIDEPOOL_TEST_NAME", "app", 1);
  const auto expanded = [](const std::string& text) {
    return settings_in(with_pool("configure: '" + text + "'")).pools.at("orders").configure;
  };
  CHECK(expanded("${TIDEPOOL_TEST_NAME}") == "app");
  CHECK(expanded("a${TIDEPOOL_TEST_NAME}${TIDEPOOL_TEST_NAME}b") == "aappappb");
  CHECK(expanded("$${TIDEPOOL_TEST_NAME}") == "${TIDEPOOL_TEST_NAME}");
  CHECK(expanded("$1 $$body$$ $ {x} $") == "$1 $$body$$ $ {x} $");
  setenv("TIDEPOOL_TEST_NAME", "${TIDEPOOL_TEST_NAME}", 1);
  CHECK(expanded("${TIDEPOOL_TEST_NAME}") == "${TIDEPOOL_TEST_NAME}");
  setenv("TIDEPOOL_TEST_NAME", "12", 1);
  CHECK(settings_in(with_pool("max_size: \"${TIDEPOOL_TEST_NAME}\"")).pools.at("orders").max_size == 12);
}

TEST_CASE("a secret from the environment is not one in the file") {
  setenv("TIDEPOOL_TEST_SECRET", "hunter2", 1);
  const Settings from_environment = settings_in(
      "listen: [{tcp: '*'}]\nusers: {app: {password: \"${TIDEPOOL_TEST_SECRET}\"}}\n"
      "pools: {orders: {conninfo: \"user=app password=${TIDEPOOL_TEST_SECRET}\"}}\n");
  CHECK(!from_environment.holds_secrets);
  CHECK(from_environment.users.at("app").secret.matches("hunter2", "app"));
  CHECK(from_environment.pools.at("orders").conninfo == "user=app password=hunter2");
  CHECK(settings_in(with_sections("users: {app: {password: x}}")).holds_secrets);
  CHECK(settings_in("listen: [{unix: /x}]\npools: {orders: {conninfo: \"user=app password=x\"}}\n")
            .holds_secrets);
}

TEST_CASE("the rows of SHOW CONFIG name every setting, its value and its default, and show no secret") {
  const Settings settings = settings_in(
      "listen: [{unix: /run/t, port: 5}, {tcp: \"::1\"}]\nworkers: 2\nusers: {app: {password: "
      "hunter2}}\npeer_map: {root: [app, x]}\n"
      "pools: {orders: {conninfo: \"user=app password=hunter2\", min_size: 6, check: never, reset: RESET "
      "ALL, users: [app, x], user_modes: {x: session, app: transaction}, pin_functions: [A.b, c], "
      "transaction: "
      "90}}\n");
  std::string rows;
  for (const SettingRow& row : rows_of(settings)) {
    rows += row.key + "=" + row.value + "(" + row.fallback + ")" + (row.changeable ? "\n" : " fixed\n");
  }
  CHECK(rows.find("hunter2") == std::string::npos);
  for (const char* row : {"listen[0].unix=/run/t() fixed\n",
                          "listen[0].port=5(6432) fixed\n",
                          "listen[0].auth=peer(peer) fixed\n",
                          "listen[0].mode=0660(0660) fixed\n",
                          "listen[1].tcp=::1() fixed\n",
                          "listen[1].auth=scram-sha-256(scram-sha-256) fixed\n",
                          "listen[1].keepalive=60s(60s) fixed\n",
                          "workers=2(auto) fixed\n",
                          "users.app.password=<hidden>()\n",
                          "peer_map.root=app, x()\n",
                          "pools.orders.conninfo=user=app password=<hidden>()\n",
                          "pools.orders.users=app, x(app)\n",
                          "pools.orders.max_size=6(6)\n",
                          "pools.orders.check=never(30s)\n",
                          "pools.orders.mode=session(session)\n",
                          "pools.orders.user_modes=app: transaction, x: session()\n",
                          "pools.orders.max_pinned=5(5)\n",
                          "pools.orders.on_session_state=pin(pin)\n",
                          "pools.orders.max_prepared_statements=200(200)\n",
                          "pools.orders.parse=server(server)\n",
                          "pools.orders.statement_memory=256MB(256MB)\n",
                          "pools.orders.client_statement_memory=16MB(16MB)\n",
                          "pools.orders.pin_functions=a.b, c()\n",
                          "pools.orders.transaction=90s(0)\n",
                          "pools.orders.reset=RESET ALL(discard_all)\n",
                          "pools.orders.server_application_name=%a(%a)\n",
                          "limits.max_clients=10000(10000)\n",
                          "log.to=stderr(stderr)\n"}) {
    INFO(row);
    CHECK(("\n" + rows).find(std::string("\n") + row) != std::string::npos);
  }
  CHECK(rows.find("listen[0].keepalive") == std::string::npos);
  CHECK(rows.find("listen[1].mode") == std::string::npos);
}

// Without the plain password, whose keys take milliseconds to make.
std::string quick_example() {
  std::string text = kIssueExample;
  return text.replace(text.find("\"secret\""), 8, "md5aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa");
}

TEST_CASE("a file cut off anywhere is settings or mistakes, never both, and never a crash") {
  const std::string whole = quick_example();
  for (size_t length = 0; length <= whole.size(); ++length) load(std::string_view(whole).substr(0, length));
}

TEST_CASE("a file with any one byte changed is settings or mistakes") {
  const std::string whole = quick_example();
  for (size_t at = 0; at < whole.size(); ++at) {
    std::string changed = whole;
    changed[at] = "\"\n{"[at % 3];
    load(changed);
  }
}

}  // namespace
}  // namespace tidepool::config
