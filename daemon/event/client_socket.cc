#include "daemon/event/client_socket.h"

#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>

#include "daemon/event/socket_calls.h"

namespace tidepool::event {

ClientSocket::ClientSocket(int fd, SocketLoop& loop, ReadBuffer& buffer, ClientSocketEvents& events)
    : loop_(loop), buffer_(buffer), events_(events), fd_(fd) {}

// Closing it would take it out of the set as well, but not while somebody else refers to the socket, if only
// for a moment: who lists the descriptors in /proc does.
ClientSocket::~ClientSocket() {
  if (watched_ != 0) loop_.remove(fd_, *this);
  ::close(fd_);
}

int ClientSocket::open() {
  if (const int error = loop_.add(fd_, kWhenSomethingComes, *this); error != 0) return error;
  watched_ = kWhenSomethingComes;
  reading_ = true;
  return 0;
}

void ClientSocket::resume_reading() {
  if (reading_ || broken_) return;
  reading_ = true;
  update_interest();
}

// A pause costs no system call: only if something comes meanwhile is the interest taken back.
void ClientSocket::update_interest() {
  uint32_t wanted = reading_ ? kWhenSomethingComes : 0;
  if (!unsent_.empty()) wanted = (reading_ ? EPOLLIN : 0u) | EPOLLOUT;
  if (wanted == watched_) return;
  if (wanted == 0) {
    loop_.remove(fd_, *this);
  } else if (watched_ != 0) {
    loop_.change(fd_, wanted, *this);
  } else if (loop_.add(fd_, wanted, *this) != 0) {
    return;  // no memory in the kernel: as if the peer were silent; time limits end it
  }
  watched_ = wanted;
}

void ClientSocket::on_ready(uint32_t events) {
  const bool is_over = (events & (EPOLLERR | EPOLLHUP)) != 0;
  if (!unsent_.empty() && ((events & EPOLLOUT) != 0 || is_over)) flush();
  if (!reading_) return update_interest();
  if ((events & EPOLLIN) != 0 || is_over) read(events);
}

void ClientSocket::read(uint32_t events) {
  const ssize_t size = receive(fd_, buffer_.data(), ReadBuffer::kSize);
  if (size > 0) {
    const auto here = static_cast<size_t>(size);
    loop_.has_read(fd_, watched_, here, ReadBuffer::kSize, events, *this);
    return events_.on_client_bytes({buffer_.data(), here});
  }
  const int error = size == 0 ? 0 : errno;
  if (error == EAGAIN || error == EINTR) return;
  reading_ = false;
  broken_ = true;
  events_.on_client_end(error);
}

void ClientSocket::write(base::Bytes bytes) {
  if (broken_ || bytes.empty()) return;
  if (unsent_.empty()) {
    const ssize_t sent = transmit(fd_, bytes.data(), bytes.size());
    if (sent < 0 && errno != EAGAIN && errno != EINTR) return;  // reading tells that the peer is gone
    if (sent > 0) bytes.remove_prefix(static_cast<size_t>(sent));
    if (bytes.empty()) return;
  }
  unsent_.append(bytes);
  update_interest();
}

void ClientSocket::flush() {
  const ssize_t sent = transmit(fd_, unsent_.data(), unsent_.size());
  if (sent < 0 && (errno == EAGAIN || errno == EINTR)) return;
  if (sent < 0 || static_cast<size_t>(sent) == unsent_.size())
    std::string().swap(unsent_);  // an idle client keeps no buffer
  else
    unsent_.erase(0, static_cast<size_t>(sent));
  if (!unsent_.empty()) return;
  update_interest();
  events_.on_client_drained();
}

bool ClientSocket::peer_has_left() const {
  pollfd poll_fd{fd_, POLLRDHUP, 0};
  return ::poll(&poll_fd, 1, 0) > 0 && (poll_fd.revents & (POLLRDHUP | POLLHUP | POLLERR)) != 0;
}

}  // namespace tidepool::event
