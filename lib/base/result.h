// A value, or the error that PostgreSQL's protocol would tell: an SQLSTATE and words. The SQLSTATE is chosen
// where the error is understood and reaches the client unchanged.
#pragma once

#include <cassert>
#include <optional>
#include <string>
#include <utility>
#include <variant>

namespace tidepool::base {

// The fields of an ErrorResponse or NoticeResponse that we make or read.
// https://www.postgresql.org/docs/current/protocol-error-fields.html
struct Error {
  std::string sqlstate;  // five characters; empty if a server left it out
  std::string message;
  std::string detail = {};
  std::string hint = {};

  bool operator==(const Error&) const = default;
};

template <class T>
class [[nodiscard]] Result {
 public:
  Result(T value) : held_(std::in_place_index<0>, std::move(value)) {}      // NOLINT: conversion is the point
  Result(Error error) : held_(std::in_place_index<1>, std::move(error)) {}  // NOLINT

  explicit operator bool() const { return held_.index() == 0; }
  T& operator*() & { return value(); }
  const T& operator*() const& { return value(); }
  T&& operator*() && { return std::move(value()); }
  T* operator->() { return &value(); }
  const T* operator->() const { return &value(); }
  T& value() { return held<0>(held_); }
  const T& value() const { return held<0>(held_); }
  const Error& error() const { return held<1>(held_); }

 private:
  // What is held is known from the caller's own question; said so that the compiler knows it too.
  template <size_t N, class Held>
  static auto& held(Held& either) {
    auto* found = std::get_if<N>(&either);
    assert(found != nullptr);
    if (found == nullptr) __builtin_unreachable();
    return *found;
  }

  std::variant<T, Error> held_;
};

struct Done {};
using Status = Result<Done>;

}  // namespace tidepool::base
