#include "daemon/link.h"

#include <doctest/doctest.h>

namespace tidepool::daemon {
namespace {

struct B;
struct A {
  LinkEnd<A, B> end{*this};
  int name = 1;
};
struct B {
  LinkEnd<B, A> end{*this};
};

TEST_CASE("whichever end lets go, both are free") {
  A a;
  B b;
  a.end.tie(b.end);
  CHECK(a.end == &b);
  CHECK(b.end->name == 1);
  CHECK(a.end.part() == &b);
  CHECK(a.end == nullptr);
  CHECK(b.end == nullptr);

  b.end.tie(a.end);
  CHECK(b.end.part() == &a);
  CHECK(a.end.get() == nullptr);
  CHECK(a.end.part() == nullptr);
}

TEST_CASE("who was left holds nothing when the other is gone, and may be tied again") {
  A a;
  {
    B b;
    a.end.tie(b.end);
    b.end.part();
  }
  CHECK(a.end == nullptr);
  B next;
  a.end.tie(next.end);
  CHECK(next.end == &a);
  next.end.part();
}

}  // namespace
}  // namespace tidepool::daemon
