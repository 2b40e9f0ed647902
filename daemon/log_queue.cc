#include "daemon/log_queue.h"

#include <pthread.h>
#include <unistd.h>

#include <ctime>

#include "daemon/signals_blocked.h"

namespace tidepool::daemon {

pid_t this_threads_id() {
  thread_local const pid_t kId = gettid();
  return kId;
}

void LogQueue::start() {
  tzset();  // else the thread's first line does, which reads the environment while others may change it
  is_apart_ = true;
  const SignalsBlocked blocked;
  thread_ = std::thread([this] { work(); });
}

void LogQueue::put(LogLine line) {
  std::lock_guard lock(mutex_);
  if (is_apart_ && (lost_ > 0 || items_.size() >= kMost))
    ++lost_;
  else
    add(std::move(line));
}

void LogQueue::change(std::function<void()> change) {
  std::lock_guard lock(mutex_);
  add(std::move(change));
}

void LogQueue::add(Item item) {
  if (!is_apart_) return carry_out(item);
  items_.push_back(std::move(item));
  something_.notify_one();
}

bool LogQueue::finish(std::chrono::milliseconds at_most) {
  std::unique_lock lock(mutex_);
  if (!thread_.joinable()) return !is_apart_;
  is_ending_ = true;
  something_.notify_one();
  const bool is_written = ended_.wait_for(lock, at_most, [this] { return !is_apart_; });
  lock.unlock();
  is_written ? thread_.join() : thread_.detach();
  return is_written;
}

void LogQueue::work() {
  pthread_setname_np(pthread_self(), "log");
  std::unique_lock lock(mutex_);
  for (;;) {
    something_.wait(lock, [this] { return !items_.empty() || is_ending_; });
    if (items_.empty()) break;
    const Item item = std::move(items_.front());
    items_.pop_front();
    // Not sooner: with a reader that is only slow, half of what it gets would be about what was lost.
    if (lost_ > 0 && items_.size() <= kMost / 2)
      items_.emplace_back(LogLine{
          config::LogLevel::Error,
          std::to_string(std::exchange(lost_, 0)) + " lines of the log were lost: its reader is too slow"});
    lock.unlock();
    carry_out(item);
    lock.lock();
  }
  is_apart_ = is_ending_ = false;
  ended_.notify_one();
}

void LogQueue::carry_out(const Item& item) const {
  if (const auto* line = std::get_if<LogLine>(&item))
    write_(*line);
  else
    std::get<std::function<void()>>(item)();
}

}  // namespace tidepool::daemon
