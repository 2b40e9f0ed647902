// Doubly linked lists through items that live in one vector and are named by their place in it: joining and
// leaving allocate nothing. An item has one Link member for each list that it can be on; it is on at most one
// list through each.
#pragma once

#include <cassert>
#include <cstdint>
#include <vector>

namespace tidepool::pool {

using Place = uint32_t;
constexpr Place kNowhere = UINT32_MAX;

struct Link {
  Place before = kNowhere, after = kNowhere;
};

template <class Item, Link Item::*link>
class Chain {
 public:
  Place front() const { return front_; }
  Place back() const { return back_; }
  bool empty() const { return front_ == kNowhere; }
  uint32_t size() const { return size_; }
  static Place after(const std::vector<Item>& items, Place at) { return (items[at].*link).after; }
  static Place before(const std::vector<Item>& items, Place at) { return (items[at].*link).before; }

  // In front of `successor`; kNowhere: at the end.
  void insert(std::vector<Item>& items, Place at, Place successor) {
    const Place predecessor = successor == kNowhere ? back_ : before(items, successor);
    items[at].*link = Link{predecessor, successor};
    (predecessor == kNowhere ? front_ : (items[predecessor].*link).after) = at;
    (successor == kNowhere ? back_ : (items[successor].*link).before) = at;
    ++size_;
  }
  void push_back(std::vector<Item>& items, Place at) { insert(items, at, kNowhere); }

  void erase(std::vector<Item>& items, Place at) {
    assert(size_ > 0);
    const Link gone = items[at].*link;
    (gone.before == kNowhere ? front_ : (items[gone.before].*link).after) = gone.after;
    (gone.after == kNowhere ? back_ : (items[gone.after].*link).before) = gone.before;
    items[at].*link = Link{};
    --size_;
  }

 private:
  Place front_ = kNowhere, back_ = kNowhere;
  uint32_t size_ = 0;
};

}  // namespace tidepool::pool
