// recv() and send() of a plain socket. In a program with threads glibc's are cancellation points, with two
// atomic exchanges around each call; nobody cancels threads here.
#pragma once

#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "lib/base/bytes.h"

namespace tidepool::event {

// As recv(): the size, 0 at the end, -1 and errno.
inline ssize_t receive(int fd, char* buffer, size_t size) {
  return ::syscall(SYS_recvfrom, fd, buffer, size, 0, nullptr, nullptr);
}

// As send() with MSG_NOSIGNAL.
inline ssize_t transmit(int fd, const char* data, size_t size) {
  return ::syscall(SYS_sendto, fd, data, size, MSG_NOSIGNAL, nullptr, 0);
}

}  // namespace tidepool::event
