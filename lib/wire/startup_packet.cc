#include "lib/wire/startup_packet.h"

#include "lib/wire/message_reader.h"

namespace tidepool::wire {

namespace {

BadPacket not_a_client(const char* message) {
  return {{"08P01", message}, false};
}
BadPacket refused(const char* sqlstate, std::string message) {
  return {{sqlstate, std::move(message)}, true};
}

StartupPacket read_cancel_request(base::Bytes body) {
  FieldReader fields(body);
  const uint32_t process_id = fields.u32();
  const base::Bytes secret = fields.rest();
  if (!fields.ok()) return not_a_client("invalid length of cancel request packet");
  if (secret.size() < kMinCancelSecret || secret.size() > kMaxCancelSecret) {
    return not_a_client("invalid length of cancel key in cancel request packet");
  }
  return CancelRequest{process_id, std::string(secret)};
}

StartupPacket read_startup_message(int minor, base::Bytes body) {
  StartupMessage message;
  message.minor = minor;
  FieldReader fields(body);
  for (;;) {
    const std::string_view name = fields.cstring();
    if (fields.ok() && name.empty()) break;
    const std::string_view value = fields.cstring();
    if (!fields.ok()) break;
    if (name == "user") {
      message.user = value;
    } else if (name == "database") {
      message.database = value;
    } else if (name == "options") {
      message.options = value;
    } else if (name == "replication") {
      message.replication = value;
    } else if (name.substr(0, 5) == "_pq_.") {
      message.protocol_options.emplace_back(name);
    } else {
      message.settings.emplace_back(name, value);
    }
  }
  if (!fields.ok_and_at_end()) {
    return refused("08P01", "invalid startup packet layout: expected terminator as last byte");
  }
  return message;
}

StartupPacket read_body(uint32_t code, base::Bytes body) {
  if (code == kCancelRequestCode) return read_cancel_request(body);
  if (code == kSslRequestCode) return SslRequest{};
  if (code == kGssEncRequestCode) return GssEncRequest{};
  if (code >> 16 != 3) return BadPacket{unsupported_protocol(code), true};
  return read_startup_message(static_cast<int>(code & 0xffff), body);
}

}  // namespace

base::Error unsupported_protocol(uint32_t code) {
  return {"0A000", "unsupported frontend protocol " + std::to_string(code >> 16) + "." +
                       std::to_string(code & 0xffff) + ": server supports 3.0 to 3." +
                       std::to_string(kNewestMinor)};
}

StartupPacket read_startup_packet(base::Bytes bytes, size_t& size) {
  FieldReader fields(bytes);
  const uint32_t length = fields.u32();
  if (!fields.ok()) return Incomplete{};
  if (length < 8 || length > kMaxStartupPacket) return not_a_client("invalid length of startup packet");
  if (bytes.size() < length) return Incomplete{};
  size = length;
  const uint32_t code = fields.u32();
  return read_body(code, fields.bytes(length - 8));
}

}  // namespace tidepool::wire
