#include "lib/wire/frame_cursor.h"

#include <doctest/doctest.h>

#include <random>
#include <string>
#include <vector>

#include "lib/wire/message_writer.h"

using namespace tidepool;
using namespace tidepool::wire;

namespace {

std::string message(char type, std::string_view body) {
  std::string out;
  {
    MessageFrame frame(out, type);
    out += body;
  }
  return out;
}
std::string framed(char type, size_t size) {
  return message(type, std::string(size, 'x'));
}

std::string header(char type, uint32_t length) {
  std::string out(1, type);
  base::append_u32(out, length);
  return out;
}

struct Seen {
  char type;
  size_t size;
  std::string body;  // of wanted types
  bool operator==(const Seen&) const = default;
};

// Plays the caller: keeps what was not consumed and presents it again in front of what comes next.
struct Reader {
  TypeSet wanted;
  FrameCursor cursor = {};
  std::string kept = {};
  std::vector<Seen> seen = {};
  bool broken = false;

  void receives(std::string_view bytes) {
    kept += bytes;
    const FrameCursor::Result result = cursor.walk(kept, wanted, [&](const Message& m) {
      seen.push_back({m.type, m.size, wanted.has(m.type) ? std::string(m.body) : ""});
      CHECK(m.at + kHeaderSize <= kept.size());
      CHECK(m.body == std::string_view(kept).substr(m.at + kHeaderSize, m.body.size()));
      if (wanted.has(m.type)) CHECK(m.body.size() + kHeaderSize == m.size);
      return Walk::Go;
    });
    REQUIRE(result.consumed <= kept.size());
    if (result.needed > 0) CHECK(result.needed > kept.size() - result.consumed);
    broken = broken || result.broken;
    kept.erase(0, result.consumed);
  }
};

}  // namespace

TEST_CASE("each message is visited once, where its header is, with its whole size") {
  const std::string bytes = framed('T', 10) + framed('D', 0) + framed('Z', 1);
  FrameCursor cursor;
  std::vector<size_t> at, ends;
  const auto result = cursor.walk(bytes, {}, [&](const Message& m) {
    at.push_back(m.at);
    ends.push_back(m.end());
    return Walk::Go;
  });
  CHECK(at == std::vector<size_t>{0, 15, 20});
  CHECK(ends == std::vector<size_t>{15, 20, 26});
  CHECK(result.consumed == bytes.size());
  CHECK_FALSE(result.broken);
  CHECK(result.needed == 0);
  CHECK(cursor.between_messages());
}

TEST_CASE("no bytes are no messages") {
  FrameCursor cursor;
  const auto result = cursor.walk({}, {'Z'}, [](const Message&) { return Walk::Go; });
  CHECK(result.consumed == 0);
  CHECK(cursor.between_messages());
}

TEST_CASE("a stream reads the same whole, byte by byte, and cut in two anywhere") {
  const TypeSet wanted{'E', 'S'};
  const std::string bytes = framed('T', 30) + message('E', "first") + framed('D', 300) + framed('D', 0) +
                            message('S', "") + framed('Z', 1);
  Reader whole{wanted};
  whole.receives(bytes);
  REQUIRE(whole.seen.size() == 6);
  CHECK(whole.seen[1].body == "first");
  CHECK(whole.kept.empty());

  Reader drop_by_drop{wanted};
  for (const char byte : bytes) drop_by_drop.receives({&byte, 1});
  CHECK(drop_by_drop.seen == whole.seen);
  CHECK(drop_by_drop.kept.empty());
  CHECK(drop_by_drop.cursor.between_messages());

  for (size_t cut = 0; cut <= bytes.size(); ++cut) {
    CAPTURE(cut);
    Reader halves{wanted};
    halves.receives(std::string_view(bytes).substr(0, cut));
    halves.receives(std::string_view(bytes).substr(cut));
    CHECK(halves.seen == whole.seen);
    CHECK(halves.kept.empty());
  }
}

TEST_CASE("random streams in random pieces read the same") {
  const unsigned seed = 20260729;
  CAPTURE(seed);
  std::mt19937 random(seed);
  const TypeSet wanted{'a', 'c'};
  for (int round = 0; round < 300; ++round) {
    std::string bytes;
    for (int i = 0; i < 20; ++i) bytes += framed(static_cast<char>('a' + random() % 4), random() % 40);
    Reader whole{wanted};
    whole.receives(bytes);
    Reader pieces{wanted};
    for (size_t at = 0; at < bytes.size();) {
      const size_t size = 1 + random() % 25;
      pieces.receives(std::string_view(bytes).substr(at, size));
      at += size;
    }
    REQUIRE(whole.seen.size() == 20);
    REQUIRE(pieces.seen == whole.seen);
  }
}

