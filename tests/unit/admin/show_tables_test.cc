#include "lib/admin/show_tables.h"

#include <doctest/doctest.h>

#include <string>
#include <vector>

using namespace tidepool;
using namespace tidepool::admin;

namespace {

std::string type_name(uint32_t oid) {
  if (oid == kInt4Oid) return "int4";
  if (oid == kInt8Oid) return "int8";
  if (oid == kNumericOid) return "numeric";
  return oid == kTextOid ? "text" : "?";
}

// "name type, name type, ..."
std::string columns_of(const std::string& table) {
  std::string columns;
  REQUIRE(find_show_table(table) != nullptr);
  for (const wire::Column& column : find_show_table(table)->columns) {
    if (!columns.empty()) columns += ", ";
    columns.append(column.name).append(" ").append(type_name(column.type_oid));
  }
  return columns;
}

// The rows as psql -A prints them, NULL as a minus.
std::string rows_of(const std::string& table, const stats::Snapshot& snapshot) {
  std::string text;
  for (const Row& row : find_show_table(table)->rows(snapshot)) {
    REQUIRE(row.size() == find_show_table(table)->columns.size());
    for (const Cell& cell : row) {
      if (&cell != &row.front()) text += '|';
      text += cell.value_or("-");
    }
    text += "\n";
  }
  return text;
}

stats::PoolRow busy_pool() {
  stats::PoolRow pool;
  pool.name = "orders";
  pool.server_user = "app";
  pool.host = "/run/postgresql";
  pool.port = 5433;
  pool.server_database = "bench";
  pool.mode = "session";
  pool.max_lifetime_s = 3600;
  pool.clients_active = 5;
  pool.clients_idle = 30;
  pool.clients_waiting = 3;
  pool.clients_cancelling = 1;
  pool.servers_cleaning = 2;
  pool.servers_cancelling = 1;
  pool::PoolStats& stats = pool.stats;
  stats.pool_min = 4;
  stats.pool_max = 20;
  stats.pool_size = 17;
  stats.pool_available = 6;
  stats.requests_waiting = 3;
  stats.usage_ms = 70'000'000'000;
  stats.requests_num = 1007;
  stats.requests_queued = 1008;
  stats.requests_wait_ms = 1009;
  stats.requests_errors = 1010;
  stats.returns_bad = 1011;
  stats.connections_num = 1012;
  stats.connections_ms = 1013;
  stats.connections_errors = 1014;
  stats.connections_lost = 1015;
  stats.gave_up = 1016;
  stats.gave_way = 1017;
  stats.lent = 8;
  stats.checking = 1;
  stats.dialing = 2;
  stats.longest_wait = std::chrono::microseconds(2'500'001);
  return pool;
}

stats::Snapshot snapshot_of(const stats::PoolRow& pool) {
  stats::Snapshot snapshot;
  snapshot.pools.push_back(pool);
  return snapshot;
}

}  // namespace

// The columns are written out here as PgBouncer has them (1.25: src/admin.c, src/stats.c), because exporters
// read them.

TEST_CASE("SHOW POOLS has PgBouncer's columns") {
  CHECK(columns_of("pools") ==
        "database text, user text, cl_active int4, cl_waiting int4, cl_active_cancel_req int4, "
        "cl_waiting_cancel_req int4, "
        "sv_active int4, sv_active_cancel int4, sv_being_canceled int4, sv_idle int4, sv_used int4, "
        "sv_tested int4, "
        "sv_login int4, maxwait int4, maxwait_us int4, pool_mode text, load_balance_hosts text");
}

TEST_CASE("SHOW SERVERS has PgBouncer's columns, and SHOW CLIENTS one more at the end") {
  const std::string columns =
      "type text, user text, database text, replication text, state text, addr text, port int4, local_addr "
      "text, "
      "local_port int4, connect_time text, request_time text, wait int4, wait_us int4, close_needed int4, "
      "ptr text, "
      "link text, remote_pid int4, tls text, application_name text, prepared_statements int4, id int4";
  CHECK(columns_of("clients") == columns + ", pinned text");
  CHECK(columns_of("servers") == columns);
}

