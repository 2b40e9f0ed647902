#include "daemon/server_dialer.h"

#include <openssl/crypto.h>
#include <pthread.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <deque>
#include <mutex>
#include <system_error>
#include <thread>
#include <utility>

#include "daemon/server_login.h"
#include "daemon/signals_blocked.h"

namespace tidepool::daemon {

// What the threads share. It outlives the dialer as long as a thread of it hangs in name resolution.
struct ServerDialer::Shop : std::enable_shared_from_this<ServerDialer::Shop> {
  struct Job {
    DialOrder order;
    DialDone done;
  };

  explicit Shop(unsigned threads)
      : limit(std::max(threads, 1u)), stop_fd(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
    if (stop_fd < 0) throw std::system_error(errno, std::generic_category(), "eventfd");
  }
  ~Shop() { close(stop_fd); }

  // The mutex is held.
  bool add_thread();
  void add_needed_threads();
  void serve(std::unique_lock<std::mutex>& lock);

  void work();  // a thread's whole life

  std::mutex mutex;
  std::condition_variable changed;
  std::deque<Job> queue;
  unsigned limit;
  unsigned running = 0;     // threads
  unsigned idle = 0;        // of them, without a job
  unsigned delivering = 0;  // of them, inside of a DialDone
  bool stopping = false;
  const int stop_fd;  // readable once stopping
  IdleTimeoutRefusals refusals;
};

// False: the system gives none, and those that run do the work.
bool ServerDialer::Shop::add_thread() {
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

void ServerDialer::Shop::add_needed_threads() {
  while (queue.size() > idle && running < limit && add_thread()) {
  }
}

void ServerDialer::Shop::work() {
  pthread_setname_np(pthread_self(), "dialer");
  std::unique_lock lock(mutex);
  while (true) {
    changed.wait(lock, [this] { return stopping || running > limit || !queue.empty(); });
    if (stopping || running > limit) break;
    --idle;
    serve(lock);
    ++idle;
  }
  --idle;
  // The process may end before this thread does: what OpenSSL keeps for the thread would count as lost then.
  lock.unlock();
  OPENSSL_thread_stop();
  lock.lock();
  --running;
  changed.notify_all();
}

void ServerDialer::Shop::serve(std::unique_lock<std::mutex>& lock) {
  Job job = std::move(queue.front());
  queue.pop_front();
  lock.unlock();
  const auto begin = std::chrono::steady_clock::now();
  auto result = log_in(job.order, refusals, stop_fd);
  const auto took = std::chrono::duration_cast<base::Duration>(std::chrono::steady_clock::now() - begin);

  lock.lock();
  const bool is_wanted = !stopping;
  if (is_wanted) ++delivering;
  lock.unlock();
  if (is_wanted) job.done(std::move(result), took);
  job = {};
  result = {};
  lock.lock();
  if (is_wanted) --delivering;
  changed.notify_all();
}

ServerDialer::ServerDialer(unsigned threads) : shop_(std::make_shared<Shop>(threads)) {
  // One thread from the start: if the system gives no more later, this one serves everybody.
  const std::lock_guard lock(shop_->mutex);
  if (!shop_->add_thread())
    throw std::system_error(EAGAIN, std::generic_category(), "a thread to dial servers");
}

ServerDialer::~ServerDialer() {
  std::deque<Shop::Job> dropped;
  std::unique_lock lock(shop_->mutex);
  shop_->stopping = true;
  dropped.swap(shop_->queue);
  eventfd_write(shop_->stop_fd, 1);
  shop_->changed.notify_all();
  shop_->changed.wait(lock, [this] { return shop_->delivering == 0; });
  // Those that hang in name resolution are left to themselves: they find `stopping` when they come back.
  shop_->changed.wait_for(lock, std::chrono::milliseconds(300), [this] { return shop_->running == 0; });
}

void ServerDialer::dial(DialOrder order, DialDone done) {
  const std::lock_guard lock(shop_->mutex);
  shop_->queue.push_back({std::move(order), std::move(done)});
  shop_->add_needed_threads();
  shop_->changed.notify_one();
}

void ServerDialer::set_threads(unsigned threads) {
  const std::lock_guard lock(shop_->mutex);
  shop_->limit = std::max(threads, 1u);
  shop_->add_needed_threads();
  shop_->changed.notify_all();
}

}  // namespace tidepool::daemon
