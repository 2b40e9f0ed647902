// What a server says in its login reads the same whole and in pieces, is bounded, and is refused at the same
// place. The input: a byte that says how long the pieces are, one that says behind how many ReadyForQuery
// libpq asks something of its own, then the stream.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>

#include "lib/session/login_stream.h"
#include "tests/fuzz/expect.h"

using namespace tidepool;
using session::LoginStream;

namespace {

struct Reader {
  LoginStream stream = {};
  std::string refusal = {};
  unsigned asks_left = 0;

  void receives(base::Bytes bytes) {
    if (!refusal.empty()) return;
    const auto received = stream.receive(bytes);
    if (!received) {
      EXPECT(received.error().sqlstate == "08P01");
      refusal = received.error().message;
      return;
    }
    EXPECT(stream.unfinished().size() <= LoginStream::kMostBytes);
    EXPECT(!stream.key() || (stream.key()->secret.size() >= 4 && stream.key()->secret.size() <= 256));
    if (stream.is_ready() && asks_left > 0) {
      --asks_left;
      stream.asked();
    }
  }
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < 2) return 0;
  const size_t piece = 1 + data[0] % 16;
  const unsigned asks = data[1] % 4;
  const base::Bytes said(reinterpret_cast<const char*>(data) + 2, size - 2);

  // libpq asks between two pieces: whole and in pieces are the same only if it asks nothing.
  Reader pieces;
  pieces.asks_left = asks;
  for (size_t at = 0; at < said.size(); at += piece) pieces.receives(said.substr(at, piece));

  Reader whole, bytewise;
  whole.receives(said);
  for (size_t at = 0; at < said.size(); ++at) bytewise.receives(said.substr(at, 1));
  EXPECT(whole.refusal == bytewise.refusal);
  if (!whole.refusal.empty()) return 0;
  EXPECT(whole.stream.parameters() == bytewise.stream.parameters());
  EXPECT(whole.stream.key() == bytewise.stream.key());
  EXPECT(whole.stream.was_in() == bytewise.stream.was_in());
  EXPECT(whole.stream.last_error() == bytewise.stream.last_error());
  EXPECT(whole.stream.unfinished() == bytewise.stream.unfinished());
  return 0;
}
