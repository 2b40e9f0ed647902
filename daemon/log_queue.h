// Lines on their way to the log: said by any thread, written by one of its own, in the order and with the
// time in which they were said. So whoever reads the log and stalls stops nobody: lines that find too many
// waiting are lost, and how many were is said as soon as there is room.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <mutex>
#include <string>
#include <thread>
#include <utility>
#include <variant>

#include "lib/config/settings.h"

namespace tidepool::daemon {

pid_t this_threads_id();

struct LogLine {
  config::LogLevel level{};
  std::string text;
  std::chrono::system_clock::time_point time = std::chrono::system_clock::now();
  pid_t said_by = this_threads_id();
};

class LogQueue {
 public:
  static constexpr size_t kMost = 8192;
  using Write = std::function<void(const LogLine&)>;

  // `write` is called by one thread at a time, and may hang.
  explicit LogQueue(Write write) : write_(std::move(write)) {}

  // Before start() and behind finish() a line is written by who says it.
  void start();
  // Any thread; waits for no reader.
  void put(LogLine line);
  // `change` is done between the lines said before it and those behind it, and is never lost.
  void change(std::function<void()> change);
  // Until all that waits is written, `at_most`. False: it hangs in a line, and this object must stay.
  bool finish(std::chrono::milliseconds at_most);

 private:
  using Item = std::variant<LogLine, std::function<void()>>;

  void add(Item item);
  void work();
  void carry_out(const Item& item) const;

  const Write write_;
  std::thread thread_;
  std::mutex mutex_;  // of what follows; the thread does not hold it while it writes
  std::condition_variable something_, ended_;
  bool is_apart_ = false;  // the thread runs
  bool is_ending_ = false;
  std::deque<Item> items_;
  uint64_t lost_ = 0;  // not 0: the queue was full, and lines are lost until half of it is written
};

}  // namespace tidepool::daemon
