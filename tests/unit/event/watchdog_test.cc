// Workers' loops on threads of their own, one of which does not come back from what it does.
#include "daemon/watchdog.h"

#include <doctest/doctest.h>
#include <uv.h>

#include <future>
#include <memory>
#include <thread>
#include <vector>

#include "daemon/event/inbox.h"

namespace tidepool::daemon {

namespace {

// A loop that does what it is told.
class Turning {
 public:
  Turning() {
    uv_loop_init(&loop_);
    inbox_ = std::make_unique<event::Inbox<std::function<void()>>>(&loop_, [](const auto& work) { work(); });
    thread_ = std::thread([this] { uv_run(&loop_, UV_RUN_DEFAULT); });
  }
  ~Turning() {
    tell([this] { uv_stop(&loop_); });
    thread_.join();
    inbox_.reset();
    uv_run(&loop_, UV_RUN_DEFAULT);
    uv_loop_close(&loop_);
  }
  Turning(const Turning&) = delete;
  Turning& operator=(const Turning&) = delete;

  void tell(std::function<void()> work) { inbox_->post(std::move(work)); }
  // Everything told before is done.
  void finish() {
    std::promise<void> done;
    tell([&done] { done.set_value(); });
    done.get_future().wait();
  }

 private:
  uv_loop_t loop_;
  std::unique_ptr<event::Inbox<std::function<void()>>> inbox_;
  std::thread thread_;
};

}  // namespace

TEST_CASE("the watchdog is fed when every loop has turned since the last look, and not while one hangs") {
  Turning workers[3];
  int fed = 0;
  Watchdog watchdog(
      3, [&](unsigned worker, Beats& beats) { workers[worker].tell([&beats] { ++beats; }); }, [&] { ++fed; });
  const auto look = [&](std::vector<unsigned> turning) {
    watchdog.look();
    for (unsigned worker : turning) workers[worker].finish();
  };

  look({0, 1, 2});
  CHECK(fed == 0);  // nobody has been asked before
  look({0, 1, 2});
  CHECK(fed == 1);

  std::promise<void> release;
  workers[1].tell([&release] { release.get_future().wait(); });
  look({0, 2});
  CHECK(fed == 2);  // the beat of before it hung
  for (int looks = 0; looks < 5; ++looks) look({0, 2});
  CHECK(fed == 2);

  release.set_value();
  workers[1].finish();
  look({0, 1, 2});
  look({0, 1, 2});
  CHECK(fed == 4);
}

}  // namespace tidepool::daemon
