#include "daemon/event/inbox.h"

#include <doctest/doctest.h>

#include <atomic>
#include <thread>
#include <vector>

#include "daemon/event/timer.h"

namespace tidepool::event {
namespace {

// A loop that ends when its handles are gone.
struct Loop {
  Loop() { uv_loop_init(&loop); }
  ~Loop() {
    uv_run(&loop, UV_RUN_DEFAULT);
    CHECK(uv_loop_close(&loop) == 0);
  }
  uv_loop_t loop;
};

struct Letter {
  int sender;
  int number;
};

}  // namespace

TEST_CASE("messages from four threads arrive whole, once, and in the order of each sender") {
  constexpr int kSenders = 4;
  constexpr int kLetters = 5000;
  Loop own;
  std::vector<int> next(kSenders, 0);
  int received = 0;
  bool in_order = true;
  {
    Inbox<Letter> inbox(&own.loop, [&](Letter letter) {
      in_order = in_order && letter.number == next[static_cast<size_t>(letter.sender)]++;
      if (++received == kSenders * kLetters) uv_stop(&own.loop);
    });
    std::vector<std::thread> senders;
    senders.reserve(kSenders);
    for (int sender = 0; sender < kSenders; ++sender) {
      senders.emplace_back([&inbox, sender] {
        for (int number = 0; number < kLetters; ++number) inbox.post({sender, number});
      });
    }
    uv_run(&own.loop, UV_RUN_DEFAULT);
    for (auto& sender : senders) sender.join();
  }
  CHECK(received == kSenders * kLetters);
  CHECK(in_order);
}

TEST_CASE("what is posted while messages are handled is handled too") {
  Loop own;
  int left = 100;
  {
    Inbox<int> inbox(&own.loop, [&](int) {
      if (--left > 0) {
        inbox.post(left);
      } else {
        uv_stop(&own.loop);
      }
    });
    inbox.post(left);
    uv_run(&own.loop, UV_RUN_DEFAULT);
  }
  CHECK(left == 0);
}

TEST_CASE("a message that nobody handled any more is destroyed with the inbox") {
  Loop own;
  auto counted = std::make_shared<int>(1);
  {
    Inbox<std::shared_ptr<int>> inbox(&own.loop, [](const std::shared_ptr<int>&) {});
    inbox.post(counted);
    CHECK(counted.use_count() == 2);
  }
  CHECK(counted.use_count() == 1);
}

TEST_CASE("a timer repeats until it is stopped") {
  Loop own;
  int rings = 0;
  {
    Timer timer(&own.loop, [&] {
      if (++rings == 3) uv_stop(&own.loop);
    });
    timer.start(1, 1);
    CHECK(timer.is_active());
    uv_run(&own.loop, UV_RUN_DEFAULT);
    timer.stop();
    CHECK_FALSE(timer.is_active());
  }
  CHECK(rings == 3);
}

}  // namespace tidepool::event
