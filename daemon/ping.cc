#include "daemon/ping.h"

#include <netdb.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <memory>
#include <string>

#include "lib/base/bytes.h"
#include "lib/wire/startup_codes.h"

namespace tidepool::daemon {

namespace {

constexpr int kPatienceMs = 3000;  // pg_isready's

const char* words_for(Ping result) {
  switch (result) {
    case Ping::Answers:
      return "accepting connections";
    case Ping::Refuses:
      return "rejecting connections";
    case Ping::NoAnswer:
      return "no response";
    case Ping::NotAsked:
      return "no attempt";
  }
  return "";
}

bool is_ready(int fd, short events) {
  pollfd poll_fd{fd, events, 0};
  return ::poll(&poll_fd, 1, kPatienceMs) > 0;
}

bool connects(int fd, const sockaddr* address, socklen_t size) {
  if (::connect(fd, address, size) == 0) return true;
  if (errno != EINPROGRESS || !is_ready(fd, POLLOUT)) return false;
  int error = 0;
  socklen_t length = sizeof error;
  return getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &length) == 0 && error == 0;
}

// A worker answers a request for encryption before it knows who asks.
Ping ask(int family, const sockaddr* address, socklen_t size) {
  const int fd = ::socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0) return Ping::NotAsked;
  Ping result = Ping::NoAnswer;
  if (connects(fd, address, size)) {
    std::string request;
    base::append_u32(request, 8);
    base::append_u32(request, wire::kSslRequestCode);
    char answer = 0;
    if (::send(fd, request.data(), request.size(), MSG_NOSIGNAL) < 0) {
      result = Ping::Refuses;
    } else if (is_ready(fd, POLLIN)) {
      const bool answered = ::recv(fd, &answer, 1, 0) == 1;
      result = answered && (answer == 'N' || answer == 'S') ? Ping::Answers : Ping::Refuses;
    }
  }
  ::close(fd);
  return result;
}

Ping ask_unix(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  path.copy(address.sun_path, sizeof address.sun_path - 1);
  return ask(AF_UNIX, reinterpret_cast<const sockaddr*>(&address), sizeof address);
}

// A name may stand for several addresses: each is listened on.
Ping ask_tcp(const std::string& name, const std::string& port) {
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  // What listens everywhere is asked here.
  const std::string host = name == "*" || name == "0.0.0.0" ? "127.0.0.1" : (name == "::" ? "::1" : name);
  if (getaddrinfo(host.c_str(), port.c_str(), &hints, &found) != 0) return Ping::NotAsked;
  const std::unique_ptr<addrinfo, void (*)(addrinfo*)> owned(found, freeaddrinfo);
  Ping worst = Ping::Answers;
  for (const addrinfo* each = found; each != nullptr; each = each->ai_next)
    worst = std::max(worst, ask(each->ai_family, each->ai_addr, each->ai_addrlen));
  return worst;
}

}  // namespace

Ping ping(const config::Settings& settings) {
  Ping worst = Ping::Answers;
  for (const auto& listen : settings.listen) {
    const std::string port = std::to_string(listen.port);
    const bool is_unix = !listen.unix_directory.empty();
    const Ping result =
        is_unix ? ask_unix(listen.unix_directory + "/.s.PGSQL." + port) : ask_tcp(listen.tcp_address, port);
    std::printf("%s:%s - %s\n", (is_unix ? listen.unix_directory : listen.tcp_address).c_str(), port.c_str(),
                words_for(result));
    worst = std::max(worst, result);
  }
  return worst;
}

}  // namespace tidepool::daemon
