// Listening sockets that the service manager opened for us and handed over (systemd's socket activation,
// sd_listen_fds(3)), until the entries of `listen` claim them by their addresses. What is claimed belongs to
// the claimer; the rest is closed.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "lib/base/result.h"

namespace tidepool::daemon {

// So many clients may wait in the kernel's queue of a listening socket, whoever opened it.
inline constexpr int kListenBacklog = 4096;

class InheritedSockets {
 public:
  // Takes all of them, and the environment's word of them. Fails if one is not a listening stream socket.
  static base::Result<InheritedSockets> take();
  // Of these descriptors, each with a name for messages.
  struct Named {
    int fd;
    std::string name;
  };
  static base::Result<InheritedSockets> take(const std::vector<Named>& descriptors);

  InheritedSockets() = default;
  ~InheritedSockets();
  InheritedSockets(InheritedSockets&& other) noexcept = default;
  InheritedSockets& operator=(InheritedSockets&& other) noexcept;

  // The descriptor that listens there, or -1.
  int claim_unix(const std::string& path);
  int claim_tcp(const void* address);
  // One that listens on every address of both families, as systemd's ListenStream=PORT does.
  bool has_dual_stack(uint16_t port) const;

  // An error if one is left that no entry of `listen` has claimed.
  base::Status all_are_claimed() const;

 private:
  struct Socket {
    int fd;
    std::string name;     // the manager's, FileDescriptorName=
    std::string address;  // the sockaddr's bytes
  };
  int claim(std::vector<Socket>::iterator socket);

  std::vector<Socket> sockets_;
};

}  // namespace tidepool::daemon
