// A thread and its loop: accepts clients for itself, owns their sessions and the servers that live here, and
// nothing of another's. Everything here is called on the worker's own thread unless it says otherwise.
#pragma once

#include <deque>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <thread>
#include <unordered_map>
#include <vector>

#include "daemon/background_jobs.h"
#include "daemon/cancel.h"
#include "daemon/clock.h"
#include "daemon/event/inbox.h"
#include "daemon/event/read_buffer.h"
#include "daemon/event/socket_loop.h"
#include "daemon/event/timer.h"
#include "daemon/listener.h"
#include "daemon/random.h"
#include "daemon/server_connection.h"
#include "daemon/server_holders.h"
#include "daemon/shared_pool.h"
#include "daemon/switchboard.h"
#include "daemon/world.h"
#include "lib/session/client_login.h"
#include "lib/session/process_ids.h"
#include "lib/session/server_cleanup.h"
#include "lib/stats/snapshot.h"

namespace tidepool::daemon {

class ClientSession;
class ClientCount;
class PeerNames;

// One pool, as this worker sees it.
struct PoolHere {
  std::shared_ptr<SharedPool> shared;
  std::shared_ptr<const config::PoolSettings> settings;
  session::CleanupPolicy cleanup;
  // In transaction mode, of a client that has left in the middle of one: all that it left is known, or not.
  session::CleanupPolicy cleanup_of_known, cleanup_of_unknown, cleanup_of_lasting;
  std::string application_name;  // the conninfo's, for clients that have none of their own
  stats::Traffic traffic;
  std::unordered_map<pool::ConnectionId, std::unique_ptr<ServerConnection>> servers;
  uint32_t sessions = 0;    // that use it: it is kept as long as there are any
  bool is_removed = false;  // by a reload: its sessions end as soon as they hold no server
};

// What the daemon gives each of its workers. All of it outlives them.
struct WorkerParts {
  Switchboard& switchboard;
  ClientCount& client_count;
  ServerHolders& holders;
  BackgroundJobs& names;      // look-ups of users of the operating system
  BackgroundJobs& passwords;  // checks
  session::ProcessIds process_ids;
  std::string mock_key;  // for logins of users that do not exist
};

class Worker {
 public:
  Worker(pool::WorkerId id, WorkerParts parts, std::shared_ptr<const World> world);
  ~Worker();
  Worker(const Worker&) = delete;
  Worker& operator=(const Worker&) = delete;

  // Main thread: starts the thread. `listeners` are sockets that listen; the worker accepts on duplicates of
  // them.
  void start(const std::vector<ListeningSocket>& listeners);
  // Main thread, after Stop was told and WorkerStopped came.
  void join();
  // Any thread.
  void tell(WorkerMessage message);

  // For sessions and servers.
  pool::WorkerId id() const { return id_; }
  event::SocketLoop& loop() { return loop_; }
  event::ReadBuffer& read_buffer() { return buffer_; }
  base::TimePoint now();
  const World& world() const { return *world_; }
  std::shared_ptr<const World> shared_world() const { return world_; }
  Switchboard& switchboard() { return parts_.switchboard; }
  ClientCount& client_count() { return parts_.client_count; }
  std::string_view mock_key() const { return parts_.mock_key; }
  PeerNames& peer_names() { return *peer_names_; }
  // Done elsewhere: the session is told, if it still is there.
  void look_up_peer(uint32_t uid, SessionId session);
  void check_password(session::PasswordToCheck check, std::shared_ptr<const World> world,
                      const std::string& whose, SessionId session);
  RandomStock& random() { return random_; }
  CancelDesk& cancel_desk() { return cancel_desk_; }
  ServerHolders& holders() { return parts_.holders; }
  const session::ProcessIds& process_ids() const { return parts_.process_ids; }
  // Sends a cancel to the server, which is held meanwhile; `done` (may be empty) is called when it is not any
  // more.
  void send_cancel(ServerConnection& server, std::function<void()> done);

  // Takes `fd`, which does not block.
  void adopt_client(int fd, const ListenerHere& from);
  PoolHere* pool_named(std::string_view name);
  pool::Ticket new_ticket(const ClientSession& session);
  ClientSession* find(SessionId id);
  ServerConnection* find_server(PoolHere& pool, pool::ConnectionId id);
  // Of no other session of this process.
  uint64_t new_session_number() { return uint64_t{id_} << kSessionNumberBits | ++session_number_; }
  // Strings for bytes on their way, empty, to be used until the call returns: their storage is kept.
  std::string& bytes_to_server() { return emptied(bytes_to_server_); }
  std::string& bytes_to_client() { return emptied(bytes_to_client_); }
  std::string& bytes_of_message() { return emptied(bytes_of_message_); }
  // Removed at the end of the loop's turn; no object deletes itself.
  void retire(ClientSession& session);
  void retire(ServerConnection& server);
  // Something keeps time now: tick() looks at it.
  void need_tick();
  // A server rests unclean: it is cleaned some milliseconds later, if no client takes it before.
  void need_cleaning();

