#include "daemon/inherited_sockets.h"

#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <utility>

namespace tidepool::daemon {

namespace {

constexpr const char* kHandedOver = "a socket handed over by the service manager";

const sockaddr* generic(const std::string& address) {
  return reinterpret_cast<const sockaddr*>(address.data());
}

// Empty: no path, or an abstract one.
std::string path_of(const std::string& address) {
  if (generic(address)->sa_family != AF_UNIX) return {};
  const size_t at = offsetof(sockaddr_un, sun_path);
  if (address.size() <= at || address[at] == '\0') return {};
  return address.substr(at, strnlen(address.data() + at, address.size() - at));
}

// /run and /var/run may be the same folder.
bool is_same_file(const std::string& one, const std::string& other) {
  if (one == other) return true;
  struct stat first {};
  struct stat second {};
  return ::stat(one.c_str(), &first) == 0 && ::stat(other.c_str(), &second) == 0 &&
         first.st_dev == second.st_dev && first.st_ino == second.st_ino;
}

bool is_same_place(const std::string& address, const sockaddr* wanted) {
  const sockaddr* has = generic(address);
  if (has->sa_family != wanted->sa_family) return false;
  if (has->sa_family == AF_INET) {
    const auto* a = reinterpret_cast<const sockaddr_in*>(has);
    const auto* b = reinterpret_cast<const sockaddr_in*>(wanted);
    return a->sin_port == b->sin_port && a->sin_addr.s_addr == b->sin_addr.s_addr;
  }
  if (has->sa_family != AF_INET6) return false;
  const auto* a = reinterpret_cast<const sockaddr_in6*>(has);
  const auto* b = reinterpret_cast<const sockaddr_in6*>(wanted);
  return a->sin6_port == b->sin6_port && a->sin6_scope_id == b->sin6_scope_id &&
         std::memcmp(&a->sin6_addr, &b->sin6_addr, sizeof a->sin6_addr) == 0;
}

std::string shown(const std::string& address) {
  if (generic(address)->sa_family == AF_UNIX) {
    const std::string path = path_of(address);
    return path.empty() ? "an abstract Unix address" : path;
  }
  char host[NI_MAXHOST] = "?";
  char port[NI_MAXSERV] = "?";
  getnameinfo(generic(address), static_cast<socklen_t>(address.size()), host, sizeof host, port, sizeof port,
              NI_NUMERICHOST | NI_NUMERICSERV);
  return std::string(host) + ":" + port;
}

}  // namespace

base::Result<InheritedSockets> InheritedSockets::take() {
  char** names = nullptr;
  const int count = sd_listen_fds_with_names(1, &names);
  if (count < 0) return base::Error{"", std::string("LISTEN_FDS: ") + std::strerror(-count)};
  std::vector<Named> descriptors;
  for (int at = 0; at < count; ++at) {
    descriptors.push_back({SD_LISTEN_FDS_START + at, names[at]});
    std::free(names[at]);
  }
  std::free(names);
  return take(descriptors);
}

base::Result<InheritedSockets> InheritedSockets::take(const std::vector<Named>& descriptors) {
  InheritedSockets taken;
  for (const auto& [fd, name] : descriptors) {
    sockaddr_storage address{};
    socklen_t size = sizeof address;
    if (sd_is_socket(fd, AF_UNSPEC, SOCK_STREAM, 1) <= 0 ||
        getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size) != 0)
      return base::Error{"", std::string(kHandedOver) + " (" + name + ") does not listen for streams"};
    taken.sockets_.push_back({fd, name, std::string(reinterpret_cast<const char*>(&address), size)});
  }
  return taken;
}

InheritedSockets::~InheritedSockets() {
  for (const Socket& socket : sockets_) ::close(socket.fd);
}

InheritedSockets& InheritedSockets::operator=(InheritedSockets&& other) noexcept {
  sockets_.swap(other.sockets_);
  return *this;
}

int InheritedSockets::claim(std::vector<Socket>::iterator socket) {
  if (socket == sockets_.end()) return -1;
  const int fd = socket->fd;
  sockets_.erase(socket);
  // A service manager's waits in accept() when another worker was quicker, or nobody is there any more.
  ::fcntl(fd, F_SETFL, ::fcntl(fd, F_GETFL) | O_NONBLOCK);
  ::listen(fd, kListenBacklog);
  return fd;
}

int InheritedSockets::claim_unix(const std::string& path) {
  return claim(std::find_if(sockets_.begin(), sockets_.end(), [&](const Socket& socket) {
    const std::string its = path_of(socket.address);
    return !its.empty() && is_same_file(its, path);
  }));
}

int InheritedSockets::claim_tcp(const void* address) {
  return claim(std::find_if(sockets_.begin(), sockets_.end(), [&](const Socket& socket) {
    return is_same_place(socket.address, static_cast<const sockaddr*>(address));
  }));
}

bool InheritedSockets::has_dual_stack(uint16_t port) const {
  sockaddr_in6 everything{};
  everything.sin6_family = AF_INET6;
  everything.sin6_port = htons(port);
  return std::any_of(sockets_.begin(), sockets_.end(), [&](const Socket& socket) {
    int v6_only = 1;
    socklen_t size = sizeof v6_only;
    return is_same_place(socket.address, reinterpret_cast<const sockaddr*>(&everything)) &&
           getsockopt(socket.fd, IPPROTO_IPV6, IPV6_V6ONLY, &v6_only, &size) == 0 && v6_only == 0;
  });
}

base::Status InheritedSockets::all_are_claimed() const {
  if (sockets_.empty()) return base::Done{};
  const Socket& left = sockets_.front();
  return base::Error{"", std::string(kHandedOver) + " (" + left.name + ") listens on " + shown(left.address) +
                             ", and no entry of listen has that address"};
}

}  // namespace tidepool::daemon
