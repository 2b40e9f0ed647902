// The packets that open a connection, before messages have a type: Int32 length, Int32 code, and what the
// code says.
// https://www.postgresql.org/docs/current/protocol-message-formats.html#PROTOCOL-MESSAGE-FORMATS-STARTUPMESSAGE
// Limits, order of the checks and words are those of PostgreSQL's ProcessStartupPacket().
#pragma once

#include <cstddef>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "lib/base/bytes.h"
#include "lib/base/result.h"
#include "lib/wire/startup_codes.h"

namespace tidepool::wire {

// PostgreSQL's MAX_STARTUP_PACKET_LENGTH, which does not count the length field.
inline constexpr size_t kMaxStartupPacket = 10000 + 4;
inline constexpr size_t kMinCancelSecret = 4;
inline constexpr size_t kMaxCancelSecret = 256;

struct SslRequest {};
struct GssEncRequest {};
struct CancelRequest {
  uint32_t process_id;
  std::string secret;
};
// Protocol 3. Of a name that was given twice the last counts, save in `settings`, which has them all in
// order.
struct StartupMessage {
  int minor = 0;  // as asked for
  std::string user;
  std::string database;
  std::string options;
  std::string replication;
  std::vector<std::pair<std::string, std::string>> settings;  // everything else
  std::vector<std::string> protocol_options;  // names that begin with "_pq_."; there is none that we know
};
struct Incomplete {};  // more bytes are needed, within the limit
struct BadPacket {
  base::Error error;
  bool client_is_told;  // PostgreSQL hangs up on what does not even look like a client, without a word
};
using StartupPacket =
    std::variant<Incomplete, SslRequest, GssEncRequest, CancelRequest, StartupMessage, BadPacket>;

// Reads the packet that `bytes` begin with; if it is whole, `size` becomes its size.
StartupPacket read_startup_packet(base::Bytes bytes, size_t& size);

// What PostgreSQL says to a code that it does not know, or not a second time.
base::Error unsupported_protocol(uint32_t code);

}  // namespace tidepool::wire
