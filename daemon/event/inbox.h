// The one way to talk to another thread's loop: messages from any thread, handled on the loop's own, in
// order.
#pragma once

#include <uv.h>

#include <functional>
#include <mutex>
#include <utility>
#include <vector>

#include "daemon/event/handle.h"

namespace tidepool::event {

template <class Message>
class Inbox {
 public:
  // Loop thread. `handle` is called on the loop's thread; it may post.
  Inbox(uv_loop_t* loop, std::function<void(Message)> handle)
      : handle_(std::move(handle)), async_(new uv_async_t{}) {
    uv_async_init(loop, async_.get(), [](uv_async_t* async) {
      if (async->data) static_cast<Inbox*>(async->data)->deliver();
    });
    async_->data = this;
  }
  // Loop thread. Messages that were not handled are destroyed.
  ~Inbox() = default;
  Inbox(const Inbox&) = delete;
  Inbox& operator=(const Inbox&) = delete;

  // Any thread, as long as the inbox lives.
  void post(Message message) {
    bool wake = false;
    {
      std::lock_guard lock(mutex_);
      wake = waiting_.empty();
      waiting_.push_back(std::move(message));
    }
    if (wake) uv_async_send(async_.get());
  }

 private:
  void deliver() {
    handling_.clear();
    {
      std::lock_guard lock(mutex_);
      handling_.swap(waiting_);
    }
    for (Message& message : handling_) handle_(std::move(message));
    handling_.clear();
  }

  std::function<void(Message)> handle_;
  OwnedHandle<uv_async_t> async_;
  std::mutex mutex_;
  std::vector<Message> waiting_;   // guarded by mutex_
  std::vector<Message> handling_;  // the loop's own; swapped, so that both keep their storage
};

}  // namespace tidepool::event
