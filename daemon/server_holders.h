// Which client had which server last, over all workers and pools: a notification names its sender by the
// process id of PostgreSQL's, and its reader knows other clients by the process ids that they were told. A
// server says nothing for itself, so that whoever had it last is the sender. Any thread.
#pragma once

#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <utility>

namespace tidepool::daemon {

class ServerHolders {
 public:
  // A server's entry, as long as the server is there.
  class Entry {
   public:
    ~Entry() { holders_.leave(*this); }
    Entry(const Entry&) = delete;
    Entry& operator=(const Entry&) = delete;
    void lent_to(uint32_t client) { client_.store(client, std::memory_order_relaxed); }

   private:
    friend class ServerHolders;
    using Key = std::pair<int, std::string>;
    Entry(ServerHolders& holders, Key key) : holders_(holders), key_(std::move(key)) {}

    ServerHolders& holders_;
    const Key key_;
    std::atomic<uint32_t> client_ = 0;
  };

  // `address`: where the server lives; process ids are PostgreSQL's own business there.
  std::unique_ptr<Entry> enter(int process_id, const std::string& address) {
    std::unique_ptr<Entry> entry(new Entry(*this, {process_id, address}));
    const std::lock_guard lock(mutex_);
    entries_[entry->key_] = entry.get();
    return entry;
  }
  // 0: no client of ours.
  uint32_t client_of(int process_id, const std::string& address) const {
    const std::lock_guard lock(mutex_);
    const auto found = entries_.find({process_id, address});
    return found == entries_.end() ? 0 : found->second->client_.load(std::memory_order_relaxed);
  }

 private:
  // Its process id may be a newer server's by now, whose entry stays.
  void leave(const Entry& entry) {
    const std::lock_guard lock(mutex_);
    const auto found = entries_.find(entry.key_);
    if (found != entries_.end() && found->second == &entry) entries_.erase(found);
  }

  mutable std::mutex mutex_;
  std::map<Entry::Key, Entry*> entries_;
};

}  // namespace tidepool::daemon
