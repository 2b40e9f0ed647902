// Counts what a program of tests allocates, by operators new and delete of its own.
#pragma once

#include <atomic>

namespace tidepool {

// Since the program began, in all threads.
extern std::atomic<long> allocations;

}  // namespace tidepool
