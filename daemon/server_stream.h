// The bytes of a server that libpq has logged in, as long as the dialer's thread has it: blocking reads and
// writes with one time limit, given up when the dialer stops.
#pragma once

#include <chrono>
#include <string>

#include "lib/base/bytes.h"
#include "lib/base/result.h"
#include "lib/session/parameter_map.h"

struct ssl_st;

namespace tidepool::daemon {

using Deadline = std::chrono::steady_clock::time_point;

enum class Wait { Ready, TimedOut, Stopped };
// Waits for `events` (POLLIN, POLLOUT) of `fd`, or until `stop_fd` becomes readable.
Wait wait_for(int fd, short events, Deadline deadline, int stop_fd);

class ServerStream {
 public:
  ServerStream(int fd, ssl_st* tls, int stop_fd) : fd_(fd), tls_(tls), stop_fd_(stop_fd) {}

  // Sends `request`, reads up to the ReadyForQuery that answers it, and on to the end of the last message
  // that came: then nothing is unread. Reported parameters go into `parameters`, notices and notifications
  // nowhere. `unread`: what was received before, of a message whose rest will come.
  struct Answer {
    char status;             // of ReadyForQuery: 'I', 'T', 'E'
    base::Error error = {};  // the first ErrorResponse; no message: there was none
    bool only_ready = true;  // nothing else came in answer
  };
  base::Result<Answer> ask(base::Bytes request, Deadline deadline, session::ParameterMap& parameters,
                           base::Bytes unread = {});

  // Has the server cancel what runs, over a connection of its own, and waits until the server has closed
  // that: the signal is sent then. `address`: the bytes of a sockaddr.
  static void cancel(base::Bytes address, base::Bytes request, Deadline deadline, int stop_fd);

 private:
  base::Status send(base::Bytes bytes, Deadline deadline);
  base::Status receive(std::string& into, Deadline deadline);  // at least one byte
  base::Status wait(short events, Deadline deadline);
  base::Status wait_for_tls(int result, Deadline deadline);

  int fd_;
  ssl_st* tls_;
  int stop_fd_;
};

}  // namespace tidepool::daemon
