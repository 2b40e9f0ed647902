// Counts what a program of tests allocates, by an operator new of its own. Included by one file of a program.
#pragma once

#include <atomic>
#include <cstdlib>
#include <new>

namespace tidepool {

// Since the program began, in all threads.
inline std::atomic<long> allocations{0};

inline void* counted_allocation(std::size_t size) {
  ++allocations;
  void* memory = std::malloc(size == 0 ? 1 : size);
  if (memory == nullptr) throw std::bad_alloc();
  return memory;
}

}  // namespace tidepool

void* operator new(std::size_t size) {
  return tidepool::counted_allocation(size);
}
void* operator new[](std::size_t size) {
  return tidepool::counted_allocation(size);
}
void operator delete(void* memory) noexcept {
  std::free(memory);
}
void operator delete[](void* memory) noexcept {
  std::free(memory);
}
void operator delete(void* memory, std::size_t) noexcept {
  std::free(memory);
}
void operator delete[](void* memory, std::size_t) noexcept {
  std::free(memory);
}
