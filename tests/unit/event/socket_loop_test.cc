#include "daemon/event/socket_loop.h"

#include <doctest/doctest.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <functional>
#include <vector>

#include "daemon/event/timer.h"

namespace tidepool::event {
namespace {

// A descriptor that is readable from the start.
class Ready final : public Watched {
 public:
  explicit Ready(SocketLoop& loop, std::function<void()> then = {})
      : loop_(loop), then_(std::move(then)), fd_(eventfd(1, EFD_CLOEXEC | EFD_NONBLOCK)) {
    REQUIRE(loop_.add(fd_, EPOLLIN, *this) == 0);
  }
  ~Ready() {
    if (watched_) remove();
    close(fd_);
  }
  Ready(const Ready&) = delete;
  Ready& operator=(const Ready&) = delete;

  void remove() {
    loop_.remove(fd_, *this);
    watched_ = false;
  }
  int told = 0;

 private:
  void on_ready(uint32_t events) override {
    CHECK((events & EPOLLIN) != 0);
    ++told;
    if (then_) then_();
  }

  SocketLoop& loop_;
  std::function<void()> then_;
  int fd_;
  bool watched_ = true;
};

}  // namespace

TEST_CASE("who is removed in a turn is told nothing more in it") {
  SocketLoop loop;
  std::vector<Ready*> all;
  const auto remove_others = [&] {
    for (Ready* each : all)
      if (each->told == 0) each->remove();
  };
  Ready a(loop, remove_others), b(loop, remove_others), c(loop, remove_others);
  all = {&a, &b, &c};
  loop.turn();
  CHECK(a.told + b.told + c.told == 1);
  loop.turn();
  CHECK(a.told + b.told + c.told == 2);
}

TEST_CASE("a timer of libuv's is on time although descriptors are ready all the time") {
  SocketLoop loop;
  int turns = 0;
  Ready busy(loop);
  Timer timer(loop.uv(), [&] { loop.stop(); });
  timer.start(20, 0);
  loop.run([&] { ++turns; });
  CHECK(busy.told > 1);
  CHECK(turns > busy.told);
}

TEST_CASE("a loop without ready descriptors sleeps until its timer is due") {
  SocketLoop loop;
  int turns = 0, ticks = 0;
  Timer timer(loop.uv(), [&] {
    if (++ticks == 3) loop.stop();
  });
  timer.start(5, 5);
  loop.run([&] { ++turns; });
  CHECK(ticks == 3);
  CHECK(turns < 20);  // it does not spin
}

TEST_CASE("a message from another thread wakes a loop that sleeps") {
  SocketLoop loop;
  struct Wake {
    uv_async_t async;
    SocketLoop* loop;
  } wake{{}, &loop};
  uv_async_init(loop.uv(), &wake.async,
                [](uv_async_t* async) { reinterpret_cast<Wake*>(async)->loop->stop(); });
  uv_async_send(&wake.async);
  loop.run([] {});
  uv_close(reinterpret_cast<uv_handle_t*>(&wake.async), nullptr);
  uv_run(loop.uv(), UV_RUN_DEFAULT);
}

}  // namespace tidepool::event