TEST_CASE("SHOW DATABASES has PgBouncer's columns") {
  CHECK(
      columns_of("databases") ==
      "name text, host text, port int4, database text, force_user text, pool_size int4, min_pool_size int4, "
      "reserve_pool_size int4, server_lifetime int4, pool_mode text, load_balance_hosts text, "
      "max_connections int4, "
      "current_connections int4, max_client_connections int4, current_client_connections int4, paused int4, "
      "disabled int4");
}

TEST_CASE("SHOW STATS has PgBouncer's columns") {
  CHECK(columns_of("stats") ==
        "database text, total_server_assignment_count numeric, total_xact_count numeric, total_query_count "
        "numeric, "
        "total_received numeric, total_sent numeric, total_xact_time numeric, total_query_time numeric, "
        "total_wait_time numeric, total_client_parse_count numeric, total_server_parse_count numeric, "
        "total_bind_count numeric, total_client_login_count numeric, avg_server_assignment_count numeric, "
        "avg_xact_count numeric, avg_query_count numeric, avg_recv numeric, avg_sent numeric, avg_xact_time "
        "numeric, "
        "avg_query_time numeric, avg_wait_time numeric, avg_client_parse_count numeric, "
        "avg_server_parse_count numeric, "
        "avg_bind_count numeric, avg_client_login_count numeric");
}

TEST_CASE("SHOW LISTS, CONFIG and VERSION have PgBouncer's columns") {
  CHECK(columns_of("lists") == "list text, items int4");
  CHECK(columns_of("config") == "key text, value text, default text, changeable text");
  CHECK(columns_of("version") == "version text");
}

TEST_CASE("SHOW POOL_STATS has psycopg_pool's statistics in psycopg_pool's order, then our own") {
  CHECK(columns_of("pool_stats") ==
        "pool text, pool_min int8, pool_max int8, pool_size int8, pool_available int8, requests_waiting "
        "int8, usage_ms int8, "
        "requests_num int8, requests_queued int8, requests_wait_ms int8, requests_errors int8, returns_bad "
        "int8, "
        "connections_num int8, connections_ms int8, connections_errors int8, connections_lost int8, gave_up "
        "int8, gave_way int8");
}

TEST_CASE("SHOW POOL_STATS shows zeros, and numbers beyond 32 bits") {
  stats::Snapshot snapshot = snapshot_of(busy_pool());
  snapshot.pools.emplace_back().name = "quiet";
  CHECK(rows_of("pool_stats", snapshot) ==
        "orders|4|20|17|6|3|70000000000|1007|1008|1009|1010|1011|1012|1013|1014|1015|1016|1017\n"
        "quiet|0|0|0|0|0|0|0|0|0|0|0|0|0|0|0|0|0\n");
}

TEST_CASE("SHOW POOLS has a row per pool, and counts each server in one state") {
  CHECK(rows_of("pools", snapshot_of(busy_pool())) ==
        "orders|app|35|3|1|0|5|1|1|6|0|3|2|2|500001|session|-\n");
}

TEST_CASE("SHOW POOLS never shows less than nothing") {
  stats::PoolRow pool = busy_pool();
  pool.stats.lent = 0;  // the workers' copies are not of the same instant
  CHECK(rows_of("pools", snapshot_of(pool)) == "orders|app|35|3|1|0|0|1|1|6|0|3|2|2|500001|session|-\n");
}

