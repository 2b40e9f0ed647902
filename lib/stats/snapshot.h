// The whole daemon at one moment, as plain structs: what the console shows. Each worker copies its part.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "lib/base/time.h"
#include "lib/pool/pool_stats.h"

namespace tidepool::stats {

// Counted by each worker for each pool, added up in the snapshot. Times in microseconds.
struct Traffic {
  uint64_t server_assignments = 0;
  uint64_t transactions = 0;
  uint64_t queries = 0;
  uint64_t received = 0;       // bytes from clients
  uint64_t sent = 0;           // bytes to clients
  uint64_t transaction_us = 0;
  uint64_t query_us = 0;
  uint64_t wait_us = 0;
  uint64_t client_parses = 0;
  uint64_t server_parses = 0;
  uint64_t binds = 0;
  uint64_t logins = 0;

  bool operator==(const Traffic&) const = default;
  Traffic& operator+=(const Traffic& other);
};

// All of them, in the order of SHOW STATS.
inline constexpr std::array kTrafficFields = {
    &Traffic::server_assignments, &Traffic::transactions, &Traffic::queries,       &Traffic::received,
    &Traffic::sent,               &Traffic::transaction_us, &Traffic::query_us,    &Traffic::wait_us,
    &Traffic::client_parses,      &Traffic::server_parses,  &Traffic::binds,       &Traffic::logins,
};

enum class ClientState : uint8_t { Login, Idle, Waiting, Active, Cancelling };
struct ClientRow {
  ClientState state;
  std::string user, database;      // pool
  std::string address;             // "unix", or the numeric address
  int port = 0;
  std::string local_address;
  int local_port = 0;
  int64_t connect_time_us = 0;     // since the epoch
  int64_t request_time_us = 0;     // of the last request; 0 = none
  int64_t wait_us = 0;             // how long it has been waiting, if it waits
  uint64_t id = 0, link = 0;       // link: the server's id, or 0
  int remote_pid = 0;              // of a client on a Unix socket
  std::string application_name;
  uint32_t prepared_statements = 0;  // named ones, where the pool shares them
  int64_t pinned_since_us = 0;     // since the epoch; 0 = it is not pinned
  std::string pinned_why;          // "LISTEN", "temporary objects, advisory locks", ...
  std::string pinned_by;           // the statement that did it, clipped
};

enum class ServerState : uint8_t { New, Idle, Active, Used, Tested, Cancelling };  // Tested: being checked or cleaned
struct ServerRow {
  ServerState state;
  std::string user, database;
  std::string address;
  int port = 0;
  std::string local_address;
  int local_port = 0;
  int64_t connect_time_us = 0;
  int64_t request_time_us = 0;
  bool close_needed = false;
  uint64_t id = 0, link = 0;
  int remote_pid = 0;
  std::string tls;                 // "TLSv1.3/...", or empty
  std::string application_name;
  uint32_t prepared_statements = 0;  // shared ones that it has
};

struct PoolRow {
  std::string name;
  std::string server_user, host, server_database;  // as libpq resolves the conninfo
  int port = 0;
  bool shuffles_hosts = false;     // each dial tries them in another order
  std::string mode;                // "session", "transaction", "statement"
  pool::PoolStats stats;
  Traffic traffic;
  Traffic averages;                // filled in by a StatsHistory
  uint32_t clients_active = 0, clients_idle = 0, clients_waiting = 0, clients_cancelling = 0;
  uint32_t clients_pinned = 0;
  uint32_t servers_cleaning = 0, servers_cancelling = 0;
  int64_t max_lifetime_s = 0;
};

struct ConfigRow {
  std::string key, value, fallback;
  bool changeable;
};

struct Snapshot {
  std::string version;             // "tidepool 0.1.0"
  int64_t now_us = 0;              // wall clock
  int64_t started_us = 0;
  std::vector<PoolRow> pools;      // by name
  std::vector<ClientRow> clients;
  std::vector<ServerRow> servers;
  std::vector<ConfigRow> config;
  uint32_t users = 0;
  uint32_t clients_in_login = 0;
  uint32_t clients_total = 0;
  uint32_t workers = 0;
};

}  // namespace tidepool::stats
