#include "daemon/background_jobs.h"

#include <doctest/doctest.h>

#include <condition_variable>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

using tidepool::daemon::BackgroundJobs;

namespace {

// What jobs do and deliver, in their order; and a gate that jobs may stand at.
class Diary {
 public:
  void write(const std::string& line) {
    std::lock_guard lock(mutex_);
    lines_.push_back(line);
    changed_.notify_all();
  }
  std::vector<std::string> wait_for(size_t count) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return lines_.size() >= count; });
    return lines_;
  }
  void stand_at_gate() {
    write("at the gate");
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return is_open_; });
  }
  void open_gate() {
    std::lock_guard lock(mutex_);
    is_open_ = true;
    changed_.notify_all();
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<std::string> lines_;
  bool is_open_ = false;
};
using DiaryPtr = std::shared_ptr<Diary>;

BackgroundJobs::Job note(const DiaryPtr& diary, const std::string& line) {
  return [diary, line] { return [diary, line] { diary->write(line); }; };
}
BackgroundJobs::Job stand(const DiaryPtr& diary) {
  return [diary] {
    diary->stand_at_gate();
    return [diary] { diary->write("through"); };
  };
}

}  // namespace

TEST_CASE("who asks a hundred times waits for its own jobs, and another for one of them") {
  const auto diary = std::make_shared<Diary>();
  BackgroundJobs jobs("test", 1);
  jobs.submit("flood", stand(diary));
  CHECK(diary->wait_for(1).size() == 1);
  for (int i = 0; i < 100; ++i) jobs.submit("flood", note(diary, "flood"));
  jobs.submit("one", note(diary, "one"));
  jobs.submit("other", note(diary, "other"));
  jobs.submit("other", note(diary, "other"));
  diary->open_gate();
  const auto lines = diary->wait_for(105);
  const std::vector<std::string> first(lines.begin(), lines.begin() + 7);
  CHECK(first ==
        std::vector<std::string>{"at the gate", "through", "flood", "one", "other", "flood", "other"});
}

TEST_CASE("as many threads as may be work at once") {
  const auto diary = std::make_shared<Diary>();
  BackgroundJobs jobs("test", 3);
  for (int i = 0; i < 3; ++i) jobs.submit("same", stand(diary));
  CHECK(diary->wait_for(3) == std::vector<std::string>(3, "at the gate"));
  jobs.submit("fourth", note(diary, "fourth"));
  diary->open_gate();
  CHECK(diary->wait_for(7).size() == 7);
}

TEST_CASE("a job that hangs holds nobody's end up, and delivers nothing then") {
  const auto diary = std::make_shared<Diary>();
  {
    BackgroundJobs jobs("test", 1);
    jobs.submit("who", stand(diary));
    diary->wait_for(1);
    jobs.submit("who", note(diary, "never"));
    CHECK_FALSE(jobs.stop());
    jobs.submit("who", note(diary, "never"));
  }
  diary->open_gate();
  CHECK(diary->wait_for(1) == std::vector<std::string>{"at the gate"});
}
