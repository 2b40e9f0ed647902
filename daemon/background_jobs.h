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
  ~BackgroundJobs() { static_cast<void>(stop()); }
  BackgroundJobs(const BackgroundJobs&) = delete;
  BackgroundJobs& operator=(const BackgroundJobs&) = delete;

  // Drops what waits, and gives what runs a moment to end. False: a job goes on, and the process must not run
  // down under it (std::exit): it uses what that takes apart.
  bool stop();
  // Any thread. `whose`: who waits its turn with it, an address or a user of the system.
  void submit(const std::string& whose, Job job);

 private:
  struct Shop;
  std::shared_ptr<Shop> shop_;
};

}  // namespace tidepool::daemon