TEST_CASE("the body of an unwanted message need not be there, and is not kept") {
  FrameCursor cursor;
  const std::string bytes = header('D', 1000000) + "begin";
  int visits = 0;
  const auto count = [&](const Message& m) {
    ++visits;
    CHECK(m.size == 1000001);
    CHECK(m.body.size() == 5);
    return Walk::Go;
  };
  const auto result = cursor.walk(bytes, {}, count);
  CHECK(result.consumed == bytes.size());
  CHECK(cursor.body_left() == 1000000 - 4 - 5);
  CHECK_FALSE(cursor.between_messages());

  // The rest of it, and the next message in the same bytes.
  const std::string rest(cursor.body_left(), 'x');
  const auto middle = cursor.walk(std::string_view(rest).substr(0, 7), {}, count);
  CHECK(middle.consumed == 7);
  CHECK(cursor.body_left() == rest.size() - 7);
  CHECK(visits == 1);
  const std::string tail = rest.substr(7) + framed('Z', 1);
  const auto end = cursor.walk(tail, {}, [&](const Message& m) {
    CHECK(m.type == 'Z');
    CHECK(m.at == rest.size() - 7);
    ++visits;
    return Walk::Go;
  });
  CHECK(end.consumed == tail.size());
  CHECK(visits == 2);
  CHECK(cursor.between_messages());
}

TEST_CASE("a wanted message that is not whole is not visited, and its size is told") {
  FrameCursor cursor;
  const std::string bytes = framed('D', 3) + header('E', 104) + "S";
  int visits = 0;
  const auto result = cursor.walk(bytes, {'E'}, [&](const Message&) {
    ++visits;
    return Walk::Go;
  });
  CHECK(visits == 1);
  CHECK(result.consumed == 8);
  CHECK(result.needed == 105);
  CHECK(cursor.between_messages());
}

TEST_CASE("a header that is not whole needs nothing that is known yet") {
  FrameCursor cursor;
  const auto result =
      cursor.walk(std::string_view("E\0\0\0", 4), {'E'}, [](const Message&) { return Walk::Go; });
  CHECK(result.consumed == 0);
  CHECK(result.needed == 0);
  CHECK_FALSE(result.broken);
}

TEST_CASE("a length below 4 or above PostgreSQL's limit breaks the stream, behind the good messages") {
  for (const uint32_t length : {0u, 1u, 3u, kMaxMessageLength + 1, 0x7fffffffu, 0x80000000u, 0xffffffffu}) {
    CAPTURE(length);
    FrameCursor cursor;
    const std::string bytes = framed('D', 3) + header('D', length) + "xxxx";
    int visits = 0;
    const auto result = cursor.walk(bytes, {}, [&](const Message&) {
      ++visits;
      return Walk::Go;
    });
    CHECK(visits == 1);
    CHECK(result.broken);
    CHECK(result.consumed == 8);
  }
}

TEST_CASE("the longest message and the shortest one are good") {
  FrameCursor cursor;
  auto result = cursor.walk(header('D', kMaxMessageLength), {}, [](const Message& m) {
    CHECK(m.size == size_t{kMaxMessageLength} + 1);
    return Walk::Go;
  });
  CHECK_FALSE(result.broken);
  CHECK(result.consumed == 5);
  CHECK(cursor.body_left() == kMaxMessageLength - 4);

  FrameCursor another;
  result = another.walk(header('S', 4), {'S'}, [](const Message& m) {
    CHECK(m.body.empty());
    return Walk::Go;
  });
  CHECK(result.consumed == 5);
  CHECK(another.between_messages());
}

TEST_CASE("StopBefore leaves the message to be seen again") {
  FrameCursor cursor;
  const std::string bytes = framed('D', 3) + framed('Z', 1) + framed('D', 3);
  const auto stop = [](const Message& m) { return m.type == 'Z' ? Walk::StopBefore : Walk::Go; };
  const auto result = cursor.walk(bytes, {}, stop);
  CHECK(result.consumed == 8);
  CHECK(result.needed == 0);
  CHECK(cursor.between_messages());

  std::string seen;
  const auto again = cursor.walk(std::string_view(bytes).substr(8), {}, [&](const Message& m) {
    seen += m.type;
    return Walk::Go;
  });
  CHECK(seen == "ZD");
  CHECK(again.consumed == bytes.size() - 8);
}

TEST_CASE("StopAfter consumes the message and looks at nothing behind it") {
  FrameCursor cursor;
  const std::string bytes =
      framed('D', 3) + framed('Z', 1) + header('D', 0);  // the last would break the stream
  const auto result =
      cursor.walk(bytes, {}, [](const Message& m) { return m.type == 'Z' ? Walk::StopAfter : Walk::Go; });
  CHECK(result.consumed == 14);
  CHECK_FALSE(result.broken);
  CHECK(cursor.between_messages());
}

TEST_CASE("StopAfter of a message that is not whole consumes what is there of it") {
  FrameCursor cursor;
  const std::string bytes = header('d', 104) + "half";
  const auto result = cursor.walk(bytes, {}, [](const Message&) { return Walk::StopAfter; });
  CHECK(result.consumed == bytes.size());
  CHECK(cursor.body_left() == 96);
}

TEST_CASE("StopBefore of a message that is not whole consumes nothing of it") {
  FrameCursor cursor;
  const std::string bytes = header('d', 104) + "half";
  const auto result = cursor.walk(bytes, {}, [](const Message&) { return Walk::StopBefore; });
  CHECK(result.consumed == 0);
  CHECK(cursor.between_messages());
}

TEST_CASE("a type is a byte, also one above 127") {
  const TypeSet set{'\xff', '\0', 'Z'};
  CHECK(set.has('\xff'));
  CHECK(set.has('\0'));
  CHECK(set.has('Z'));
  CHECK_FALSE(set.has('z'));
  CHECK_FALSE(TypeSet().has('\0'));
}
