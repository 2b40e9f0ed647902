// A startup packet is refused, incomplete, or read into what writes it again.
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "lib/wire/message_writer.h"
#include "lib/wire/startup_packet.h"
#include "tests/fuzz/expect.h"

using namespace tidepool;
using namespace tidepool::wire;

namespace {

void write_again(const StartupMessage& message) {
  std::vector<StartupParameter> parameters;
  if (!message.user.empty()) parameters.emplace_back("user", message.user);
  if (!message.database.empty()) parameters.emplace_back("database", message.database);
  if (!message.options.empty()) parameters.emplace_back("options", message.options);
  if (!message.replication.empty()) parameters.emplace_back("replication", message.replication);
  for (const auto& [name, value] : message.settings) parameters.emplace_back(name, value);
  for (const std::string& name : message.protocol_options) parameters.emplace_back(name, "");
  std::string bytes;
  append_startup(bytes, message.minor, parameters);
  size_t size = 0;
  const StartupPacket packet = read_startup_packet(bytes, size);
  EXPECT(size == bytes.size());
  const auto* again = std::get_if<StartupMessage>(&packet);
  EXPECT(again != nullptr);
  EXPECT(again->minor == message.minor);
  EXPECT(again->user == message.user);
  EXPECT(again->database == message.database);
  EXPECT(again->options == message.options);
  EXPECT(again->replication == message.replication);
  EXPECT(again->settings == message.settings);
  EXPECT(again->protocol_options == message.protocol_options);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t input_size) {
  const base::Bytes bytes(reinterpret_cast<const char*>(data), input_size);
  size_t size = 0;
  const StartupPacket packet = read_startup_packet(bytes, size);
  if (std::holds_alternative<Incomplete>(packet)) {
    EXPECT(size == 0);
    return 0;
  }
  if (const auto* bad = std::get_if<BadPacket>(&packet)) {
    EXPECT(bad->error.sqlstate.size() == 5);
    return 0;
  }
  EXPECT(size >= 8 && size <= kMaxStartupPacket && size <= bytes.size());
  size_t size_of_part = 0;
  EXPECT(std::holds_alternative<Incomplete>(read_startup_packet(bytes.substr(0, size - 1), size_of_part)));
  if (const auto* cancel = std::get_if<CancelRequest>(&packet)) {
    EXPECT(cancel->secret.size() >= kMinCancelSecret && cancel->secret.size() <= kMaxCancelSecret);
  }
  if (const auto* message = std::get_if<StartupMessage>(&packet)) write_again(*message);
  return 0;
}
