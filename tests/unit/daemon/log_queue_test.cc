#include "daemon/log_queue.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

using namespace std::chrono_literals;
using tidepool::config::LogLevel;
using tidepool::daemon::LogLine;
using tidepool::daemon::LogQueue;

namespace {

// Reads what a queue writes, and stalls when told to.
class Reader {
 public:
  void write(const LogLine& line) {
    std::unique_lock lock(mutex_);
    is_stuck_ = stalls_;
    changed_.notify_all();
    changed_.wait(lock, [this] { return !stalls_; });
    is_stuck_ = false;
    lines.push_back(line);
  }
  void stall(bool does) {
    std::lock_guard lock(mutex_);
    stalls_ = does;
    changed_.notify_all();
  }
  void wait_until_stuck() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return is_stuck_; });
  }
  std::vector<std::string> texts() const {
    std::vector<std::string> texts;
    for (const LogLine& line : lines) texts.push_back(line.text);
    return texts;
  }

  std::vector<LogLine> lines;

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  bool stalls_ = false, is_stuck_ = false;
};

struct Fixture {
  Reader reader;
  LogQueue queue{[this](const LogLine& line) { reader.write(line); }};

  void say(const std::string& text) { queue.put({LogLevel::Info, text}); }
  // The thread hangs in "first", and nothing waits.
  void start_and_stall() {
    reader.stall(true);
    queue.start();
    say("first");
    reader.wait_until_stuck();
  }
};

constexpr const char* kWords = " lines of the log were lost: its reader is too slow";

}  // namespace

TEST_CASE("without a thread a line is written before whoever says it goes on") {
  Fixture log;
  log.say("at once");
  CHECK(log.reader.texts() == std::vector<std::string>{"at once"});
  log.queue.start();
  log.say("apart");
  CHECK(log.queue.finish(10s));
  log.say("at the end");
  CHECK(log.reader.texts() == std::vector<std::string>{"at once", "apart", "at the end"});
  CHECK(log.queue.finish(10s));
}

TEST_CASE("lines keep their order, their time and who said them, however late they are written") {
  Fixture log;
  log.start_and_stall();
  const auto before = std::chrono::system_clock::now();
  log.say("second");
  const auto after = std::chrono::system_clock::now();
  std::this_thread::sleep_for(2ms);
  std::thread([&log] { log.say("third"); }).join();
  log.reader.stall(false);
  CHECK(log.queue.finish(10s));
  CHECK(log.reader.texts() == std::vector<std::string>{"first", "second", "third"});
  CHECK(log.reader.lines[1].time >= before);
  CHECK(log.reader.lines[1].time <= after);
  CHECK(log.reader.lines[0].said_by == tidepool::daemon::this_threads_id());
  CHECK(log.reader.lines[2].said_by != tidepool::daemon::this_threads_id());
}

TEST_CASE("what finds the queue full is lost, and how many were is said where they are missing") {
  Fixture log;
  log.start_and_stall();
  for (size_t i = 0; i < LogQueue::kMost + 5; ++i) log.say(std::to_string(i));
  log.reader.stall(false);
  CHECK(log.queue.finish(10s));
  log.say("last");
  const auto texts = log.reader.texts();
  REQUIRE(texts.size() == 1 + LogQueue::kMost + 2);
  CHECK(texts[LogQueue::kMost] == std::to_string(LogQueue::kMost - 1));
  CHECK(texts[LogQueue::kMost + 1] == "5" + std::string(kWords));
  CHECK(log.reader.lines[LogQueue::kMost + 1].level == LogLevel::Error);
  CHECK(texts.back() == "last");
}

TEST_CASE("with many that say lines each is written or counted, and each one's are in order") {
  Fixture log;
  log.start_and_stall();
  constexpr size_t kThreads = 4, kEach = 10'000;
  std::vector<std::thread> threads;
  for (size_t number = 0; number < kThreads; ++number)
    threads.emplace_back([&log, number] {
      for (size_t i = 0; i < kEach; ++i) {
        if (number == 0 && i == LogQueue::kMost + 1) log.reader.stall(false);  // some are lost
        log.say(std::to_string(number) + " " + std::to_string(i));
      }
    });
  for (auto& thread : threads) thread.join();
  CHECK(log.queue.finish(10s));
  size_t written = 0, lost = 0;
  std::vector<size_t> next(kThreads);
  for (const std::string& text : log.reader.texts()) {
    if (text == "first") continue;
    if (text.ends_with(kWords)) {
      lost += std::stoul(text);
      continue;
    }
    ++written;
    const size_t number = std::stoul(text), i = std::stoul(text.substr(2));
    CHECK(i >= next[number]);
    next[number] = i + 1;
  }
  CHECK(written + lost == kThreads * kEach);
  CHECK(lost > 0);
}

TEST_CASE("a change is done between the lines in front of it and those behind, and is never lost") {
  Fixture log;
  log.start_and_stall();
  log.say("old");
  size_t written_before = 0;
  log.queue.change([&] { written_before = log.reader.lines.size(); });
  for (size_t i = 0; i < LogQueue::kMost; ++i) log.say("new");
  size_t written_before_second = 0;
  log.queue.change([&] { written_before_second = log.reader.lines.size(); });
  log.reader.stall(false);
  CHECK(log.queue.finish(10s));
  CHECK(written_before == 2);
  CHECK(written_before_second == LogQueue::kMost);
}

TEST_CASE("the end does not wait for who reads no more") {
  auto& log = *new Fixture;  // its thread hangs in it
  log.start_and_stall();
  log.say("second");
  const auto began = std::chrono::steady_clock::now();
  CHECK_FALSE(log.queue.finish(50ms));
  CHECK_FALSE(log.queue.finish(50ms));
  CHECK(std::chrono::steady_clock::now() - began < 5s);
  log.say("nobody waits for this either");
}
