#include "daemon/server_stream.h"

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <system_error>

#include "lib/session/login_stream.h"
#include "lib/wire/frame_cursor.h"
#include "lib/wire/message_reader.h"

namespace tidepool::daemon {
namespace {

using base::Done;
using base::Error;

constexpr size_t kMostKept = session::LoginStream::kMostBytes;

Error connection_lost(const std::string& how) {
  return {"08006", "the connection was lost after login: " + how};
}

}  // namespace

Wait wait_for(int fd, short events, Deadline deadline, int stop_fd) {
  std::array<pollfd, 2> watched{{{fd, events, 0}, {stop_fd, POLLIN, 0}}};
  while (true) {
    const auto left =
        std::chrono::ceil<std::chrono::milliseconds>(deadline - std::chrono::steady_clock::now());
    if (left.count() <= 0) return Wait::TimedOut;
    const int ready =
        poll(watched.data(), watched.size(), static_cast<int>(std::min<int64_t>(left.count(), 60'000)));
    if (ready < 0 && errno != EINTR) return Wait::TimedOut;
    if (ready > 0) return watched[1].revents != 0 ? Wait::Stopped : Wait::Ready;
  }
}

base::Result<ServerStream::Answer> ServerStream::ask(base::Bytes request, Deadline deadline,
                                                     session::ParameterMap& parameters, base::Bytes before) {
  if (auto sent = send(request, deadline); !sent) return sent.error();

  static const wire::TypeSet kWanted{'E', 'S', 'Z'};
  Answer answer{'\0'};
  Error misfit;
  wire::FrameCursor cursor;
  std::string unread(before);
  while (true) {
    const auto walked = cursor.walk(unread, kWanted, [&](const wire::Message& message) {
      switch (message.type) {
        case 'N':
        case 'A':
          return wire::Walk::Go;
        case 'S':
          if (!parameters.apply_status(message.body))
            misfit = {"08P01", "the server sent a malformed ParameterStatus, or more than any server would"};
          return wire::Walk::Go;
        case 'Z':
          if (message.body.size() != 1 || answer.status)
            misfit = {"08P01", "the server sent a ReadyForQuery out of turn"};
          if (message.body.size() == 1) answer.status = message.body.front();
          return wire::Walk::Go;
        case 'E':
          answer.only_ready = false;
          if (answer.error.message.empty()) answer.error = wire::read_error(message.body);
          return wire::Walk::Go;
        case 'G':
        case 'W':
          misfit = {"0A000", "the server waits for COPY data"};
          return wire::Walk::StopAfter;
        default:
          answer.only_ready = false;
          return wire::Walk::Go;
      }
    });
    if (walked.broken) return connection_lost("what the server sent is no message");
    // What is kept of a server is bounded.
    if (walked.needed > kMostKept) misfit = {"08P01", "the server said more in answer than any server would"};
    if (!misfit.message.empty()) return misfit;
    unread.erase(0, walked.consumed);
    const bool all_read = unread.empty() && cursor.between_messages() && (!tls_ || SSL_pending(tls_) == 0);
    if (answer.status && all_read) return answer;
    if (auto received = receive(unread, deadline); !received) {
      if (!answer.error.message.empty()) return answer.error;  // FATAL, then the end of the stream
      return received.error();
    }
  }
}

void ServerStream::cancel(base::Bytes address, base::Bytes request, Deadline deadline, int stop_fd) {
  if (address.empty()) return;
  const auto* to = reinterpret_cast<const sockaddr*>(address.data());
  const int fd = socket(to->sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0) return;
  const bool connects = connect(fd, to, static_cast<socklen_t>(address.size())) == 0 || errno == EINPROGRESS;
  if (connects && wait_for(fd, POLLOUT, deadline, stop_fd) == Wait::Ready) {
    ServerStream stream(fd, nullptr, stop_fd);
    std::string nothing;
    if (stream.send(request, deadline)) (void)stream.receive(nothing, deadline);
  }
  close(fd);
}

base::Status ServerStream::send(base::Bytes bytes, Deadline deadline) {
  while (!bytes.empty()) {
    size_t sent = 0;
    if (tls_) {
      ERR_clear_error();
      const int result = SSL_write_ex(tls_, bytes.data(), bytes.size(), &sent);
      if (result <= 0) {
        if (auto waited = wait_for_tls(result, deadline); !waited) return waited;
        continue;
      }
    } else {
      const ssize_t result = ::send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (result < 0) {
        if (errno == EINTR) continue;
        if (errno != EAGAIN && errno != EWOULDBLOCK)
          return connection_lost(std::generic_category().message(errno));
        if (auto waited = wait(POLLOUT, deadline); !waited) return waited;
        continue;
      }
      sent = static_cast<size_t>(result);
    }
    bytes.remove_prefix(sent);
  }
  return Done{};
}

base::Status ServerStream::receive(std::string& into, Deadline deadline) {
  std::array<char, 8192> buffer;
  while (true) {
    if (tls_) {
      ERR_clear_error();
      size_t received = 0;
      const int result = SSL_read_ex(tls_, buffer.data(), buffer.size(), &received);
      if (result > 0) {
        into.append(buffer.data(), received);
        return Done{};
      }
      if (auto waited = wait_for_tls(result, deadline); !waited) return waited;
    } else {
      const ssize_t result = recv(fd_, buffer.data(), buffer.size(), 0);
      if (result > 0) {
        into.append(buffer.data(), static_cast<size_t>(result));
        return Done{};
      }
      if (result == 0) return connection_lost("the server closed it");
      if (errno == EINTR) continue;
      if (errno != EAGAIN && errno != EWOULDBLOCK)
        return connection_lost(std::generic_category().message(errno));
      if (auto waited = wait(POLLIN, deadline); !waited) return waited;
    }
  }
}

base::Status ServerStream::wait(short events, Deadline deadline) {
  switch (wait_for(fd_, events, deadline, stop_fd_)) {
    case Wait::Ready:
      return Done{};
    case Wait::TimedOut:
      return connection_lost("the time for an answer is over");
    case Wait::Stopped:
      return connection_lost("the dialer stops");
  }
  return Done{};
}

base::Status ServerStream::wait_for_tls(int result, Deadline deadline) {
  switch (SSL_get_error(tls_, result)) {
    case SSL_ERROR_WANT_READ:
      return wait(POLLIN, deadline);
    case SSL_ERROR_WANT_WRITE:
      return wait(POLLOUT, deadline);
    case SSL_ERROR_ZERO_RETURN:
      return connection_lost("the server closed it");
    default: {
      const unsigned long code = ERR_peek_error();
      const char* reason = code ? ERR_reason_error_string(code) : nullptr;
      return connection_lost(reason ? reason : "the server closed it");
    }
  }
}

}  // namespace tidepool::daemon
