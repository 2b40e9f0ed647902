#include "lib/admin/show_tables.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdio>
#include <limits>
#include <unordered_map>

namespace tidepool::admin {

namespace {

using stats::ClientRow;
using stats::ClientState;
using stats::PoolRow;
using stats::ServerRow;
using stats::ServerState;
using stats::Snapshot;

constexpr int64_t kMicroseconds = 1'000'000;

// A column that is int4 in PgBouncer; ours may count further.
Cell clipped(int64_t value) {
  return std::to_string(std::clamp<int64_t>(value, 0, std::numeric_limits<int32_t>::max()));
}
Cell number(int64_t value) {
  return std::to_string(value);
}
Cell text_or_null(const std::string& value) {
  return value.empty() ? Cell() : Cell(value);
}

// The column `id`: an int4, as in PgBouncer.
Cell short_id(uint64_t id) {
  return number(static_cast<int64_t>(id & 0x7fffffff));
}

// PgBouncer shows an object's address, and scripts join `link` to `ptr` by it.
Cell pointer(uint64_t id) {
  std::array<char, 24> text{};
  const int size = std::snprintf(text.data(), text.size(), "0x%llx", static_cast<unsigned long long>(id));
  return std::string(text.data(), static_cast<size_t>(size));
}

// "2026-11-22 19:44:25 UTC"
Cell time_stamp(int64_t us_since_epoch) {
  using namespace std::chrono;
  const sys_seconds moment{floor<seconds>(microseconds(us_since_epoch))};
  const auto day = floor<days>(moment);
  const year_month_day date{day};
  const hh_mm_ss time{moment - day};
  std::array<char, 64> text{};
  const int size =
      std::snprintf(text.data(), text.size(), "%04d-%02u-%02u %02d:%02d:%02d UTC",
                    static_cast<int>(date.year()), static_cast<unsigned>(date.month()),
                    static_cast<unsigned>(date.day()), static_cast<int>(time.hours().count()),
                    static_cast<int>(time.minutes().count()), static_cast<int>(time.seconds().count()));
  return std::string(text.data(), static_cast<size_t>(size));
}

// Of a conninfo that names several hosts. `disable` is PgBouncer's word, too: each new connection begins with
// the first.
Cell load_balance_hosts(const PoolRow& pool) {
  if (pool.host.find(',') == std::string::npos) return {};
  return pool.shuffles_hosts ? "random" : "disable";
}

// SHOW POOLS

constexpr std::array kPoolsColumns = {
    text("database"),
    text("user"),
    int4("cl_active"),
    int4("cl_waiting"),
    int4("cl_active_cancel_req"),
    int4("cl_waiting_cancel_req"),
    int4("sv_active"),
    int4("sv_active_cancel"),
    int4("sv_being_canceled"),
    int4("sv_idle"),
    int4("sv_used"),
    int4("sv_tested"),
    int4("sv_login"),
    int4("maxwait"),
    int4("maxwait_us"),
    text("pool_mode"),
    text("load_balance_hosts"),
};

Rows pools_rows(const Snapshot& snapshot) {
  Rows rows;
  for (const PoolRow& pool : snapshot.pools) {
    const int64_t held_back =
        int64_t{pool.servers_cleaning} + pool.servers_cancelling;  // lent, but to no client
    const int64_t wait_us = pool.stats.longest_wait.count();
    rows.push_back({pool.name, pool.server_user, clipped(int64_t{pool.clients_active} + pool.clients_idle),
                    clipped(pool.clients_waiting), clipped(pool.clients_cancelling), "0",
                    clipped(pool.stats.lent - held_back),
                    clipped(pool.clients_cancelling),  // one connection for each
                    clipped(pool.servers_cancelling), clipped(pool.stats.pool_available), "0",
                    clipped(pool.stats.checking + pool.servers_cleaning), clipped(pool.stats.dialing),
                    clipped(wait_us / kMicroseconds), clipped(wait_us % kMicroseconds), pool.mode,
                    load_balance_hosts(pool)});
  }
  return rows;
}

// SHOW POOL_STATS: psycopg_pool's, by its names and in its order, then our own.

constexpr std::array kPoolStatsColumns = {
    text("pool"),
    int8("pool_min"),
    int8("pool_max"),
    int8("pool_size"),
    int8("pool_available"),
    int8("requests_waiting"),
    int8("usage_ms"),
    int8("requests_num"),
    int8("requests_queued"),
    int8("requests_wait_ms"),
    int8("requests_errors"),
    int8("returns_bad"),
    int8("connections_num"),
    int8("connections_ms"),
    int8("connections_errors"),
    int8("connections_lost"),
    int8("gave_up"),
    int8("gave_way"),
};

Rows pool_stats_rows(const Snapshot& snapshot) {
  Rows rows;
  for (const PoolRow& pool : snapshot.pools) {
    const pool::PoolStats& stats = pool.stats;
    rows.push_back({pool.name, number(stats.pool_min), number(stats.pool_max), number(stats.pool_size),
                    number(stats.pool_available), number(stats.requests_waiting), number(stats.usage_ms),
                    number(stats.requests_num), number(stats.requests_queued), number(stats.requests_wait_ms),
                    number(stats.requests_errors), number(stats.returns_bad), number(stats.connections_num),
                    number(stats.connections_ms), number(stats.connections_errors),
                    number(stats.connections_lost), number(stats.gave_up),
                    number(stats.gave_way)});
  }
  return rows;
}

// SHOW CLIENTS, SHOW SERVERS

constexpr std::array kSocketColumns = {
    text("type"),
    text("user"),
    text("database"),
    text("replication"),
    text("state"),
    text("addr"),
    int4("port"),
    text("local_addr"),
    int4("local_port"),
    text("connect_time"),
    text("request_time"),
    int4("wait"),
    int4("wait_us"),
    int4("close_needed"),
    text("ptr"),
    text("link"),
    int4("remote_pid"),
    text("tls"),
    text("application_name"),
    int4("prepared_statements"),
    int4("id"),
};

// One more, at the end, so that what reads PgBouncer's columns by their places finds them there.
constexpr auto kClientsColumns = [] {
  std::array<wire::Column, kSocketColumns.size() + 1> columns{};
  std::copy(kSocketColumns.begin(), kSocketColumns.end(), columns.begin());
  columns.back() = text("pinned");
  return columns;
}();

const char* word(ClientState state) {
  switch (state) {
    case ClientState::Login:
      break;  // not shown; SHOW LISTS counts them
    case ClientState::Idle:
      return "idle";
    case ClientState::Waiting:
      return "waiting";
    case ClientState::Active:
      return "active";
    case ClientState::Cancelling:
      return "active_cancel_req";
  }
  return "login";
}

const char* word(ServerState state) {
  switch (state) {
    case ServerState::New:
      return "new";
    case ServerState::Idle:
      return "idle";
    case ServerState::Active:
      return "active";
    case ServerState::Used:
      return "used";
    case ServerState::Tested:
      return "tested";
    case ServerState::Cancelling:
      return "being_canceled";
  }
  return "new";
}

template <class Socket>  // ClientRow or ServerRow
Row socket_row(const char* type, const Socket& socket, int64_t wait_us, bool close_needed,
               const std::string& tls) {
  // Like PgBouncer's, a request time before the first request is the time of the login.
  const int64_t request_us = socket.request_time_us == 0 ? socket.connect_time_us : socket.request_time_us;
  return {type,
          socket.user,
          socket.database,
          "none",
          word(socket.state),
          socket.address,
          number(socket.port),
          socket.local_address,
          number(socket.local_port),
          time_stamp(socket.connect_time_us),
          time_stamp(request_us),
          clipped(wait_us / kMicroseconds),
          clipped(wait_us % kMicroseconds),
          close_needed ? "1" : "0",
          pointer(socket.id),
          socket.link == 0 ? Cell("") : pointer(socket.link),
          number(socket.remote_pid),
          tls,
          socket.application_name,
          clipped(socket.prepared_statements),
          short_id(socket.id)};
}

// "LISTEN since 2026-11-22 19:44:25 UTC, by: listen jobs"
Cell pinned(const ClientRow& client) {
  if (client.pinned_since_us == 0) return "";
  std::string text = client.pinned_why + " since " + *time_stamp(client.pinned_since_us);
  if (!client.pinned_by.empty()) text += ", by: " + client.pinned_by;
  return text;
}

Rows clients_rows(const Snapshot& snapshot) {
  Rows rows;
  for (const ClientRow& client : snapshot.clients) {
    if (client.state == ClientState::Login) continue;
    rows.push_back(socket_row("C", client, client.wait_us, false, ""));
    rows.back().push_back(pinned(client));
  }
  return rows;
}

Rows servers_rows(const Snapshot& snapshot) {
  Rows rows;
  for (const ServerRow& server : snapshot.servers)
    rows.push_back(socket_row("S", server, 0, server.close_needed, server.tls));
  return rows;
}

// SHOW PINS: who keeps a server between transactions, and why.

constexpr std::array kPinsColumns = {
    text("pool"),    text("user"), int4("client"),    int4("server_pid"),       text("since"),
    int8("seconds"), text("why"),  text("statement"), text("application_name"),
};

Rows pins_rows(const Snapshot& snapshot) {
  std::unordered_map<uint64_t, int> pids;
  for (const ServerRow& server : snapshot.servers) pids.emplace(server.id, server.remote_pid);
  Rows rows;
  for (const ClientRow& client : snapshot.clients) {
    if (client.pinned_since_us == 0) continue;
    // The workers' copies are not of the same instant: the server may be gone from them, and time go
    // backwards.
    const auto server = pids.find(client.link);
    const int64_t held_us = std::max<int64_t>(0, snapshot.now_us - client.pinned_since_us);
    rows.push_back({client.database, client.user, short_id(client.id),
                    server == pids.end() ? Cell() : number(server->second),
                    time_stamp(client.pinned_since_us), number(held_us / kMicroseconds), client.pinned_why,
                    client.pinned_by, client.application_name});
  }
  return rows;
}

// SHOW DATABASES

constexpr std::array kDatabasesColumns = {
    text("name"),
    text("host"),
    int4("port"),
    text("database"),
    text("force_user"),
    int4("pool_size"),
    int4("min_pool_size"),
    int4("reserve_pool_size"),
    int4("server_lifetime"),
    text("pool_mode"),
    text("load_balance_hosts"),
    int4("max_connections"),
    int4("current_connections"),
    int4("max_client_connections"),
    int4("current_client_connections"),
    int4("paused"),
    int4("disabled"),
};

Rows databases_rows(const Snapshot& snapshot) {
  Rows rows;
  for (const PoolRow& pool : snapshot.pools) {
    const int64_t clients = int64_t{pool.clients_active} + pool.clients_idle + pool.clients_waiting;
    rows.push_back({pool.name, text_or_null(pool.host), number(pool.port), pool.server_database,
                    pool.server_user, clipped(pool.stats.pool_max), clipped(pool.stats.pool_min), "0",
                    clipped(pool.max_lifetime_s), pool.mode, load_balance_hosts(pool),
                    clipped(pool.stats.pool_max), clipped(pool.stats.pool_size),
                    "0",  // no limit of its own
                    clipped(clients), "0", "0"});
  }
  return rows;
}

// SHOW STATS

constexpr std::array kStatsColumns = {
    text("database"),
    numeric("total_server_assignment_count"),
    numeric("total_xact_count"),
    numeric("total_query_count"),
    numeric("total_received"),
    numeric("total_sent"),
    numeric("total_xact_time"),
    numeric("total_query_time"),
    numeric("total_wait_time"),
    numeric("total_client_parse_count"),
    numeric("total_server_parse_count"),
    numeric("total_bind_count"),
    numeric("total_client_login_count"),
    numeric("avg_server_assignment_count"),
    numeric("avg_xact_count"),
    numeric("avg_query_count"),
    numeric("avg_recv"),
    numeric("avg_sent"),
    numeric("avg_xact_time"),
    numeric("avg_query_time"),
    numeric("avg_wait_time"),
    numeric("avg_client_parse_count"),
    numeric("avg_server_parse_count"),
    numeric("avg_bind_count"),
    numeric("avg_client_login_count"),
};
static_assert(kStatsColumns.size() == 1 + 2 * stats::kTrafficFields.size());

Rows stats_rows(const Snapshot& snapshot) {
  Rows rows;
  for (const PoolRow& pool : snapshot.pools) {
    Row row = {pool.name};
    for (auto field : stats::kTrafficFields) row.push_back(std::to_string(pool.traffic.*field));
    for (auto field : stats::kTrafficFields) row.push_back(std::to_string(pool.averages.*field));
    rows.push_back(std::move(row));
  }
  return rows;
}

// SHOW LISTS

constexpr std::array kListsColumns = {text("list"), int4("items")};

Rows lists_rows(const Snapshot& snapshot) {
  const auto pool_count = static_cast<int64_t>(snapshot.pools.size());
  int64_t servers = 0;
  for (const PoolRow& pool : snapshot.pools) servers += pool.stats.pool_size;
  // What is 0 does not exist here: there are no peers, no objects kept for reuse, no resolver of our own.
  return {{"databases", clipped(pool_count)},
          {"users", clipped(snapshot.users)},
          {"peers", "0"},
          {"pools", clipped(pool_count)},
          {"peer_pools", "0"},
          {"free_clients", "0"},
          {"used_clients", clipped(snapshot.clients_total)},
          {"login_clients", clipped(snapshot.clients_in_login)},
          {"free_servers", "0"},
          {"used_servers", clipped(servers)},
          {"dns_names", "0"},
          {"dns_zones", "0"},
          {"dns_queries", "0"},
          {"dns_pending", "0"}};
}

// SHOW CONFIG, SHOW VERSION

constexpr std::array kConfigColumns = {text("key"), text("value"), text("default"), text("changeable")};

Rows config_rows(const Snapshot& snapshot) {
  Rows rows;
  for (const stats::ConfigRow& setting : snapshot.config)
    rows.push_back({setting.key, setting.value, setting.fallback, setting.changeable ? "yes" : "no"});
  return rows;
}

constexpr std::array kVersionColumns = {text("version")};

Rows version_rows(const Snapshot& snapshot) {
  return {{snapshot.version}};
}

constexpr std::array kShowTables = {
    ShowTable{"clients", kClientsColumns, clients_rows},
    ShowTable{"config", kConfigColumns, config_rows},
    ShowTable{"databases", kDatabasesColumns, databases_rows},
    ShowTable{"lists", kListsColumns, lists_rows},
    ShowTable{"pins", kPinsColumns, pins_rows},
    ShowTable{"pools", kPoolsColumns, pools_rows},
    ShowTable{"pool_stats", kPoolStatsColumns, pool_stats_rows},
    ShowTable{"servers", kSocketColumns, servers_rows},
    ShowTable{"stats", kStatsColumns, stats_rows},
    ShowTable{"version", kVersionColumns, version_rows},
};

}  // namespace

std::span<const ShowTable> show_tables() {
  return kShowTables;
}

const ShowTable* find_show_table(std::string_view name) {
  const auto* found = std::find_if(kShowTables.begin(), kShowTables.end(),
                                   [&](const ShowTable& table) { return table.name == name; });
  return found == kShowTables.end() ? nullptr : found;
}

}  // namespace tidepool::admin
