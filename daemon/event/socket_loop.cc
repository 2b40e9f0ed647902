#include "daemon/event/socket_loop.h"

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <system_error>

namespace tidepool::event {

namespace {

[[noreturn]] void fail(int error, const char* what) {
  throw std::system_error(error, std::generic_category(), what);
}

epoll_event event_for(uint32_t events, void* who) {
  epoll_event event{};
  event.events = events;
  event.data.ptr = who;
  return event;
}

}  // namespace

SocketLoop::SocketLoop() : fd_(epoll_create1(EPOLL_CLOEXEC)) {
  if (fd_ < 0) fail(errno, "epoll_create1");
  if (const int error = uv_loop_init(&uv_); error != 0) fail(-error, "uv_loop_init");
  epoll_event event = event_for(EPOLLIN, this);  // stands for libuv: it is nobody's Watched
  if (epoll_ctl(fd_, EPOLL_CTL_ADD, uv_backend_fd(&uv_), &event) != 0) fail(errno, "epoll_ctl");
}

SocketLoop::~SocketLoop() {
  uv_run(&uv_, UV_RUN_DEFAULT);
  uv_loop_close(&uv_);
  ::close(fd_);
}

int SocketLoop::add(int fd, uint32_t events, Watched& watched) {
  epoll_event event = event_for(events, &watched);
  return epoll_ctl(fd_, EPOLL_CTL_ADD, fd, &event) == 0 ? 0 : errno;
}

void SocketLoop::change(int fd, uint32_t events, Watched& watched) {
  epoll_event event = event_for(events, &watched);
  epoll_ctl(fd_, EPOLL_CTL_MOD, fd, &event);
}

void SocketLoop::remove(int fd, Watched& watched) {
  epoll_ctl(fd_, EPOLL_CTL_DEL, fd, nullptr);
  for (int i = told_; i < ready_; ++i)
    if (events_[i].data.ptr == &watched) events_[i].data.ptr = nullptr;
}

void SocketLoop::run(const std::function<void()>& end_turn) {
  while (!stopped_) turn(-1, end_turn);
}

void SocketLoop::turn(int longest_wait, const std::function<void()>& end_turn) {
  // 0: a timer is due, a handle is to be closed, or one is new and not in libuv's own set yet.
  const int uv_wait = uv_backend_timeout(&uv_);
  const int count =
      epoll_wait(fd_, events_.data(), kEventsPerTurn, longest_wait < 0 ? uv_wait : longest_wait);
  uv_update_time(&uv_);  // timers that are started now count from now
  bool uv_is_ready = uv_wait == 0 || count <= 0;
  ready_ = std::max(count, 0);
  for (told_ = 0; told_ < ready_;) {
    const epoll_event& event = events_[told_++];
    if (event.data.ptr == this)
      uv_is_ready = true;
    else if (event.data.ptr != nullptr)
      static_cast<Watched*>(event.data.ptr)->on_ready(event.events);
  }
  told_ = ready_ = 0;
  end_turn();
  if (!uv_is_ready) return;
  uv_run(&uv_, UV_RUN_NOWAIT);
  end_turn();
}

}  // namespace tidepool::event
