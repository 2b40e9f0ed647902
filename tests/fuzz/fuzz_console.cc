// Any bytes from a client of the console. The first byte says how many of the others arrive at once. What is
// checked: the replies are whole messages, the console waits for no more than one thing at a time, and
// nothing follows a close.
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <variant>

#include "lib/admin/console.h"
#include "lib/wire/frame_cursor.h"
#include "tests/fuzz/expect.h"

namespace {

using namespace tidepool;
using namespace tidepool::admin;

const stats::Snapshot& snapshot() {
  static const stats::Snapshot one_pool = [] {
    stats::Snapshot made;
    made.version = "tidepool";
    made.pools.emplace_back().name = "orders";
    stats::ClientRow& client = made.clients.emplace_back();
    client.state = stats::ClientState::Active;
    client.pinned_since_us = 1;
    client.pinned_why = "LISTEN";
    made.servers.emplace_back().state = stats::ServerState::Idle;
    made.config.push_back({"workers", "1", "auto", false});
    return made;
  }();
  return one_pool;
}

void check_messages(const std::string& out) {
  wire::FrameCursor cursor;
  const auto walked = cursor.walk(out, {}, [](const wire::Message&) { return wire::Walk::Go; });
  EXPECT(!walked.broken && walked.consumed == out.size() && cursor.between_messages());
}

// Does as the shell does. False: the console has closed.
bool carry_out(Console& console, ConsoleStep step, std::string& out) {
  bool effect_succeeds = false;
  while (!std::holds_alternative<NeedMore>(step)) {
    if (std::holds_alternative<CloseConsole>(step)) return false;
    if (std::holds_alternative<NeedSnapshot>(step)) {
      step = console.resume(snapshot(), out);
    } else {
      effect_succeeds = !effect_succeeds;
      step = console.resume(
          effect_succeeds ? base::Status(base::Done{}) : base::Status(base::Error{"F0000", "no"}), out);
    }
  }
  return true;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const size_t piece = size_t{data[0]} + 1;
  std::string_view left(reinterpret_cast<const char*>(data + 1), size - 1);
  Console console;
  std::string out;
  while (!left.empty()) {
    ConsoleStep step = console.receive(left.substr(0, piece), out);
    left.remove_prefix(left.size() < piece ? left.size() : piece);
    if (carry_out(console, std::move(step), out)) continue;
    const size_t said = out.size();
    EXPECT(std::holds_alternative<CloseConsole>(console.receive(left, out)) && out.size() == said);
    break;
  }
  check_messages(out);
  return 0;
}
