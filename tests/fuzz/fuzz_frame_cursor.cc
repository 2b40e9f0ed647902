// A stream of messages reads the same whole and in pieces. The input: a byte that says which types are
// wanted, one that says how long the pieces are, then the stream.
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "lib/wire/frame_cursor.h"
#include "tests/fuzz/expect.h"

using namespace tidepool;
using namespace tidepool::wire;

namespace {

struct Seen {
  char type;
  size_t size;
  std::string body;
  bool operator==(const Seen&) const = default;
};

struct Reader {
  FrameCursor cursor = {};
  std::string kept = {};
  std::vector<Seen> seen = {};
  bool broken = false;

  void receives(const TypeSet& wanted, base::Bytes bytes) {
    if (broken) return;
    kept += bytes;
    const FrameCursor::Result result = cursor.walk(kept, wanted, [&](const Message& message) {
      const bool is_wanted = wanted.has(message.type);
      EXPECT(message.size >= kHeaderSize);
      EXPECT(message.at + kHeaderSize + message.body.size() <= kept.size());
      EXPECT(!is_wanted || message.body.size() == message.size - kHeaderSize);
      seen.push_back({message.type, message.size, is_wanted ? std::string(message.body) : std::string()});
      return Walk::Go;
    });
    EXPECT(result.consumed <= kept.size());
    EXPECT(result.needed == 0 || result.needed > kept.size() - result.consumed);
    EXPECT(cursor.between_messages() || result.consumed == kept.size());
    kept.erase(0, result.consumed);
    broken = result.broken;
  }
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < 2) return 0;
  const TypeSet wanted = data[0] % 2 == 0 ? TypeSet{} : TypeSet{static_cast<char>(data[0]), 'E', 'Z'};
  const size_t piece = 1 + data[1] % 16;
  const base::Bytes stream(reinterpret_cast<const char*>(data) + 2, size - 2);

  Reader whole, pieces;
  whole.receives(wanted, stream);
  for (size_t at = 0; at < stream.size(); at += piece) pieces.receives(wanted, stream.substr(at, piece));
  EXPECT(whole.seen == pieces.seen);
  EXPECT(whole.broken == pieces.broken);
  EXPECT(whole.cursor.body_left() == pieces.cursor.body_left());
  return 0;
}
