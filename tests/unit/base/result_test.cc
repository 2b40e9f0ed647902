#include "lib/base/result.h"

#include <doctest/doctest.h>

#include <memory>

using namespace tidepool::base;

namespace {

Result<int> half_of(int number) {
  if (number % 2 != 0) return Error{"22023", "odd"};
  return number / 2;
}

Status refuse(bool refused) {
  if (refused) return Error{"28000", "no", "because", "ask again"};
  return Done{};
}

}  // namespace

TEST_CASE("a result is a value or an error") {
  const Result<int> good = half_of(84);
  REQUIRE(good);
  CHECK(*good == 42);
  const Result<int> bad = half_of(7);
  REQUIRE_FALSE(bad);
  CHECK(bad.error() == Error{"22023", "odd"});
}

TEST_CASE("a status has no value, but all of an error's fields") {
  CHECK(refuse(false));
  const Status status = refuse(true);
  REQUIRE_FALSE(status);
  CHECK(status.error().detail == "because");
  CHECK(status.error().hint == "ask again");
}

TEST_CASE("a value that can only be moved is moved out") {
  Result<std::unique_ptr<int>> made(std::make_unique<int>(42));
  REQUIRE(made);
  const std::unique_ptr<int> taken = *std::move(made);
  CHECK(*taken == 42);
}

TEST_CASE("a value is reached through the arrow") {
  Result<std::string> text(std::string("an error message"));
  REQUIRE(text);
  CHECK(text->size() == 16);
}
