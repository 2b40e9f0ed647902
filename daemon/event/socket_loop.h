// A worker's loop. The sockets that work for every query (clients, servers, listening ones) are in an epoll
// set of its own and are read and written directly. libuv's loop keeps what happens seldom (timers, the
// inbox, cancels) and is embedded by its descriptor, as libuv provides for:
// https://docs.libuv.org/en/v1.x/loop.html#c.uv_backend_fd. docs/architecture.md says what is gained.
// Everything here on one thread.
#pragma once

#include <sys/epoll.h>
#include <uv.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>

namespace tidepool::event {

// Of a socket that is only read: told when something comes, not for as long as something is there, which the
// kernel would have to look for behind every read. SocketLoop::has_read() minds what a read may leave there.
inline constexpr uint32_t kWhenSomethingComes = EPOLLIN | EPOLLRDHUP | EPOLLET;

// Something with a descriptor.
class Watched {
 public:
  // EPOLLIN, EPOLLOUT, ... as asked for; EPOLLERR and EPOLLHUP also unasked, again and again until it is
  // removed.
  virtual void on_ready(uint32_t events) = 0;

 protected:
  ~Watched() = default;
};

class SocketLoop {
 public:
  SocketLoop();
  // Waits until libuv has let go of the handles that were closed.
  ~SocketLoop();
  SocketLoop(const SocketLoop&) = delete;
  SocketLoop& operator=(const SocketLoop&) = delete;

  uv_loop_t* uv() { return &uv_; }

  // An errno, or 0. Level-triggered, but for kWhenSomethingComes.
  int add(int fd, uint32_t events, Watched& watched);
  void change(int fd, uint32_t events, Watched& watched);
  // `size` of at most `most` bytes were read, on being told `events`. If it is watched by
  // kWhenSomethingComes, what may be left (the buffer was full, an end came behind what was read) is told of
  // again.
  void has_read(int fd, uint32_t watched_for, size_t size, size_t most, uint32_t events, Watched& watched) {
    const bool may_be_more = size == most || (events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0;
    if (watched_for == kWhenSomethingComes && may_be_more) change(fd, watched_for, watched);
  }
  // Before `fd` is closed. What was about to be told to `watched` is not.
  void remove(int fd, Watched& watched);

  // Until stop(). `end_turn` is called when all that was ready has been told, before anything is waited for.
  void run(const std::function<void()>& end_turn);
  void stop() { stopped_ = true; }
  // What is ready now, without waiting: for tests.
  void turn() {
    turn(0, [] {});
  }

 private:
  static constexpr int kEventsPerTurn = 256;
  void turn(int longest_wait, const std::function<void()>& end_turn);

  uv_loop_t uv_;
  int fd_;
  bool stopped_ = false;
  // 0 .. told_ .. ready_    of this turn
  int told_ = 0, ready_ = 0;
  std::array<epoll_event, kEventsPerTurn> events_;
};

}  // namespace tidepool::event
