// What a fuzz program expects of the code, in release builds too: a violation stops it, and libFuzzer keeps
// the input.
#pragma once

#include <cstdio>
#include <cstdlib>

#define EXPECT(condition)                                                          \
  do {                                                                             \
    if (condition) break;                                                          \
    std::fprintf(stderr, "%s:%d: expected: %s\n", __FILE__, __LINE__, #condition); \
    std::abort();                                                                  \
  } while (false)
