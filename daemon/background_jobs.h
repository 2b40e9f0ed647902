// What takes long for one client and must not stop others: done on threads of their own, which give way to
// the workers (nice), and in turn for those who asked: a peer that asks a thousand times waits for its own
// jobs, another one only for those that run.
#pragma once

#include <functional>
#include <memory>
#include <string>

namespace tidepool::daemon {

class BackgroundJobs {
 public:
  using Deliver = std::function<void()>;
  // Takes long. What it returns is called on the same thread right behind it, unless this object is gone by
  // then; it must be quick, and must not submit anything.
  using Job = std::function<Deliver()>;

  // `name` is the threads', for top -H (15 letters). They are started when they are needed.
  BackgroundJobs(std::string name, unsigned threads);
  // Does not wait for a job that hangs.
  ~BackgroundJobs();
  BackgroundJobs(const BackgroundJobs&) = delete;
  BackgroundJobs& operator=(const BackgroundJobs&) = delete;

  // Any thread. `whose`: who waits its turn with it, an address or a user of the system.
  void submit(const std::string& whose, Job job);

 private:
  struct Shop;
  std::shared_ptr<Shop> shop_;
};

}  // namespace tidepool::daemon
