#include "daemon/login_tap.h"

#include <fcntl.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <system_error>
#include <utility>

namespace tidepool::daemon {

namespace {

using base::Done;
using base::Error;

constexpr const char* kNoConnection = "08001";
constexpr size_t kPiece = 8192;

Error system_error(const char* what) {
  return {kNoConnection, std::string(what) + ": " + std::generic_category().message(errno)};
}

void wipe(std::string& bytes) {
  explicit_bzero(bytes.data(), bytes.size());
  bytes.clear();
}

// Byte1 content type, Byte2 version, Int16 length. Anything else is handed on as it is: OpenSSL knows words
// for it.
constexpr size_t kRecordHeader = 5;
bool is_record(std::string_view header) {
  const auto type = static_cast<unsigned char>(header[0]);
  return type >= SSL3_RT_CHANGE_CIPHER_SPEC && type <= SSL3_RT_APPLICATION_DATA + 1 &&
         header[1] == SSL3_VERSION_MAJOR;
}

}  // namespace

LoginTap::~LoginTap() {
  if (is_in_place()) pass_on();
  close_all();
}

void LoginTap::close_all() {
  libpq_fd_ = -1;
  for (int* fd : {&pair_fd_, &server_fd_})
    if (const int open = std::exchange(*fd, -1); open >= 0) close(open);
  wipe(to_server_);
}

base::Status LoginTap::put_under(int libpq_fd) {
  close_all();
  tls_is_up_ = has_ended_ = false;
  stream_ = {};
  std::array<int, 2> pair{-1, -1};
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair.data()) != 0)
    return system_error("could not create a socket pair");
  pair_fd_ = pair[1];
  server_fd_ = fcntl(libpq_fd, F_DUPFD_CLOEXEC, 0);
  const bool is_under = server_fd_ >= 0 && dup3(pair[0], libpq_fd, O_CLOEXEC) >= 0;
  const auto failed = system_error("could not duplicate a descriptor");
  close(pair[0]);
  if (!is_under) return failed;
  libpq_fd_ = libpq_fd;
  return Done{};
}

base::Status LoginTap::take_away(ssl_st* tls) {
  if (!is_in_place()) return Done{};
  pass_on();
  if (!is_in_place()) return Error{kNoConnection, "the connection was closed at the end of its login"};
  std::array<char, kPiece> dropped;
  while (tls != nullptr && SSL_pending(tls) > 0 && SSL_read(tls, dropped.data(), dropped.size()) > 0) {
  }
  if (dup3(server_fd_, libpq_fd_, O_CLOEXEC) < 0) return system_error("could not duplicate a descriptor");
  close_all();
  return Done{};
}

void LoginTap::pass_on() {
  std::array<char, kPiece> piece;
  bool is_closed = false;
  while (true) {
    const ssize_t size = recv(pair_fd_, piece.data(), piece.size(), 0);
    if (size < 0 && errno == EINTR) continue;
    if (size <= 0) {
      is_closed = size == 0;
      break;
    }
    stream_.asked();  // if it is in: this is no part of the login
    to_server_.append(piece.data(), static_cast<size_t>(size));
  }
  explicit_bzero(piece.data(), piece.size());
  send_on();
  if (is_closed) close_all();
}

void LoginTap::send_on() {
  size_t sent = 0;
  while (sent < to_server_.size()) {
    const ssize_t size = send(server_fd_, to_server_.data() + sent, to_server_.size() - sent, MSG_NOSIGNAL);
    if (size < 0 && errno == EINTR) continue;
    if (size < 0) {
      if (errno != EAGAIN) sent = to_server_.size();  // the connection is broken: reading tells
      break;
    }
    sent += static_cast<size_t>(size);
  }
  if (sent == 0) return;
  explicit_bzero(to_server_.data(), sent);
  to_server_.erase(0, sent);
}

bool LoginTap::has_more_for_libpq(ssl_st* tls) const {
  int unread = 0;
  if (ioctl(libpq_fd_, FIONREAD, &unread) == 0 && unread > 0) return true;
  return tls != nullptr && SSL_pending(tls) > 0;
}

