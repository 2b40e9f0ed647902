#include "daemon/background_jobs.h"

#include <openssl/crypto.h>
#include <pthread.h>
#include <sys/resource.h>
#include <unistd.h>

#include <chrono>
#include <condition_variable>
#include <deque>
#include <mutex>
#include <system_error>
#include <thread>
#include <unordered_map>
#include <utility>

#include "daemon/signals_blocked.h"

namespace tidepool::daemon {

namespace {

// Clients that are in come first.
constexpr int kNice = 10;
constexpr std::chrono::milliseconds kPatience{300};

}  // namespace

// What the threads share. It outlives its owner as long as a thread of it hangs in a job.
struct BackgroundJobs::Shop : std::enable_shared_from_this<BackgroundJobs::Shop> {
  Shop(std::string thread_name, unsigned most) : name(std::move(thread_name)), most_threads(most) {}

  // The mutex is held.
  bool add_thread();
  Job next();

  void work();  // a thread's whole life

  const std::string name;
  const unsigned most_threads;
  std::mutex mutex;  // of what follows; held while a result is delivered, and not during a job
  std::condition_variable changed;
  std::unordered_map<std::string, std::deque<Job>> jobs;  // by whose they are: none is empty
  std::deque<std::string> turns;                          // those who have some, each once
  unsigned queued = 0;                                    // jobs
  unsigned running = 0;                                   // threads
  unsigned idle = 0;                                      // of them, without a job
  bool stopping = false;
};

// False: the system gives none.
bool BackgroundJobs::Shop::add_thread() {
  const SignalsBlocked blocked;
  try {
    std::thread([shop = shared_from_this()] { shop->work(); }).detach();
  } catch (const std::system_error&) {
    return false;
  }
  ++running;
  ++idle;
  return true;
}

BackgroundJobs::Job BackgroundJobs::Shop::next() {
  const std::string whose = std::move(turns.front());
  turns.pop_front();
  const auto queue = jobs.find(whose);
  Job job = std::move(queue->second.front());
  queue->second.pop_front();
  --queued;
  if (queue->second.empty())
    jobs.erase(queue);
  else
    turns.push_back(whose);
  return job;
}

void BackgroundJobs::Shop::work() {
  pthread_setname_np(pthread_self(), name.c_str());
  setpriority(PRIO_PROCESS, static_cast<id_t>(gettid()), kNice);  // Linux keeps it for each thread
  std::unique_lock lock(mutex);
  for (;;) {
    changed.wait(lock, [this] { return stopping || !turns.empty(); });
    if (stopping) break;
    --idle;
    {
      const Job job = next();
      lock.unlock();
      const Deliver deliver = job();
      lock.lock();
      if (!stopping) deliver();
    }
    ++idle;
  }
  lock.unlock();
  OPENSSL_thread_stop();
  lock.lock();
  --running;
  changed.notify_all();
}

BackgroundJobs::BackgroundJobs(std::string name, unsigned threads)
    : shop_(std::make_shared<Shop>(std::move(name), threads)) {}

bool BackgroundJobs::stop() {
  std::unordered_map<std::string, std::deque<Job>> dropped;
  std::unique_lock lock(shop_->mutex);
  shop_->stopping = true;
  dropped.swap(shop_->jobs);
  shop_->turns.clear();
  shop_->queued = 0;
  shop_->changed.notify_all();
  return shop_->changed.wait_for(lock, kPatience, [this] { return shop_->running == 0; });
}

void BackgroundJobs::submit(const std::string& whose, Job job) {
  std::unique_lock lock(shop_->mutex);
  const bool may_add = shop_->queued >= shop_->idle && shop_->running < shop_->most_threads;
  if (may_add && !shop_->add_thread() && shop_->running == 0) {
    // The system gives no thread at all: here, then.
    lock.unlock();
    return job()();
  }
  ++shop_->queued;
  auto& queue = shop_->jobs[whose];
  queue.push_back(std::move(job));
  if (queue.size() == 1) shop_->turns.push_back(whose);
  shop_->changed.notify_one();
}

}  // namespace tidepool::daemon
