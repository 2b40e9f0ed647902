#include "daemon/event/client_socket.h"

#include <poll.h>

namespace tidepool::event {

// The bytes that the kernel refused, until it takes them. Outlives the socket if that closes first.
struct ClientSocket::Rest {
  uv_write_t request;
  std::string bytes;
};

ClientSocket::ClientSocket(uv_loop_t* loop, Kind kind, ReadBuffer& buffer, ClientSocketEvents& events)
    : handle_(new AnyStream{}), buffer_(buffer), events_(events), kind_(kind) {
  if (kind == Kind::Unix) {
    uv_pipe_init(loop, &handle_->pipe, 0);
  } else {
    uv_tcp_init(loop, &handle_->tcp);
  }
  stream()->data = this;
}

int ClientSocket::accept(uv_stream_t* listener) {
  if (int error = uv_accept(listener, stream()); error != 0) return error;
  resume_reading();
  return 0;
}

void ClientSocket::pause_reading() {
  if (!reading_) return;
  reading_ = false;
  uv_read_stop(stream());
}

void ClientSocket::resume_reading() {
  if (reading_ || broken_) return;
  reading_ = true;
  uv_read_start(
      stream(),
      [](uv_handle_t* handle, size_t, uv_buf_t* buffer) {
        auto* self = static_cast<ClientSocket*>(handle->data);
        *buffer = uv_buf_init(self->buffer_.data(), ReadBuffer::kSize);
      },
      [](uv_stream_t* stream, ssize_t size, const uv_buf_t* buffer) {
        auto* self = static_cast<ClientSocket*>(stream->data);
        if (self == nullptr || size == 0) return;
        if (size > 0) return self->events_.on_client_bytes({buffer->base, static_cast<size_t>(size)});
        self->pause_reading();
        self->broken_ = true;
        self->events_.on_client_end(size == UV_EOF ? 0 : static_cast<int>(size));
      });
}

void ClientSocket::write(base::Bytes bytes) {
  if (broken_ || bytes.empty()) return;
  if (unsent_ == 0) {
    uv_buf_t buffer = uv_buf_init(const_cast<char*>(bytes.data()), static_cast<unsigned>(bytes.size()));
    const int sent = uv_try_write(stream(), &buffer, 1);
    if (sent > 0) bytes.remove_prefix(static_cast<size_t>(sent));
    if (bytes.empty()) return;
    if (sent < 0 && sent != UV_EAGAIN) return;  // reading tells that the peer is gone, with the error
  }
  auto* rest = new Rest{{}, std::string(bytes)};
  uv_buf_t buffer = uv_buf_init(rest->bytes.data(), static_cast<unsigned>(rest->bytes.size()));
  rest->request.data = rest;
  const int error = uv_write(&rest->request, stream(), &buffer, 1, [](uv_write_t* request, int status) {
    std::unique_ptr<Rest> done(static_cast<Rest*>(request->data));
    if (auto* self = static_cast<ClientSocket*>(request->handle->data))
      self->written(done->bytes.size(), status);
  });
  if (error != 0) {
    delete rest;
    return;
  }
  unsent_ += bytes.size();
}

void ClientSocket::written(size_t size, int status) {
  unsent_ -= size;
  if (status == UV_ECANCELED) return;
  if (unsent_ == 0) events_.on_client_drained();
}

bool ClientSocket::peer_has_left() const {
  pollfd poll_fd{fd(), POLLRDHUP, 0};
  return ::poll(&poll_fd, 1, 0) > 0 && (poll_fd.revents & (POLLRDHUP | POLLHUP | POLLERR)) != 0;
}

int ClientSocket::fd() const {
  uv_os_fd_t fd = -1;
  uv_fileno(reinterpret_cast<const uv_handle_t*>(handle_.get()), &fd);
  return fd;
}

}  // namespace tidepool::event
