#include "daemon/listener.h"

#include <fcntl.h>
#include <grp.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pwd.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "daemon/inherited_sockets.h"
#include "daemon/log.h"
#include "daemon/worker.h"

namespace tidepool::daemon {

namespace {

constexpr const char* kInherited = " (handed over by the service manager)";

base::Error failed(const std::string& what, int error) {
  return {"", what + ": " + std::strerror(error)};
}

bool someone_listens(const sockaddr_un& address) {
  const int fd = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0) return false;
  const int result = ::connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address);
  const int error = errno;
  ::close(fd);
  return result == 0 || error == EAGAIN;
}

// "" stays as it is.
base::Result<uid_t> user_id(const std::string& name) {
  if (name.empty()) return static_cast<uid_t>(-1);
  if (const passwd* entry = getpwnam(name.c_str())) return entry->pw_uid;
  return base::Error{"", "there is no user \"" + name + "\""};
}
base::Result<gid_t> group_id(const std::string& name) {
  if (name.empty()) return static_cast<gid_t>(-1);
  if (const group* entry = getgrnam(name.c_str())) return entry->gr_gid;
  return base::Error{"", "there is no group \"" + name + "\""};
}

}  // namespace

ListeningSocket::ListeningSocket(int fd, std::string path, std::string shown, config::ListenSettings settings)
    : fd_(fd), path_(std::move(path)), shown_(std::move(shown)), settings_(std::move(settings)) {
  struct stat file {};
  if (!path_.empty() && ::stat(path_.c_str(), &file) == 0) {
    device_ = file.st_dev;
    inode_ = file.st_ino;
  }
}

ListeningSocket::ListeningSocket(ListeningSocket&& other) noexcept
    : fd_(std::exchange(other.fd_, -1)),
      device_(other.device_),
      inode_(other.inode_),
      path_(std::exchange(other.path_, {})),
      lock_path_(std::exchange(other.lock_path_, {})),
      lock_fd_(std::exchange(other.lock_fd_, -1)),
      shown_(std::move(other.shown_)),
      settings_(std::move(other.settings_)) {}

ListeningSocket& ListeningSocket::operator=(ListeningSocket&& other) noexcept {
  std::swap(fd_, other.fd_);
  std::swap(device_, other.device_);
  std::swap(inode_, other.inode_);
  path_.swap(other.path_);
  lock_path_.swap(other.lock_path_);
  std::swap(lock_fd_, other.lock_fd_);
  shown_.swap(other.shown_);
  std::swap(settings_, other.settings_);
  return *this;
}

ListeningSocket::~ListeningSocket() {
  if (fd_ >= 0) ::close(fd_);
  struct stat file {};
  if (!path_.empty() && ::stat(path_.c_str(), &file) == 0 && file.st_dev == device_ && file.st_ino == inode_)
    ::unlink(path_.c_str());
  if (!lock_path_.empty()) ::unlink(lock_path_.c_str());
  if (lock_fd_ >= 0) ::close(lock_fd_);
}

base::Result<std::vector<ListeningSocket>> ListeningSocket::open_all(const config::ListenSettings& settings,
                                                                     InheritedSockets& inherited) {
  std::vector<ListeningSocket> sockets;
  if (!settings.unix_directory.empty()) {
    auto socket = open_unix(settings, inherited);
    if (!socket) return socket.error();
    sockets.push_back(std::move(*socket));
    return sockets;
  }
  const bool any = settings.tcp_address == "*";
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_PASSIVE;
  addrinfo* found = nullptr;
  const std::string port = std::to_string(settings.port);
  if (const int error =
          getaddrinfo(any ? nullptr : settings.tcp_address.c_str(), port.c_str(), &hints, &found);
      error != 0)
    return base::Error{"", "listening on " + settings.tcp_address + ":" + port + ": " + gai_strerror(error)};
  std::optional<base::Error> wrong;
  const bool one_for_both = any && inherited.has_dual_stack(settings.port);
  for (const addrinfo* each = found; each != nullptr; each = each->ai_next) {
    if (one_for_both && each->ai_family == AF_INET) continue;
    auto socket = open_tcp(settings, each->ai_addr, each->ai_addrlen, inherited);
    if (socket) {
      sockets.push_back(std::move(*socket));
    } else if (!(any && each->ai_family == AF_INET6)) {  // a machine without IPv6 listens on what it has
      wrong = socket.error();
      break;
    }
  }
  freeaddrinfo(found);
  if (wrong) return *wrong;
  return sockets;
}