base::Result<Wait> LoginTap::receive(std::string& into, size_t most, Deadline deadline) {
  std::array<char, kPiece> piece;
  while (true) {
    send_on();
    const ssize_t size = recv(server_fd_, piece.data(), std::min(most, piece.size()), 0);
    if (size > 0) {
      into.append(piece.data(), static_cast<size_t>(size));
      return Wait::Ready;
    }
    if (size == 0) {
      has_ended_ = true;
      return Wait::Ready;
    }
    if (errno == EINTR) continue;
    if (errno != EAGAIN && errno != EWOULDBLOCK) return system_error("could not receive data from server");
    const auto events = static_cast<short>(to_server_.empty() ? POLLIN : POLLIN | POLLOUT);
    const Wait waited = wait_for(server_fd_, events, deadline, stop_fd_);
    if (waited != Wait::Ready) return waited;
  }
}

base::Status LoginTap::give(std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t size = send(pair_fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (size < 0 && errno == EINTR) continue;
    if (size < 0) return system_error("could not hand on what the server said");
    bytes.remove_prefix(static_cast<size_t>(size));
  }
  if (has_ended_) shutdown(pair_fd_, SHUT_WR);
  return Done{};
}

base::Result<Wait> LoginTap::feed(Expects expects, ssl_st* tls, Deadline deadline) {
  if (has_ended_) return Error{kNoConnection, "the server closed the connection unexpectedly"};
  if (expects == Expects::Records) return feed_record(tls, deadline);
  std::string piece;
  auto waited = receive(piece, expects == Expects::OneByte ? 1 : kPiece, deadline);
  if (!waited || *waited != Wait::Ready) return waited;
  // Anything else is the beginning of an error message.
  const bool is_about_tls = expects == Expects::OneByte && (piece == "S" || piece == "N");
  if (!is_about_tls)
    if (auto heard = stream_.receive(piece); !heard) return heard.error();
  if (auto given = give(piece); !given) return given.error();
  return Wait::Ready;
}

// One whole record and no byte behind it: what is behind it stays in the kernel, until libpq has taken this
// one.
base::Result<Wait> LoginTap::feed_record(ssl_st* tls, Deadline deadline) {
  while (true) {
    tls_is_up_ = tls_is_up_ || SSL_is_init_finished(tls) != 0;
    std::string record;
    size_t size = kRecordHeader;
    while (record.size() < size && !has_ended_) {
      auto waited = receive(record, size - record.size(), deadline);
      if (!waited || *waited != Wait::Ready) return waited;
      if (record.size() == kRecordHeader && is_record(record))
        size += static_cast<unsigned char>(record[3]) << 8U | static_cast<unsigned char>(record[4]);
    }
    if (auto given = give(record); !given) return given.error();
    if (has_ended_ || !tls_is_up_) return Wait::Ready;
    if (auto looked = look_into(tls); !looked) return looked.error();
    pass_on();  // what OpenSSL has answered by itself
    if (SSL_pending(tls) > 0 || (SSL_get_shutdown(tls) & SSL_RECEIVED_SHUTDOWN) != 0) return Wait::Ready;
  }
}

// Into the record that libpq is about to read. It may be none of data: keys, tickets, alerts.
base::Status LoginTap::look_into(ssl_st* tls) {
  std::array<char, SSL3_RT_MAX_PLAIN_LENGTH> data;
  ERR_clear_error();
  size_t size = 0;
  const int result = SSL_peek_ex(tls, data.data(), data.size(), &size);
  if (result > 0) return stream_.receive({data.data(), size});
  const int reason = SSL_get_error(tls, result);
  if (reason == SSL_ERROR_WANT_READ || reason == SSL_ERROR_WANT_WRITE || reason == SSL_ERROR_ZERO_RETURN)
    return Done{};
  // libpq would not find the reason any more.
  const unsigned long code = ERR_peek_error();
  const char* words = code != 0 ? ERR_reason_error_string(code) : nullptr;
  ERR_clear_error();
  return Error{kNoConnection, std::string("SSL error: ") + (words != nullptr ? words : "unknown")};
}

}  // namespace tidepool::daemon
