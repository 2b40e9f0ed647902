#include "daemon/event/server_socket.h"

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <climits>

namespace tidepool::event {

namespace {

int socket_error(int fd) {
  int error = 0;
  socklen_t size = sizeof error;
  if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size) != 0) return errno;
  return error;
}

}  // namespace

void ServerSocket::watch(uv_loop_t* loop, ReadBuffer& buffer) {
  buffer_ = &buffer;
  poll_.reset(new uv_poll_t{});
  uv_poll_init(loop, poll_.get(), fd_);
  poll_->data = this;
  watched_ = 0;
  update_interest();
}

void ServerSocket::unwatch() {
  poll_.reset();
  buffer_ = nullptr;
}

void ServerSocket::pause_reading() {
  reading_ = false;
  update_interest();
}

void ServerSocket::resume_reading() {
  if (reading_) return;
  reading_ = true;
  update_interest();
  // TLS may hold bytes that the kernel has handed over already: no event will come for them.
  if (tls_ != nullptr && SSL_pending(tls_) > 0) read_once();
}

void ServerSocket::update_interest() {
  if (!poll_ || broken_) return;
  int wanted = 0;
  if (reading_ || tls_write_wants_read_) wanted |= UV_READABLE;
  if ((!unsent_.empty() && !tls_write_wants_read_) || tls_read_wants_write_) wanted |= UV_WRITABLE;
  // A server whose answers nobody takes at the moment still may die: that must be seen.
  if (wanted == 0) wanted = UV_DISCONNECT;
  if (wanted == watched_) return;
  watched_ = wanted;
  uv_poll_start(poll_.get(), wanted, [](uv_poll_t* poll, int status, int events) {
    if (poll->data) static_cast<ServerSocket*>(poll->data)->ready(status, events);
  });
}

void ServerSocket::ready(int status, int events) {
  if (status < 0) {
    // EPOLLERR: libuv has stopped the handle. What was received before the error may still be read.
    watched_ = 0;
    const int error = socket_error(fd_);
    if (!reading_) return end(error != 0 ? error : ECONNRESET);
    return read_once();
  }
  if ((events & UV_DISCONNECT) != 0 && !reading_) {
    // Hung up while paused: what it sent last is read when the client has room again, and then its end.
    if (const int error = socket_error(fd_); error != 0) return end(error);
    uv_poll_stop(poll_.get());
    watched_ = UV_DISCONNECT;  // stopped, but for update_interest() as good as watched: it would tell the
                               // same for ever
    return;
  }
  if ((events & UV_WRITABLE) != 0 || (tls_write_wants_read_ && (events & UV_READABLE) != 0)) {
    flush();
    if (!poll_ || broken_) return;
  }
  if (((events & UV_READABLE) != 0 || tls_read_wants_write_) && reading_) read_once();
}

void ServerSocket::read_once() {
  if (tls_ == nullptr) {
    const ssize_t size = recv(fd_, buffer_->data(), ReadBuffer::kSize, 0);
    if (size > 0) {
      if (watched_ == 0) update_interest();
      return events_.on_server_bytes({buffer_->data(), static_cast<size_t>(size)});
    }
    if (size == 0) return end(0);
    if (errno != EAGAIN && errno != EINTR) return end(errno);
    if (watched_ == 0) update_interest();
    return;
  }
  // TLS: records are up to 16 KiB; fill the buffer as far as they are there, so that nothing is left without
  // an event.
  size_t filled = 0;
  tls_read_wants_write_ = false;
  while (filled < ReadBuffer::kSize) {
    ERR_clear_error();
    const int size = SSL_read(tls_, buffer_->data() + filled, static_cast<int>(ReadBuffer::kSize - filled));
    if (size > 0) {
      filled += static_cast<size_t>(size);
      continue;
    }
    const int reason = SSL_get_error(tls_, size);
    if (reason == SSL_ERROR_WANT_READ) break;
    if (reason == SSL_ERROR_WANT_WRITE) {
      tls_read_wants_write_ = true;
      break;
    }
    const int error = reason == SSL_ERROR_ZERO_RETURN ? 0 : (reason == SSL_ERROR_SYSCALL ? errno : EPROTO);
    if (filled == 0) return end(error);
    break;  // hand out what came before; the next read meets the end again
  }
  update_interest();
  if (filled > 0) events_.on_server_bytes({buffer_->data(), filled});
  // Anything may have happened in the call: look only at what a level-triggered descriptor would not tell
  // again.
}

ServerSocket::Io ServerSocket::send(const char* data, size_t size, size_t& sent) {
  if (tls_ == nullptr) {
    const ssize_t result = ::send(fd_, data, size, MSG_NOSIGNAL);
    if (result >= 0) {
      sent = static_cast<size_t>(result);
      return Io::Done;
    }
    return errno == EAGAIN || errno == EINTR ? Io::Again : Io::Broken;
  }
  ERR_clear_error();
  tls_write_wants_read_ = false;
  const int result = SSL_write(tls_, data, static_cast<int>(std::min<size_t>(size, INT_MAX)));
  if (result > 0) {
    sent = static_cast<size_t>(result);
    return Io::Done;
  }
  const int reason = SSL_get_error(tls_, result);
  if (reason == SSL_ERROR_WANT_READ) tls_write_wants_read_ = true;
  return reason == SSL_ERROR_WANT_READ || reason == SSL_ERROR_WANT_WRITE ? Io::Again : Io::Broken;
}

bool ServerSocket::write(base::Bytes bytes) {
  if (broken_) return false;
  if (unsent_.empty()) {
    size_t sent = 0;
    bool first = true;
    while (!bytes.empty()) {
      const Io io = send(bytes.data(), bytes.size(), sent);
      if (io == Io::Broken) {
        if (first) return false;
        return true;  // a part is gone; reading tells the end
      }
      if (io == Io::Again) break;
      const bool short_write = sent < bytes.size();
      bytes.remove_prefix(sent);
      first = false;
      if (short_write && tls_ == nullptr) break;
    }
    if (bytes.empty()) return true;
  }
  unsent_.append(bytes);
  update_interest();
  return true;
}

void ServerSocket::end_writing(base::Bytes last_words) {
  if (unsent_.empty()) write(last_words);
  unsent_.clear();
  ::shutdown(fd_, SHUT_WR);
  resume_reading();
  update_interest();
}

void ServerSocket::flush() {
  size_t done = 0;
  while (done < unsent_.size()) {
    size_t sent = 0;
    const Io io = send(unsent_.data() + done, unsent_.size() - done, sent);
    if (io == Io::Broken) {
      unsent_.clear();
      update_interest();
      return;  // reading tells the end, after what the server said last
    }
    if (io == Io::Again) break;
    done += sent;
  }
  if (done == 0) return update_interest();
  unsent_.erase(0, done);
  if (unsent_.empty()) {
    unsent_.shrink_to_fit();
    update_interest();
    return events_.on_server_drained();
  }
  update_interest();
}

void ServerSocket::end(int error) {
  broken_ = true;
  if (poll_) uv_poll_stop(poll_.get());
  events_.on_server_end(error);
}

}  // namespace tidepool::event