// A lock file beside the socket makes "replace a stale file, refuse a live one" safe against another daemon
// that starts at the same moment.
base::Result<ListeningSocket> ListeningSocket::open_unix(const config::ListenSettings& settings,
                                                         InheritedSockets& inherited) {
  const std::string path = settings.unix_directory + "/.s.PGSQL." + std::to_string(settings.port);
  if (const int fd = inherited.claim_unix(path); fd >= 0)
    return ListeningSocket(fd, {}, path + kInherited, settings);
  const std::string where = "listening on " + path;
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path)
    return base::Error{
        "", where + ": the path is longer than " + std::to_string(sizeof address.sun_path - 1) + " bytes"};
  std::memcpy(address.sun_path, path.c_str(), path.size() + 1);

  const auto owner = user_id(settings.owner);
  if (!owner) return base::Error{"", where + ": " + owner.error().message};
  const auto group = group_id(settings.group);
  if (!group) return base::Error{"", where + ": " + group.error().message};

  const std::string lock_path = path + ".lock";
  const int lock = ::open(lock_path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
  if (lock < 0) return failed(where + ": cannot open " + lock_path, errno);
  if (::flock(lock, LOCK_EX | LOCK_NB) != 0 || someone_listens(address)) {
    ::close(lock);
    return base::Error{"", where + ": another server is listening there"};
  }
  ListeningSocket socket(-1, {}, path, settings);
  socket.lock_fd_ = lock;
  socket.lock_path_ = lock_path;
  struct stat stale {};
  if (::lstat(path.c_str(), &stale) == 0) {
    if (!S_ISSOCK(stale.st_mode))
      return base::Error{"", where + ": there is a file of that name, and it is not a socket"};
    ::unlink(path.c_str());
  }
  socket.fd_ = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (socket.fd_ < 0) return failed(where, errno);
  // Nobody gets in before owner and mode are as they should be.
  const mode_t before = ::umask(0777);
  const int bound = ::bind(socket.fd_, reinterpret_cast<const sockaddr*>(&address), sizeof address);
  const int bind_error = errno;
  ::umask(before);
  if (bound != 0) return failed(where, bind_error);
  struct stat file {};
  if (::stat(path.c_str(), &file) == 0) {
    socket.path_ = path;
    socket.device_ = file.st_dev;
    socket.inode_ = file.st_ino;
  }
  if ((!settings.owner.empty() || !settings.group.empty()) && ::chown(path.c_str(), *owner, *group) != 0)
    return failed(where + ": setting its owner", errno);
  if (::chmod(path.c_str(), settings.mode) != 0) return failed(where + ": setting its mode", errno);
  if (::listen(socket.fd_, kListenBacklog) != 0) return failed(where, errno);
  return socket;
}

base::Result<ListeningSocket> ListeningSocket::open_tcp(const config::ListenSettings& settings,
                                                        const void* address, unsigned size,
                                                        InheritedSockets& inherited) {
  char host[NI_MAXHOST] = "?";
  const auto* generic = static_cast<const sockaddr*>(address);
  getnameinfo(generic, size, host, sizeof host, nullptr, 0, NI_NUMERICHOST);
  const std::string shown = std::string(host) + ":" + std::to_string(settings.port);
  const std::string where = "listening on " + shown;
  const int claimed = inherited.claim_tcp(address);
  ListeningSocket socket(
      claimed >= 0 ? claimed : ::socket(generic->sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0),
      {}, claimed >= 0 ? shown + kInherited : shown, settings);
  if (socket.fd_ < 0) return failed(where, errno);
  auto set = [&](int level, int option, int value) {
    setsockopt(socket.fd_, level, option, &value, sizeof value);
  };
  // Accepted sockets inherit these from the listening one: no call for each client.
  set(IPPROTO_TCP, TCP_NODELAY, 1);
  if (const auto idle = settings.keepalive.count() / 1'000'000; idle > 0) {
    set(SOL_SOCKET, SO_KEEPALIVE, 1);
    set(IPPROTO_TCP, TCP_KEEPIDLE, static_cast<int>(idle));
    set(IPPROTO_TCP, TCP_KEEPINTVL, 10);
    set(IPPROTO_TCP, TCP_KEEPCNT, 5);
  }
  if (claimed >= 0) return socket;
  set(SOL_SOCKET, SO_REUSEADDR, 1);
  if (generic->sa_family == AF_INET6) set(IPPROTO_IPV6, IPV6_V6ONLY, 1);
  if (::bind(socket.fd_, generic, size) != 0) return failed(where, errno);
  if (::listen(socket.fd_, kListenBacklog) != 0) return failed(where, errno);
  return socket;
}

Listener::Listener(Worker& worker, event::SocketLoop& loop, const ListeningSocket& socket)
    : worker_(worker),
      loop_(loop),
      here_{socket.settings().unix_directory.empty() ? ListenerHere::Kind::Tcp : ListenerHere::Kind::Unix,
            socket.settings().auth,
            socket.settings().unix_directory.empty() ? socket.settings().tcp_address : "unix",
            socket.settings().port},
      fd_(fcntl(socket.fd(), F_DUPFD_CLOEXEC, 0)) {
  listen();
}

Listener::~Listener() {
  if (listens_) loop_.remove(fd_, *this);
  if (fd_ >= 0) ::close(fd_);
}

void Listener::listen() {
  listens_ = loop_.add(fd_, EPOLLIN, *this) == 0;
  if (!listens_) worker_.need_tick();
}

bool Listener::tick() {
  if (!listens_) listen();
  return !listens_;
}

// Not more in a turn, so that those who are inside are served as well: who is left stays in the kernel's
// queue, of which the next turn is told again.
void Listener::on_ready(uint32_t) {
  for (int accepted = 0; accepted < kAcceptsPerTurn; ++accepted) {
    const int fd = ::accept4(fd_, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd >= 0) {
      warned_ = false;
      worker_.adopt_client(fd, here_);
      continue;
    }
    if (errno == EAGAIN) return;
    if (errno == EINTR || errno == ECONNABORTED) continue;
    // Most likely there are no descriptors. Who wants to come in waits in the kernel's queue.
    if (!std::exchange(warned_, true))
      log::warning(std::string("accepting clients: ") + std::strerror(errno) + "; trying again in a moment");
    loop_.remove(fd_, *this);
    listens_ = false;
    return worker_.need_tick();
  }
}

}  // namespace tidepool::daemon
