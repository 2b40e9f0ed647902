// A client's connection. Reads into the worker's buffer; writes at once what the kernel takes and keeps the
// rest. Lives on one loop, and owns its descriptor.
#pragma once

#include <cstdint>
#include <string>

#include "daemon/event/read_buffer.h"
#include "daemon/event/socket_loop.h"
#include "lib/base/bytes.h"

namespace tidepool::event {

class ClientSocketEvents {
 public:
  virtual ~ClientSocketEvents() = default;
  // `bytes` lie in the worker's read buffer, at data(), until the call returns.
  virtual void on_client_bytes(base::Bytes bytes) = 0;
  // The peer closed (error 0), or the connection broke (an errno). Nothing comes after it.
  virtual void on_client_end(int error) = 0;
  // What the kernel had refused has been written.
  virtual void on_client_drained() = 0;
};

class ClientSocket final : public Watched {
 public:
  // Takes `fd`, which does not block. `loop`, `buffer` and `events` outlive this.
  ClientSocket(int fd, SocketLoop& loop, ReadBuffer& buffer, ClientSocketEvents& events);
  ~ClientSocket();
  ClientSocket(const ClientSocket&) = delete;
  ClientSocket& operator=(const ClientSocket&) = delete;

  // Starts reading. An errno, or 0.
  int open();

  void pause_reading() { reading_ = false; }
  void resume_reading();
  bool is_reading() const { return reading_; }

  // Takes all of `bytes`. A failed connection swallows them: on_client_end() tells.
  void write(base::Bytes bytes);
  // Some of it is still to be written: stop producing until on_client_drained().
  bool is_congested() const { return !unsent_.empty(); }

  // Whether the peer has hung up, asked without reading: for a client whose bytes are not read at the moment.
  // One system call.
  bool peer_has_left() const;

  int fd() const { return fd_; }

 private:
  void on_ready(uint32_t events) override;
  void read(uint32_t events);
  void flush();
  void update_interest();

  SocketLoop& loop_;
  ReadBuffer& buffer_;
  ClientSocketEvents& events_;
  std::string unsent_;
  const int fd_;
  uint32_t watched_ = 0;  // 0: not in the loop's set
  bool reading_ = false;
  bool broken_ = false;
};

}  // namespace tidepool::event
