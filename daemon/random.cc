#include "daemon/random.h"

#include <uv.h>

#include <cassert>
#include <cstdlib>
#include <cstring>

namespace tidepool::daemon {

namespace {

void fill(char* bytes, size_t size) {
  if (uv_random(nullptr, nullptr, bytes, size, 0, nullptr) != 0) std::abort();
}

}  // namespace

std::string random_bytes(size_t size) {
  std::string bytes(size, '\0');
  fill(bytes.data(), size);
  return bytes;
}

std::string RandomStock::take(size_t size) {
  assert(size <= kSize);
  if (left_ < size) {
    fill(bytes_.data(), kSize);
    left_ = kSize;
  }
  left_ -= size;
  std::string taken(bytes_.data() + left_, size);
  explicit_bzero(bytes_.data() + left_, size);
  return taken;
}

}  // namespace tidepool::daemon
