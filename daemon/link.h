// The hold that a client and its server have on each other. Each has one end; the ends know each other, and
// letting go of one frees the other in the same moment: who is left never points to somebody that is gone. An
// end that is destroyed while it still holds is a forgotten farewell, which asserts.
#pragma once

#include <cassert>
#include <utility>

namespace tidepool::daemon {

// Of `Owner`, which it is a member of.
template <class Owner, class Other>
class LinkEnd {
 public:
  explicit LinkEnd(Owner& owner) : owner_(owner) {}
  ~LinkEnd() {
    assert(other_ == nullptr && "it ends, and the other was not told");
    part();
  }
  LinkEnd(const LinkEnd&) = delete;
  LinkEnd& operator=(const LinkEnd&) = delete;

  // Both are free.
  void tie(LinkEnd<Other, Owner>& other) {
    assert(other_ == nullptr && other.other_ == nullptr);
    part();
    other.part();
    other_ = &other;
    held_ = &other.owner_;
    other.other_ = this;
    other.held_ = &owner_;
  }
  // Both are free from now on. Returns who was held, or null.
  Other* part() {
    if (other_ == nullptr) return nullptr;
    other_->other_ = nullptr;
    other_->held_ = nullptr;
    other_ = nullptr;
    return std::exchange(held_, nullptr);
  }

  Other* get() const { return held_; }
  Other* operator->() const { return held_; }
  Other& operator*() const { return *held_; }
  bool operator==(const Other* other) const { return held_ == other; }

 private:
  friend class LinkEnd<Other, Owner>;
  Owner& owner_;
  Other* held_ = nullptr;
  LinkEnd<Other, Owner>* other_ = nullptr;
};

}  // namespace tidepool::daemon
