#include "daemon/event/server_socket.h"

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <new>
#include <utility>

#include "daemon/event/socket_calls.h"

namespace tidepool::event {

namespace {

int socket_error(int fd) {
  int error = 0;
  socklen_t size = sizeof error;
  if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size) != 0) return errno;
  return error;
}

}  // namespace

void ServerSocket::watch(SocketLoop& loop, ReadBuffer& buffer) {
  loop_ = &loop;
  buffer_ = &buffer;
  watched_ = 0;
  update_interest();
}

void ServerSocket::unwatch() {
  leave_set();
  loop_ = nullptr;
  buffer_ = nullptr;
}

void ServerSocket::leave_set() {
  if (std::exchange(is_in_set_, false)) loop_->remove(fd_, *this);
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
  if (tls_ != nullptr && SSL_pending(tls_) > 0) read_once(0);
}

void ServerSocket::update_interest() {
  if (loop_ == nullptr || broken_) return;
  uint32_t wanted = 0;
  if (reading_ || tls_write_wants_read_) wanted |= EPOLLIN;
  if (wanted == EPOLLIN && unsent_.empty() && tls_ == nullptr) wanted = kWhenSomethingComes;
  if ((!unsent_.empty() && !tls_write_wants_read_) || (tls_read_wants_write_ && reading_)) wanted |= EPOLLOUT;
  // A server whose answers nobody takes at the moment still may die: that must be seen.
  if (wanted == 0) wanted = EPOLLRDHUP;
  if (wanted == watched_) return;
  watched_ = wanted;
  if (is_in_set_) return loop_->change(fd_, wanted, *this);
  // The kernel has no memory: nor will it have for anything else.
  if (loop_->add(fd_, wanted, *this) != 0) throw std::bad_alloc();
  is_in_set_ = true;
}

void ServerSocket::on_ready(uint32_t events) {
  if ((events & EPOLLERR) != 0) {
    // What was received before the error may still be read.
    if (reading_) return read_once(events);
    const int error = socket_error(fd_);
    return end(error != 0 ? error : ECONNRESET);
  }
  if ((events & EPOLLHUP) != 0) events |= watched_;
  if ((events & EPOLLRDHUP) != 0 && !reading_) {
    // Hung up while paused: what it sent last is read when the client has room again, and then its end.
    if (const int error = socket_error(fd_); error != 0) return end(error);
    leave_set();  // it would tell the same for ever; for update_interest() it is as good as watched
    watched_ = EPOLLRDHUP;
    return;
  }
  if ((events & EPOLLOUT) != 0 || (tls_write_wants_read_ && (events & EPOLLIN) != 0)) {
    flush();
    if (loop_ == nullptr || broken_) return;
  }
  if (((events & EPOLLIN) != 0 || tls_read_wants_write_) && reading_) read_once(events);
}

void ServerSocket::read_once(uint32_t events) {
  if (tls_ == nullptr) {
    const ssize_t size = receive(fd_, buffer_->data(), ReadBuffer::kSize);
    if (size > 0) {
      const auto here = static_cast<size_t>(size);
      loop_->has_read(fd_, watched_, here, ReadBuffer::kSize, events, *this);
      return events_.on_server_bytes({buffer_->data(), here});
    }
    if (size == 0) return end(0);
    if (errno != EAGAIN && errno != EINTR) end(errno);
    return;
  }
  // TLS: records are up to 16 KiB, and what is left of one in OpenSSL would have no event: only whole ones
  // are asked for.
  size_t filled = 0;
  tls_read_wants_write_ = false;
  while (ReadBuffer::kSize - filled >= SSL3_RT_MAX_PLAIN_LENGTH) {
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
    const ssize_t result = transmit(fd_, data, size);
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
  leave_set();
  events_.on_server_end(error);
}

}  // namespace tidepool::event
