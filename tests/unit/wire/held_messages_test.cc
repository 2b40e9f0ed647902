// Messages that wait, and lengths that cannot be among them.
#include "lib/wire/held_messages.h"

#include <doctest/doctest.h>

#include "lib/wire/message_writer.h"

namespace tidepool::wire {
namespace {

std::string header(char type, uint32_t length) {
  std::string bytes(1, type);
  base::append_u32(bytes, length);
  return bytes;
}

TEST_CASE("a length that no message can have is seen while it waits, however its bytes come") {
  for (const uint32_t length : {0u, 1u, 2u, 3u, kMaxMessageLength + 1, 0xffffffffu}) {
    CAPTURE(length);
    std::string bytes;
    append_query(bytes, "select 1");
    append_sync(bytes);
    const size_t good = bytes.size();
    bytes += header('Q', length);
    HeldMessages whole;
    whole.append(bytes);
    CHECK(whole.is_broken());
    HeldMessages pieces;
    for (size_t at = 0; at < bytes.size(); ++at) {
      pieces.append(base::Bytes(bytes).substr(at, 1));
      CHECK(pieces.is_broken() == (at + 1 == good + kHeaderSize));
    }
  }
}

TEST_CASE("what looks like a header in a body is none, and what is dropped or taken away counts no more") {
  HeldMessages held;
  std::string bytes;
  append_query(bytes, std::string("x") + header('Q', 0));
  const size_t first = bytes.size();
  append_sync(bytes);
  held.assign(bytes);
  CHECK_FALSE(held.is_broken());
  held.drop(first);
  CHECK(held.size() == kHeaderSize);
  CHECK_FALSE(held.is_broken());
  CHECK(held.take() == bytes.substr(first));
  CHECK(held.empty());
  held.append(header('S', 3));
  CHECK(held.is_broken());
  held.tail().clear();
  CHECK_FALSE(held.is_broken());
}

}  // namespace
}  // namespace tidepool::wire
