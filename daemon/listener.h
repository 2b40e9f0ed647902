// A listening socket, and a worker's way to accept on it. The daemon opens each socket once (bind,
// permissions, a stale file removed); every worker accepts for itself on a duplicate of the descriptor, a
// bounded number each turn of its loop.
#pragma once

#include <cstdint>
#include <string>

#include "daemon/event/socket_loop.h"
#include "lib/base/result.h"
#include "lib/config/settings.h"

namespace tidepool::daemon {

class InheritedSockets;
class Worker;

// Owns the descriptor, and the file of a Unix socket, which it removes when destroyed. One that the service
// manager handed over is used as it is, and its file is the manager's.
class ListeningSocket {
 public:
  ~ListeningSocket();
  ListeningSocket(ListeningSocket&& other) noexcept;
  ListeningSocket& operator=(ListeningSocket&& other) noexcept;

  // A name may stand for several addresses: each has a socket of its own, an inherited one if there is one.
  // Errors are sentences with the address in them: "another server is listening on ...", ...
  static base::Result<std::vector<ListeningSocket>> open_all(const config::ListenSettings& settings,
                                                             InheritedSockets& inherited);

  int fd() const { return fd_; }
  const config::ListenSettings& settings() const { return settings_; }
  const std::string& shown_address() const { return shown_; }  // for logs

 private:
  ListeningSocket(int fd, std::string path, std::string shown, config::ListenSettings settings);
  static base::Result<ListeningSocket> open_unix(const config::ListenSettings& settings,
                                                 InheritedSockets& inherited);
  static base::Result<ListeningSocket> open_tcp(const config::ListenSettings& settings, const void* address,
                                                unsigned size, InheritedSockets& inherited);

  int fd_ = -1;
  uint64_t device_ = 0, inode_ = 0;  // of the file that we made: another's is not removed
  std::string path_;                 // of a Unix socket
  std::string lock_path_;
  int lock_fd_ = -1;
  std::string shown_;
  config::ListenSettings settings_;
};

// What a session needs to know of where it came in.
struct ListenerHere {
  enum class Kind : uint8_t { Unix, Tcp } kind;
  auth::AuthMethod auth;
  std::string address;
  int port;
};

class Listener final : public event::Watched {
 public:
  static constexpr int kAcceptsPerTurn = 16;

  Listener(Worker& worker, event::SocketLoop& loop, const ListeningSocket& socket);
  ~Listener();
  Listener(const Listener&) = delete;
  Listener& operator=(const Listener&) = delete;

  // Worker::tick(). Returns whether it wants another one.
  bool tick();

 private:
  void on_ready(uint32_t events) override;
  void listen();

  Worker& worker_;
  event::SocketLoop& loop_;
  ListenerHere here_;
  int fd_;
  bool listens_ = false;  // not: the process is out of descriptors, tick() tries again
  bool warned_ = false;   // of that, since the last client was accepted
};

}  // namespace tidepool::daemon
