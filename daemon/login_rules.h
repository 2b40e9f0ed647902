// What a client's login asks about the world, answered from the settings; and the names of operating-system
// users.
#pragma once

#include <array>
#include <atomic>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "daemon/listener.h"
#include "daemon/switchboard.h"
#include "daemon/world.h"
#include "lib/base/time.h"
#include "lib/session/client_login.h"
#include "lib/session/process_ids.h"

namespace tidepool::daemon {

class Worker;

// How many clients are in, and how many peers are logging in, over all workers. Any thread.
class ClientCount {
 public:
  ClientCount() {
    for (auto& oldest : oldest_logins_) oldest = kNever;
  }

  // False: `most` are in already.
  bool enter(uint32_t most) {
    uint32_t before = count_.load(std::memory_order_relaxed);
    do {
      if (before >= most) return false;
    } while (!count_.compare_exchange_weak(before, before + 1, std::memory_order_relaxed));
    return true;
  }
  void leave() { count_.fetch_sub(1, std::memory_order_relaxed); }
  uint32_t now() const { return count_.load(std::memory_order_relaxed); }
  // What fits under the process's limit of descriptors; set at start and on reload.
  std::atomic<uint32_t> most_that_fit{UINT32_MAX};

  // False: `most` are at it already.
  bool begin_login(uint32_t most) { return logins_.fetch_add(1, std::memory_order_relaxed) < most; }
  void end_login() { logins_.fetch_sub(1, std::memory_order_relaxed); }
  uint32_t logins() const { return logins_.load(std::memory_order_relaxed); }
  std::atomic<uint32_t> most_logins_that_fit{UINT32_MAX};

  // When the login began that a worker has had for longest, as far as it has looked; nothing: it has none.
  void set_oldest_login(pool::WorkerId worker, std::optional<base::TimePoint> since) {
    oldest_logins_[worker].store(since ? since->time_since_epoch().count() : kNever,
                                 std::memory_order_relaxed);
  }
  // The worker that has the oldest of all. Nothing: none has any.
  std::optional<pool::WorkerId> worker_of_oldest_login() const;

 private:
  static constexpr int64_t kNever = INT64_MAX;

  std::atomic<uint32_t> count_{0};
  std::atomic<uint32_t> logins_{0};
  std::array<std::atomic<int64_t>, session::ProcessIds::kMostWorkers> oldest_logins_;
};

// Names of operating-system users, asked of the system once a minute at most, and elsewhere: the answer may
// come from a directory server.
class PeerNames {
 public:
  // Null: it is not known, or not any more. Empty: no such user.
  const std::string* find(uint32_t uid, base::TimePoint now) const;
  // Takes long. Any thread.
  static std::string look_up(uint32_t uid);
  // `session` waits for it. True: it is the first that does, and somebody is to look it up.
  bool wait_for(uint32_t uid, SessionId session);
  // It was looked up. Returns who has waited.
  std::vector<SessionId> found(uint32_t uid, std::string name, base::TimePoint now);

 private:
  struct Name {
    std::string name;
    base::TimePoint asked;
  };
  std::unordered_map<uint32_t, Name> names_;
  std::unordered_map<uint32_t, std::vector<SessionId>> waiting_;
};

// Is `database` a name of the console?
bool is_console(std::string_view database);

// The process at the other end of a Unix socket.
struct PeerProcess {
  uint32_t uid = UINT32_MAX;
  int pid = 0;
};
PeerProcess peer_of(int fd);

// For the time of one login: holds the settings that it began with.
class SessionRules final : public session::LoginRules {
 public:
  SessionRules(Worker& worker, std::shared_ptr<const World> world, const ListenerHere& from, int fd);

  std::optional<base::Error> may_log_in() override;
  std::optional<base::Error> admit(std::string_view database) override;
  bool knows_peer(std::string_view database) override;
  auth::AuthMethod method_for(std::string_view user, std::string_view database) override;
  const auth::Secret* secret_of(std::string_view user) override;
  bool peer_may_be(std::string_view user, std::string_view database) override;
  std::optional<base::Error> authorize(std::string_view user, std::string_view database) override;
  std::string random_bytes(size_t size) override;
  std::string_view mock_key() override;

  // What knows_peer() waited for.
  void peer_is(std::string name) { peer_name_ = std::move(name); }
  // admit() has counted the client: whoever takes over must count it out.
  bool was_admitted() const { return admitted_; }
  const World& world() const { return *world_; }
  const std::shared_ptr<const World>& shared_world() const { return world_; }

 private:
  auth::AuthMethod method_of_pool(std::string_view database) const;

  Worker& worker_;
  std::shared_ptr<const World> world_;
  const ListenerHere& from_;
  int fd_;
  std::string peer_name_;  // once it is known; empty: nobody
  bool admitted_ = false;
};

}  // namespace tidepool::daemon
