#include "lib/session/login_stream.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <string>
#include <vector>

#include "lib/wire/message_writer.h"

namespace tidepool::session {
namespace {

using base::Error;

std::string message(char type, const std::string& body) {
  std::string out;
  {
    const wire::MessageFrame frame(out, type);
    out += body;
  }
  return out;
}
std::string u32(uint32_t number) {
  std::string out;
  base::append_u32(out, number);
  return out;
}
std::string authentication(uint32_t code, const std::string& rest = {}) {
  return message('R', u32(code) + rest);
}
std::string status(const std::string& name, const std::string& value) {
  std::string out;
  wire::append_parameter_status(out, name, value);
  return out;
}
std::string key(uint32_t process_id, const std::string& secret) {
  return message('K', u32(process_id) + secret);
}
std::string ready(char status = 'I') {
  return message('Z', std::string(1, status));
}
std::string notice() {
  std::string out;
  wire::append_notice_response(out, "NOTICE", {"00000", "the moon is full"});
  return out;
}
std::string error(const std::string& sqlstate) {
  std::string out;
  wire::append_error_response(out, "FATAL", {sqlstate, "no"});
  return out;
}
std::string row_description() {
  std::string out;
  wire::append_row_description(out, {{"transaction_read_only"}});
  return out;
}
std::string data_row() {
  std::string out;
  wire::append_data_row(out, {wire::Value("off"), std::nullopt});
  return out;
}
std::string complete() {
  std::string out;
  wire::append_command_complete(out, "SHOW");
  return out;
}

const std::string kSecret("\x80\x00\xff\x0a", 4);
const std::string kLogin = authentication(0) + status("server_version", "15.4") + status("a.b", "") +
                           status("no such thing", "x\"\ny") + notice() + key(4711, kSecret) + ready();

bool has(base::Bytes types, char type) {
  return types.find(type) != base::Bytes::npos;
}

struct Heard {
  LoginStream stream;
  std::string refusal;  // the message of the error
};

// Whole, and byte by byte: the same is heard.
Heard hear(const std::string& said, size_t asks_behind = std::string::npos) {
  const auto in_pieces = [&](size_t size) {
    Heard heard;
    for (size_t at = 0; at < said.size() && heard.refusal.empty();) {
      if (at == asks_behind) heard.stream.asked();
      const size_t end = at < asks_behind ? std::min(asks_behind, said.size()) : said.size();
      const auto received = heard.stream.receive(base::Bytes(said).substr(at, std::min(size, end - at)));
      if (!received) {
        CHECK(received.error().sqlstate == "08P01");
        heard.refusal = received.error().message;
      }
      at += std::min(size, end - at);
    }
    return heard;
  };
  Heard whole = in_pieces(said.size() + 1);
  const Heard bytewise = in_pieces(1);
  CHECK(whole.refusal == bytewise.refusal);
  if (whole.refusal.empty()) {
    CHECK(whole.stream.parameters() == bytewise.stream.parameters());
    CHECK(whole.stream.key() == bytewise.stream.key());
    CHECK(whole.stream.unfinished() == bytewise.stream.unfinished());
    CHECK(whole.stream.is_ready() == bytewise.stream.is_ready());
  }
  return whole;
}

TEST_CASE("a login tells its key and every parameter, those with unknown names too") {
  const Heard heard = hear(kLogin);
  CHECK(heard.refusal.empty());
  CHECK(heard.stream.was_in());
  CHECK(heard.stream.key() == LoginStream::Key{4711, kSecret});
  CHECK(heard.stream.parameters().entries().size() == 3);
  CHECK(*heard.stream.parameters().find("no such thing") == "x\"\ny");
  CHECK(heard.stream.unfinished().empty());
}

TEST_CASE("a login that is cut off anywhere is not in, and what is unfinished is known") {
  for (size_t size = 0; size < kLogin.size(); ++size) {
    const Heard heard = hear(kLogin.substr(0, size));
    CHECK(heard.refusal.empty());
    CHECK_FALSE(heard.stream.was_in());
    CHECK(kLogin.substr(0, size).ends_with(heard.stream.unfinished()));
  }
}

TEST_CASE("the conversations of all ways to authenticate are let through") {
  const std::string first = "r=abc,s=c2FsdA==,i=4096";
  for (const std::string& asks :
       {authentication(3), authentication(5, "salt"), authentication(7) + authentication(8, "token"),
        authentication(9),
        authentication(10, std::string("SCRAM-SHA-256\0\0", 15)) + authentication(11, first) +
            authentication(12, "v=abc"),
        message('v', u32(196608) + u32(1) + std::string("_pq_.x\0", 7)) + authentication(3),
        notice() + authentication(3)}) {
    const Heard heard = hear(asks + kLogin);
    CHECK(heard.refusal.empty());
    CHECK(heard.stream.was_in());
  }
  CHECK(hear(error("28P01")).refusal.empty());
  CHECK(hear(authentication(0) + error("3D000")).refusal.empty());
}

TEST_CASE("a message that does not belong into a login is refused") {
  const std::string row = message('D', u32(0x00017fff) + "\xff\xf0x");
  CHECK(hear(row).refusal == "the server sent a message of type 'D' before it let us in");
  CHECK(hear(authentication(0) + row).refusal == "the server sent a message of type 'D' in its login");
  CHECK(hear(kLogin + row).refusal == "the server sent a message of type 'D' that nobody asked for");
  for (int type = 0; type < 256; ++type) {
    const char as_char = static_cast<char>(type);
    const std::string bare = message(as_char, "");
    CAPTURE(type);
    if (!has("RENv", as_char)) CHECK(hear(bare).refusal.ends_with("before it let us in"));
    if (!has("SKNAEZ", as_char)) CHECK(hear(authentication(0) + bare).refusal.ends_with("in its login"));
    if (!has("SNAE", as_char)) CHECK(hear(kLogin + bare).refusal.ends_with("that nobody asked for"));
  }
}

TEST_CASE("lengths that no message of a login has are refused at their header") {
  const std::string impossible = "the server sent a message of impossible length in its login";
  const std::string too_long = "the server sent a message in its login that is longer than any would be";
  for (const std::string& before : {std::string(), authentication(0), kLogin}) {
    for (uint32_t length : {0, 1, 2, 3}) CHECK(hear(before + "N" + u32(length)).refusal == impossible);
    for (uint32_t length :
         {LoginStream::kMostBytes + 1, size_t{0x3fffffff}, size_t{0x7fffffff}, size_t{0xffffffff}})
      CHECK(hear(before + "N" + u32(static_cast<uint32_t>(length))).refusal == too_long);
  }
}

TEST_CASE("a parameter whose name no client could look for is refused") {
  for (const char* name : {"",
                           "\x7f\xff"
                           "ient_encoding",
                           "client\nencoding", "client_encodi\xc3\xa4"}) {
    CAPTURE(name);
    CHECK(hear(authentication(0) + status(name, "x")).refusal.find("malformed") != std::string::npos);
  }
}

TEST_CASE("messages whose inner lengths lie are refused") {
  const auto cut = [](const std::string& whole) {
    std::vector<std::string> bodies;
    const std::string body = whole.substr(5);
    for (size_t size = 0; size < body.size(); ++size)
      bodies.push_back(message(whole[0], body.substr(0, size)));
    bodies.push_back(message(whole[0], body + "x"));
    return bodies;
  };
  const auto refused = [](const std::string& said, size_t asks_behind = std::string::npos) {
    CAPTURE(said);
    CHECK(hear(said, asks_behind).refusal.find("malformed") != std::string::npos);
  };
  for (const auto& each : cut(authentication(5, "salt"))) refused(each);
  for (const auto& each : cut(authentication(0))) refused(each);
  for (const auto& each : cut(message('v', u32(196608) + u32(1) + std::string("_pq_.x\0", 7)))) refused(each);
  refused(message('v', u32(196608) + u32(0xffffffff)));
  for (const auto& each : cut(notice())) refused(each);
  for (const auto& each : cut(error("28P01"))) refused(each);
  for (const auto& each : cut(status("TimeZone", "UTC"))) refused(authentication(0) + each);
  refused(authentication(0) + status("", "UTC"));
  refused(authentication(0) + message('Z', ""));
  refused(authentication(0) + message('Z', "II"));
  refused(authentication(0) + message('Z', "X"));
  for (const auto& each : cut(message('A', u32(1) + std::string("a\0b\0", 4)))) refused(kLogin + each);
  for (const auto& each : cut(row_description())) refused(kLogin + each, kLogin.size());
  for (const auto& each : cut(data_row())) refused(kLogin + each, kLogin.size());
  for (const auto& each : cut(complete())) refused(kLogin + each, kLogin.size());
  refused(kLogin + message('I', "x"), kLogin.size());
  refused(kLogin + message('D', std::string("\x00\x01\x7f\xff\xff\xf0x", 7)), kLogin.size());
}

TEST_CASE("a key has 4 to 256 bytes, and the last one counts") {
  for (size_t size = 0; size <= 300; ++size) {
    const Heard heard =
        hear(authentication(0) + key(1, "first") + key(4711, std::string(size, '\xff')) + ready());
    CHECK(heard.refusal.empty() == (size >= 4 && size <= 256));
    if (heard.refusal.empty()) CHECK(heard.stream.key() == LoginStream::Key{4711, std::string(size, '\xff')});
  }
  for (size_t size = 0; size < 4; ++size)
    CHECK_FALSE(hear(authentication(0) + message('K', std::string(size, 'x'))).refusal.empty());
}

TEST_CASE("what libpq asks behind a login is answered by rows, and only then") {
  const std::string answer = row_description() + data_row() + complete() + ready();
  CHECK_FALSE(hear(kLogin + answer).refusal.empty());
  const Heard heard = hear(kLogin + answer, kLogin.size());
  CHECK(heard.refusal.empty());
  CHECK(heard.stream.is_ready());
  CHECK_FALSE(hear(kLogin + answer + answer, kLogin.size()).refusal.empty());
}

TEST_CASE("what comes right behind a login is read, and the beginning of a message is kept") {
  const std::string behind = status("TimeZone", "UTC") + error("57P01");
  const Heard heard = hear(kLogin + behind + notice().substr(0, 7));
  CHECK(heard.refusal.empty());
  CHECK(*heard.stream.parameters().find("TimeZone") == "UTC");
  CHECK(heard.stream.last_error().sqlstate == "57P01");
  CHECK(heard.stream.unfinished() == notice().substr(0, 7));
}

TEST_CASE("a login reports so many parameters and no more") {
  std::string greeting = authentication(0);
  for (size_t i = 0; i < ParameterMap::kMostReported; ++i)
    greeting += status("name" + std::to_string(i), "v");
  CHECK(hear(greeting + status("name7", "w") + ready()).refusal.empty());
  CHECK(hear(greeting + status("another", "v") + ready()).refusal ==
        "the server reports more parameters than any server would");
}

TEST_CASE("a login says so much and no more") {
  LoginStream stream;
  CHECK(stream.receive(authentication(0)));
  size_t said = 9;
  const std::string large = status("a", std::string(100'000, 'x'));
  for (; said + large.size() <= LoginStream::kMostBytes; said += large.size()) CHECK(stream.receive(large));
  const auto refused = stream.receive(large);
  REQUIRE_FALSE(refused);
  CHECK(refused.error().message == "the server said more in its login than any server would");

  LoginStream flooded;
  CHECK(flooded.receive(authentication(0)));
  for (said = 9; said + notice().size() <= LoginStream::kMostBytes; said += notice().size())
    CHECK(flooded.receive(notice()));
  CHECK_FALSE(flooded.receive(notice()));
  CHECK(flooded.unfinished().empty());
}

TEST_CASE("no server has more SCRAM iterations computed than anybody would wait for") {
  const auto asks = [](const std::string& first) { return hear(authentication(11, first)).refusal; };
  const std::string too_many = "the server asks for more SCRAM iterations than any server would";
  CHECK(asks("r=abc,s=c2FsdA==,i=4096").empty());
  CHECK(asks("r=abc,s=c2FsdA==,i=4000000").empty());
  CHECK(asks("r=abc,s=c2FsdA==,i=4000001") == too_many);
  CHECK(asks("r=abc,s=c2FsdA==,i=2147483647") == too_many);
  CHECK(asks("r=abc,s=c2FsdA==,i=99999999999999999999") == too_many);
  for (const char* odd : {"", "r=abc", "r=abc,s=c2FsdA==", "r=abc,s=c2FsdA==,i=", "r=abc,s=c2FsdA==,i= 4096",
                          "r=abc,s=c2FsdA==,i=+4096", "r=abc,s=c2FsdA==,i=-1", "r=abc,s=c2FsdA==,i=4096 ",
                          "r=abc,s=c2FsdA==,i=4096,m=x", "m=x,r=abc,s=c2FsdA==,i=4096",
                          "r=abc,i=4096,s=c2FsdA==", "r=abc,x=y,s=c2FsdA==,i=4096"}) {
    CAPTURE(odd);
    CHECK(asks(odd).find("malformed") != std::string::npos);
  }
}

TEST_CASE("a server that cannot fork says so as before protocol 3.0, and libpq may read it") {
  const std::string words = "Ecould not fork new process for connection: Resource temporarily unavailable\n";
  CHECK(hear(words + '\0').refusal.empty());
  CHECK_FALSE(hear(words).stream.was_in());
  CHECK_FALSE(hear(authentication(0) + words).refusal.empty());
  CHECK_FALSE(hear("E" + u32(0x7fffffff)).refusal.empty());
}

}  // namespace
}  // namespace tidepool::session
