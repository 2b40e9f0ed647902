// A client's connection: a libuv stream (the fewest system calls of what was measured). Reads into the
// worker's buffer; writes at once what the kernel takes and keeps the rest. Lives on one loop.
#pragma once

#include <uv.h>

#include <cstddef>
#include <string>

#include "daemon/event/handle.h"
#include "daemon/event/read_buffer.h"
#include "lib/base/bytes.h"

namespace tidepool::event {

class ClientSocketEvents {
 public:
  virtual ~ClientSocketEvents() = default;
  // `bytes` lie in the worker's read buffer, at data(), until the call returns.
  virtual void on_client_bytes(base::Bytes bytes) = 0;
  // The peer closed (error 0), or the connection broke (a libuv error, negative). Nothing comes after it.
  virtual void on_client_end(int error) = 0;
  // What the kernel had refused has been written.
  virtual void on_client_drained() = 0;
};

class ClientSocket {
 public:
  enum class Kind : uint8_t { Unix, Tcp };

  // `buffer` and `events` outlive this.
  ClientSocket(uv_loop_t* loop, Kind kind, ReadBuffer& buffer, ClientSocketEvents& events);
  ClientSocket(const ClientSocket&) = delete;
  ClientSocket& operator=(const ClientSocket&) = delete;

  // Takes a connection that `listener` has accepted, and starts reading. A libuv error, or 0.
  int accept(uv_stream_t* listener);

  void pause_reading();
  void resume_reading();
  bool is_reading() const { return reading_; }

  // Takes all of `bytes`. A failed connection swallows them: on_client_end() tells.
  void write(base::Bytes bytes);
  // Some of it is still to be written: stop producing until on_client_drained().
  bool is_congested() const { return unsent_ > 0; }

  // Whether the peer has hung up, asked without reading: for a client whose bytes are not read at the moment.
  // One system call.
  bool peer_has_left() const;

  int fd() const;
  Kind kind() const { return kind_; }

 private:
  struct Rest;
  union AnyStream {
    uv_stream_t stream;
    uv_pipe_t pipe;
    uv_tcp_t tcp;
  };
  uv_stream_t* stream() const { return &handle_->stream; }
  void written(size_t size, int status);

  OwnedHandle<AnyStream> handle_;
  ReadBuffer& buffer_;
  ClientSocketEvents& events_;
  size_t unsent_ = 0;
  Kind kind_;
  bool reading_ = false;
  bool broken_ = false;
};

}  // namespace tidepool::event
