// Cancel requests: keys that find their session, and the sending of a cancel to a server. A cancel reaches
// the query that runs for that client, or nothing: the server is held (not given to anyone else) from before
// its key is read until it has closed the cancel's connection.
// https://www.postgresql.org/docs/current/protocol-flow.html#PROTOCOL-FLOW-CANCELING-REQUESTS
#pragma once

#include <uv.h>

#include <cstdint>
#include <functional>
#include <list>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "daemon/event/handle.h"
#include "daemon/server_dialer.h"
#include "daemon/switchboard.h"
#include "lib/base/time.h"

namespace tidepool::daemon {

// Compares secrets of cancel keys in a time that tells nothing about where they differ.
bool secrets_match(std::string_view a, std::string_view b);

// One worker's cancels in flight. Not thread-safe.
class CancelDesk {
 public:
  CancelDesk();
  ~CancelDesk();
  CancelDesk(const CancelDesk&) = delete;
  CancelDesk& operator=(const CancelDesk&) = delete;

  static constexpr base::Duration kTimeLimit{10'000'000};

  // Sends the cancel key of `server` to where it lives. `done` is called once, later, when the server closed
  // that connection, or it failed, or the time limit is over.
  void send(uv_loop_t* loop, const OpenServer& server, base::TimePoint now, std::function<void()> done);
  // True: cancels are in flight, and this wants to be called again.
  bool tick(base::TimePoint now);
  void drop_all();

  // A cancel that matched nothing. Further ones from the same place are not looked at for a while, after too
  // many.
  void note_failure(const std::string& from, base::TimePoint now);
  bool has_failed_too_often(const std::string& from, base::TimePoint now);

 private:
  struct Packet;
  struct Failures {
    uint32_t count = 0;
    base::TimePoint since;
  };
  void finish(Packet& packet);

  std::list<std::unique_ptr<Packet>> in_flight_;
  std::unordered_map<std::string, Failures> failures_;
};

}  // namespace tidepool::daemon
