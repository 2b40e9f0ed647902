// Ownership of libuv handles. uv_close() is asynchronous: the handle's memory must stay until the loop calls
// back, so the owner lets go at once and the callback frees. A descriptor watched by a closed uv_poll_t may
// be closed right after uv_close() returned (never before: facts.md 18).
#pragma once

#include <uv.h>

#include <memory>

namespace tidepool::event {

struct CloseHandle {
  template <class Handle>
  void operator()(Handle* handle) const {
    auto* base = reinterpret_cast<uv_handle_t*>(handle);
    base->data = nullptr;
    uv_close(base, [](uv_handle_t* closed) { delete reinterpret_cast<Handle*>(closed); });
  }
};

template <class Handle>
using OwnedHandle = std::unique_ptr<Handle, CloseHandle>;

template <class Handle>
uv_handle_t* as_handle(Handle* handle) {
  return reinterpret_cast<uv_handle_t*>(handle);
}

}  // namespace tidepool::event
