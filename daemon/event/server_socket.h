// A server's connection: the descriptor (or TLS session) that libpq left us. Does not own the descriptor:
// OpenServer does, and is destroyed after this. May be taken from one loop and put on another. Reads into the
// worker's buffer; writes at once what the kernel takes and keeps the rest.
#pragma once

#include <cstdint>
#include <string>

#include "daemon/event/read_buffer.h"
#include "daemon/event/socket_loop.h"
#include "lib/base/bytes.h"

struct ssl_st;

namespace tidepool::event {

class ServerSocketEvents {
 public:
  virtual ~ServerSocketEvents() = default;
  // `bytes` lie in the worker's read buffer, at data(), until the call returns.
  virtual void on_server_bytes(base::Bytes bytes) = 0;
  // The server hung up (error 0) or the connection broke (an errno; EPROTO for TLS). Nothing comes after it.
  virtual void on_server_end(int error) = 0;
  virtual void on_server_drained() = 0;
};

class ServerSocket final : public Watched {
 public:
  // `tls` is null for a plain connection.
  ServerSocket(int fd, ssl_st* tls, ServerSocketEvents& events) : events_(events), tls_(tls), fd_(fd) {}
  ~ServerSocket() { unwatch(); }
  ServerSocket(const ServerSocket&) = delete;
  ServerSocket& operator=(const ServerSocket&) = delete;

  // Watches on this loop from now on; not watched before. `loop` and `buffer` outlive the watching.
  void watch(SocketLoop& loop, ReadBuffer& buffer);
  // Watches no more; the descriptor may go to another loop, or be closed. Not with unsent bytes, if it is to
  // live on.
  void unwatch();

  void pause_reading();
  void resume_reading();

  // Takes all of `bytes`. False: the kernel refused at once because the connection is broken, and nothing of
  // it was sent.
  bool write(base::Bytes bytes);
  bool is_congested() const { return !unsent_.empty(); }
  // Nothing more is said after this: the server reads what it was sent, then the end, and hangs up (also in
  // the middle of a message). What was unsent is dropped, and with it the last words. The answers are still
  // read.
  void end_writing(base::Bytes last_words);

 private:
  enum class Io : uint8_t { Done, Again, Broken };
  void on_ready(uint32_t events) override;
  void read_once(uint32_t events);
  void flush();
  Io send(const char* data, size_t size, size_t& sent);
  void end(int error);
  void update_interest();
  void leave_set();

  ServerSocketEvents& events_;
  ssl_st* tls_;
  SocketLoop* loop_ = nullptr;
  ReadBuffer* buffer_ = nullptr;
  std::string unsent_;
  int fd_;
  uint32_t watched_ = 0;
  bool is_in_set_ = false;  // of the loop
  bool reading_ = true;
  bool broken_ = false;
  bool tls_read_wants_write_ = false;  // renegotiation, key update
  bool tls_write_wants_read_ = false;
};

}  // namespace tidepool::event
