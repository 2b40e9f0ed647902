#include "lib/wire/startup_packet.h"

#include <doctest/doctest.h>

#include "lib/wire/message_writer.h"

using namespace tidepool;
using namespace tidepool::wire;

namespace {

std::string packet(uint32_t code, std::string_view body) {
  std::string out;
  base::append_u32(out, static_cast<uint32_t>(body.size() + 8));
  base::append_u32(out, code);
  return out += body;
}
constexpr uint32_t kVersion3 = protocol_version(3, 0);

StartupPacket read(std::string_view bytes) {
  size_t size = 0;
  return read_startup_packet(bytes, size);
}

void check_refused(std::string_view bytes, const base::Error& error, bool told) {
  const StartupPacket packet = read(bytes);
  const auto* bad = std::get_if<BadPacket>(&packet);
  REQUIRE(bad != nullptr);
  CHECK(bad->error.sqlstate == error.sqlstate);
  CHECK(bad->error.message == error.message);
  CHECK(bad->client_is_told == told);
}

}  // namespace

TEST_CASE("a startup message is read into its parts") {
  std::string bytes;
  append_startup(bytes, 2,
                 {{"user", "app"},
                  {"database", "orders"},
                  {"options", "-c geqo=off"},
                  {"replication", "false"},
                  {"_pq_.new", "1"},
                  {"DateStyle", "ISO"},
                  {"DateStyle", "German"},
                  {"application_name", ""}});
  size_t size = 0;
  const StartupPacket read = read_startup_packet(bytes + "more", size);
  CHECK(size == bytes.size());
  const auto* message = std::get_if<StartupMessage>(&read);
  REQUIRE(message != nullptr);
  CHECK(message->minor == 2);
  CHECK(message->user == "app");
  CHECK(message->database == "orders");
  CHECK(message->options == "-c geqo=off");
  CHECK(message->replication == "false");
  CHECK(message->protocol_options == std::vector<std::string>{"_pq_.new"});
  using Settings = std::vector<std::pair<std::string, std::string>>;
  CHECK(message->settings ==
        Settings{{"DateStyle", "ISO"}, {"DateStyle", "German"}, {"application_name", ""}});
}

TEST_CASE("the last of two users counts, and an empty message has none") {
  std::string bytes;
  append_startup(bytes, 0, {{"user", "a"}, {"user", "b"}});
  StartupPacket packet = read(bytes);
  CHECK(std::get<StartupMessage>(packet).user == "b");
  bytes.clear();
  append_startup(bytes, 0, {});
  packet = read(bytes);
  CHECK(std::get<StartupMessage>(packet).user.empty());
}

TEST_CASE("a packet that is cut off anywhere is incomplete, and nothing else") {
  std::string bytes;
  append_startup(bytes, 0, {{"user", "app"}, {"database", "orders"}});
  for (size_t cut = 0; cut < bytes.size(); ++cut) {
    CAPTURE(cut);
    size_t size = 0;
    const StartupPacket packet = read_startup_packet(std::string(bytes, 0, cut), size);
    CHECK(std::holds_alternative<Incomplete>(packet));
    CHECK(size == 0);
  }
}

TEST_CASE("requests for encryption and cancellation are told apart by their code") {
  CHECK(std::holds_alternative<SslRequest>(read(packet(80877103, ""))));
  CHECK(std::holds_alternative<GssEncRequest>(read(packet(80877104, ""))));
  const StartupPacket cancel = read(packet(80877102, std::string_view("\0\0\x12\x67key!", 8)));
  REQUIRE(std::holds_alternative<CancelRequest>(cancel));
  CHECK(std::get<CancelRequest>(cancel).process_id == 4711);
  CHECK(std::get<CancelRequest>(cancel).secret == "key!");
}

TEST_CASE("a cancel secret has 4 to 256 bytes") {
  for (const size_t size : {size_t{4}, size_t{32}, size_t{256}}) {
    std::string bytes;
    append_cancel_request(bytes, 1, std::string(size, 'k'));
    CHECK(std::holds_alternative<CancelRequest>(read(bytes)));
  }
  for (const size_t size : {size_t{0}, size_t{3}, size_t{257}}) {
    std::string bytes;
    append_cancel_request(bytes, 1, std::string(size, 'k'));
    check_refused(bytes, {"08P01", "invalid length of cancel key in cancel request packet"}, false);
  }
  check_refused(packet(80877102, "abc"), {"08P01", "invalid length of cancel request packet"}, false);
}

TEST_CASE("a length outside of PostgreSQL's limits is refused as soon as it is there, without a word") {
  for (const uint32_t length :
       {0u, 4u, 7u, 10005u, 0x47455420u /* "GET " */, 0x16030102u /* TLS */, 0xffffffffu}) {
    CAPTURE(length);
    std::string bytes;
    base::append_u32(bytes, length);
    check_refused(bytes, {"08P01", "invalid length of startup packet"}, false);
  }
}

TEST_CASE("the longest packet is accepted") {
  std::string body("user\0app\0a\0", 11);
  body += std::string(10004 - 8 - body.size() - 2, 'x') + std::string(2, '\0');
  const std::string bytes = packet(kVersion3, body);
  REQUIRE(bytes.size() == 10004);
  CHECK(std::holds_alternative<StartupMessage>(read(bytes)));
}

TEST_CASE("a layout without its terminator, or with bytes behind it, is refused") {
  const base::Error layout{"08P01", "invalid startup packet layout: expected terminator as last byte"};
  for (const std::string_view body :
       {std::string_view(""), std::string_view("user\0app\0", 9), std::string_view("user\0app\0\0x", 11),
        std::string_view("user\0app", 8), std::string_view("user\0", 5), std::string_view("user", 4),
        std::string_view("\0\0", 2)}) {
    CAPTURE(body);
    check_refused(packet(kVersion3, body), layout, true);
  }
}

TEST_CASE("other protocols are refused in PostgreSQL's words") {
  check_refused(packet(protocol_version(2, 0), std::string(288, '\0')),
                {"0A000", "unsupported frontend protocol 2.0: server supports 3.0 to 3.2"}, true);
  check_refused(packet(protocol_version(4, 0), "\0"),
                {"0A000", "unsupported frontend protocol 4.0: server supports 3.0 to 3.2"}, true);
  check_refused(packet(protocol_version(1234, 5681), ""),
                {"0A000", "unsupported frontend protocol 1234.5681: server supports 3.0 to 3.2"}, true);
}

TEST_CASE("any minor version of protocol 3 is read") {
  for (const int minor : {0, 1, 2, 3, 9999, 65535}) {
    std::string bytes;
    append_startup(bytes, minor, {{"user", "app"}});
    const StartupPacket packet = read(bytes);
    REQUIRE(std::holds_alternative<StartupMessage>(packet));
    CHECK(std::get<StartupMessage>(packet).minor == minor);
  }
}