 private:
  struct Slot {
    std::unique_ptr<ClientSession> session;
    uint32_t generation = 0;
  };

  static constexpr unsigned kSessionNumberBits = 48;
  static std::string& emptied(std::string& bytes);
  void run();
  void end_turn();
  void handle(WorkerMessage&& message);
  void on(to_worker::CarryOut&& message);
  void on(to_worker::Granted&& message);
  void on(to_worker::TakeServer&& message);
  void on(to_worker::ServerWasDead&& message);
  void on(to_worker::HasPlace&& message);
  void on(to_worker::DialFinished&& message);
  void on(to_worker::CancelWanted&& message);
  void on(to_worker::CancelFinished&& message);
  void on(to_worker::NewWorld&& message);
  void on(to_worker::Collect&& message);
  void on(to_worker::Collected&& message);
  void on(to_worker::EffectDone&& message);
  void on(to_worker::MakeWay&& message);
  void on(to_worker::PeerNamed&& message);
  void on(to_worker::PasswordChecked&& message);
  void on(to_worker::Beat&& message);
  void on(to_worker::Drain&& message);
  void on(to_worker::Stop&& message);
  void carry_out(PoolHere& pool, const pool::Grant& grant);
  void carry_out(PoolHere& pool, const pool::Refuse& refuse);
  void carry_out(PoolHere& pool, const pool::Notice& notice);
  void carry_out(PoolHere& pool, const pool::Check& check);
  void carry_out(PoolHere& pool, const pool::Close& close);
  void carry_out(PoolHere&, const pool::Dial&) {}
  void carry_out(PoolHere&, const pool::Health&) {}
  void hand_to_client(PoolHere& pool, ServerConnection& server, const pool::Grant& grant);
  ClientSession* find(pool::Ticket ticket);
  void tell_or_handle(pool::WorkerId worker, WorkerMessage message);
  PoolHere& here(const std::shared_ptr<SharedPool>& pool);
  bool is_current(const SharedPool& pool) const;
  void forget_empty_pools();
  void forget_logged_in();
  void tell_oldest_login();
  void make_way_for_login();
  void tick();
  void clean_servers();
  void end_who_has_nothing_to_finish();
  void give_up();
  void stop_if_done();

  const pool::WorkerId id_;
  WorkerParts parts_;
  event::SocketLoop loop_;  // outlives what stands below
  std::shared_ptr<const World> world_;
  event::ReadBuffer buffer_;
  RandomStock random_;
  std::unique_ptr<PeerNames> peer_names_;
  std::vector<std::unique_ptr<Listener>> listeners_;
  std::unordered_map<const SharedPool*, std::unique_ptr<PoolHere>> pools_;
  std::vector<Slot> slots_;
  session::FreeSlots free_slots_;
  struct Login {
    SessionId session;
    base::TimePoint since;
  };
  std::deque<Login> logging_in_;  // as they came; some are in by now, or gone
  std::vector<ClientSession*> retired_sessions_;
  std::vector<ServerConnection*> retired_servers_;
  std::vector<WorkerMessage> own_messages_;  // told by this thread to itself
  std::vector<WorkerMessage> handling_;
  std::unique_ptr<event::Inbox<WorkerMessage>> inbox_;
  std::unique_ptr<event::Timer> timer_;
  std::unique_ptr<event::Timer> cleaning_timer_;
  CancelDesk cancel_desk_;
  base::TimePoint now_{};
  bool now_is_known_ = false;
  bool tick_is_needed_ = false;
  bool cleaning_is_needed_ = false;
  bool draining_ = false;
  bool drain_told_ = false;
  bool stopping_ = false;
  bool stop_told_ = false;
  base::TimePoint stops_by_{};
  uint32_t ticket_number_ = 0;
  uint64_t server_number_ = 0;
  uint64_t session_number_ = 0;
  std::string bytes_to_server_, bytes_to_client_, bytes_of_message_;
  std::thread thread_;
};

}  // namespace tidepool::daemon