TEST_CASE("SHOW DATABASES tells where a pool's servers are") {
  CHECK(rows_of("databases", snapshot_of(busy_pool())) ==
        "orders|/run/postgresql|5433|bench|app|20|4|0|3600|session|-|20|17|0|38|0|0\n");
  stats::PoolRow pool = busy_pool();
  pool.host = "a,b";
  CHECK(rows_of("databases", snapshot_of(pool)) ==
        "orders|a,b|5433|bench|app|20|4|0|3600|session|disable|20|17|0|38|0|0\n");
  pool.shuffles_hosts = true;
  CHECK(rows_of("databases", snapshot_of(pool)) ==
        "orders|a,b|5433|bench|app|20|4|0|3600|session|random|20|17|0|38|0|0\n");
  pool.host = "";
  CHECK(rows_of("databases", snapshot_of(pool)).starts_with("orders|-|5433|"));
}

TEST_CASE("SHOW STATS has the totals, then the averages") {
  stats::PoolRow pool = busy_pool();
  uint64_t number = 0;
  for (auto field : stats::kTrafficFields) pool.traffic.*field = ++number;
  for (auto field : stats::kTrafficFields) pool.averages.*field = ++number;
  CHECK(rows_of("stats", snapshot_of(pool)) ==
        "orders|1|2|3|4|5|6|7|8|9|10|11|12|13|14|15|16|17|18|19|20|21|22|23|24\n");
}

TEST_CASE("SHOW CLIENTS has a row for each client that is logged in") {
  stats::Snapshot snapshot;
  stats::ClientRow client{};
  client.state = stats::ClientState::Active;
  client.user = "app";
  client.database = "orders";
  client.address = "127.0.0.1";
  client.port = 50000;
  client.local_address = "127.0.0.1";
  client.local_port = 6432;
  client.connect_time_us = 1'795'376'665'999'999;
  client.request_time_us = 1'795'376'700'000'000;
  client.id = 31;
  client.link = 255;
  client.application_name = "psql";
  snapshot.clients.push_back(client);
  client.prepared_statements = 3;
  client.state = stats::ClientState::Waiting;
  client.address = "unix";
  client.port = 0;
  client.request_time_us = 0;
  client.wait_us = 1'200'000;
  client.id = (uint64_t{7} << 31) + 32;
  client.link = 0;
  client.remote_pid = 4711;
  snapshot.clients.push_back(client);
  client.state = stats::ClientState::Login;
  snapshot.clients.push_back(client);
  CHECK(rows_of("clients", snapshot) ==
        "C|app|orders|none|active|127.0.0.1|50000|127.0.0.1|6432|2026-11-22 19:44:25 UTC|2026-11-22 19:45:00 "
        "UTC|0|0|0|"
        "0x1f|0xff|0||psql|0|31|\n"
        "C|app|orders|none|waiting|unix|0|127.0.0.1|6432|2026-11-22 19:44:25 UTC|2026-11-22 19:44:25 "
        "UTC|1|200000|0|"
        "0x380000020||4711||psql|3|32|\n");
}

// Two clients that are pinned, the second to a server that is not in the snapshot, and one that is not.
stats::Snapshot pinned_snapshot() {
  stats::Snapshot snapshot;
  snapshot.now_us = 1'795'376'668'600'000;
  stats::ClientRow client{};
  client.state = stats::ClientState::Active;
  client.user = "app";
  client.database = "orders";
  client.application_name = "worker";
  client.id = (uint64_t{7} << 31) + 31;
  client.link = 255;
  client.pinned_since_us = 1'795'376'665'999'999;
  client.pinned_why = "LISTEN";
  client.pinned_by = "listen jobs";
  snapshot.clients.push_back(client);
  client.id = 32;
  client.link = 256;
  client.pinned_since_us = snapshot.now_us + 1;  // another worker's clock was read later
  client.pinned_why = "temporary objects, advisory locks";
  client.pinned_by = "";
  snapshot.clients.push_back(client);
  client = {};
  client.state = stats::ClientState::Active;
  client.id = 33;
  client.link = 255;
  snapshot.clients.push_back(client);
  stats::ServerRow& server = snapshot.servers.emplace_back();
  server.state = stats::ServerState::Active;
  server.id = 255;
  server.remote_pid = 4711;
  return snapshot;
}

