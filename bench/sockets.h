// Unix sockets and epoll, as far as the programs beside this file need them. What cannot go on ends the
// program: these are measuring instruments, not services.
#pragma once

#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <span>
#include <string>

namespace tidepool::bench {

[[noreturn]] inline void die(const std::string& what) {
  std::fprintf(stderr, "%s: %s\n", what.c_str(), std::strerror(errno));
  std::exit(1);
}

inline void raise_descriptor_limit() {
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) die("getrlimit");
  limit.rlim_cur = limit.rlim_max;
  if (setrlimit(RLIMIT_NOFILE, &limit) != 0) die("setrlimit");
}

class UnixAddress {
 public:
  explicit UnixAddress(const std::string& path) {
    if (path.size() >= sizeof address_.sun_path) {
      errno = ENAMETOOLONG;
      die(path);
    }
    address_.sun_family = AF_UNIX;
    path.copy(address_.sun_path, path.size());
  }
  const sockaddr* get() const { return reinterpret_cast<const sockaddr*>(&address_); }
  socklen_t size() const { return sizeof address_; }

 private:
  sockaddr_un address_{};
};

// For everybody: not all that is measured runs as the same user.
inline int listen_at(const std::string& path) {
  const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  const UnixAddress address(path);
  unlink(path.c_str());
  if (fd < 0 || bind(fd, address.get(), address.size()) != 0 || chmod(path.c_str(), 0777) != 0 ||
      listen(fd, 4096) != 0)
    die(path);
  return fd;
}

// Waits while the peer's queue is full; the socket does not block afterwards. -1: nobody listens.
inline int connect_to(const UnixAddress& address) {
  const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0) die("socket");
  if (connect(fd, address.get(), address.size()) != 0 || fcntl(fd, F_SETFL, O_NONBLOCK) != 0) {
    close(fd);
    return -1;
  }
  return fd;
}

class Epoll {
 public:
  Epoll() : fd_(epoll_create1(EPOLL_CLOEXEC)) {
    if (fd_ < 0) die("epoll_create1");
  }
  ~Epoll() { close(fd_); }
  Epoll(const Epoll&) = delete;
  Epoll& operator=(const Epoll&) = delete;

  void add(int fd, uint32_t events, void* owner) { control(EPOLL_CTL_ADD, fd, events, owner); }
  void change(int fd, uint32_t events, void* owner) { control(EPOLL_CTL_MOD, fd, events, owner); }

  std::span<const epoll_event> wait(int milliseconds = -1) {
    const int count = epoll_wait(fd_, events_.data(), static_cast<int>(events_.size()), milliseconds);
    if (count < 0 && errno != EINTR) die("epoll_wait");
    return {events_.data(), static_cast<size_t>(count < 0 ? 0 : count)};
  }

 private:
  void control(int operation, int fd, uint32_t events, void* owner) {
    epoll_event event{};
    event.events = events;
    event.data.ptr = owner;
    if (epoll_ctl(fd_, operation, fd, &event) != 0) die("epoll_ctl");
  }

  int fd_;
  std::array<epoll_event, 256> events_;
};

}  // namespace tidepool::bench