TEST_CASE("SHOW PINS says who keeps a server, since when, why, and by which statement") {
  CHECK(columns_of("pins") ==
        "pool text, user text, client int4, server_pid int4, since text, seconds int8, why text, statement "
        "text, application_name text");
  CHECK(rows_of("pins", pinned_snapshot()) ==
        "orders|app|31|4711|2026-11-22 19:44:25 UTC|2|LISTEN|listen jobs|worker\n"
        "orders|app|32|-|2026-11-22 19:44:28 UTC|0|temporary objects, advisory locks||worker\n");
  CHECK(rows_of("pins", {}).empty());
}

TEST_CASE("the last column of SHOW CLIENTS says the same in a sentence") {
  std::vector<std::string> pinned;
  for (const Row& row : find_show_table("clients")->rows(pinned_snapshot())) pinned.push_back(*row.back());
  CHECK(pinned == std::vector<std::string>{"LISTEN since 2026-11-22 19:44:25 UTC, by: listen jobs",
                                           "temporary objects, advisory locks since 2026-11-22 19:44:28 UTC",
                                           ""});
}

TEST_CASE("the states have PgBouncer's words") {
  stats::Snapshot snapshot;
  using stats::ClientState, stats::ServerState;
  for (ClientState state :
       {ClientState::Idle, ClientState::Waiting, ClientState::Active, ClientState::Cancelling})
    snapshot.clients.emplace_back().state = state;
  for (ServerState state : {ServerState::New, ServerState::Idle, ServerState::Active, ServerState::Used,
                            ServerState::Tested, ServerState::Cancelling})
    snapshot.servers.emplace_back().state = state;
  const auto states_of = [&](const char* table) {
    std::string states;
    for (const Row& row : find_show_table(table)->rows(snapshot)) states += *row[4] + " ";
    return states;
  };
  CHECK(states_of("clients") == "idle waiting active active_cancel_req ");
  CHECK(states_of("servers") == "new idle active used tested being_canceled ");
}

TEST_CASE("SHOW SERVERS tells what is to be closed, and the encryption") {
  stats::Snapshot snapshot;
  stats::ServerRow& server = snapshot.servers.emplace_back();
  server.state = stats::ServerState::Active;
  server.user = "app";
  server.database = "orders";
  server.address = "10.0.0.5";
  server.port = 5432;
  server.close_needed = true;
  server.id = 255;
  server.link = 31;
  server.remote_pid = 99;
  server.tls = "TLSv1.3/TLS_AES_256_GCM_SHA384";
  server.prepared_statements = 17;
  CHECK(rows_of("servers", snapshot) ==
        "S|app|orders|none|active|10.0.0.5|5432||0|1970-01-01 00:00:00 UTC|1970-01-01 00:00:00 "
        "UTC|0|0|1|0xff|0x1f|99|"
        "TLSv1.3/TLS_AES_256_GCM_SHA384||17|255\n");
}

TEST_CASE("SHOW LISTS has PgBouncer's rows") {
  stats::Snapshot snapshot = snapshot_of(busy_pool());
  snapshot.users = 3;
  snapshot.clients_total = 40;
  snapshot.clients_in_login = 2;
  CHECK(rows_of("lists", snapshot) ==
        "databases|1\nusers|3\npeers|0\npools|1\npeer_pools|0\nfree_clients|0\nused_clients|40\nlogin_"
        "clients|2\n"
        "free_servers|0\nused_servers|17\ndns_names|0\ndns_zones|0\ndns_queries|0\ndns_pending|0\n");
}

TEST_CASE("SHOW CONFIG says what a reload can change") {
  stats::Snapshot snapshot;
  snapshot.config = {{"workers", "4", "auto", false}, {"pools.orders.max_size", "20", "", true}};
  CHECK(rows_of("config", snapshot) == "workers|4|auto|no\npools.orders.max_size|20||yes\n");
}
