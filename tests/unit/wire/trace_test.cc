#include "lib/wire/trace.h"

#include <doctest/doctest.h>

#include "lib/wire/message_writer.h"

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

}  // namespace

TEST_CASE("messages that the writer does not make are shown as well") {
  CHECK(trace_server(message('A', std::string_view("\0\0\0\7channel\0hello\0", 18))) ==
        "NotificationResponse 7 \"channel\" \"hello\"\n");
  CHECK(trace_server(message('G', std::string_view("\0\0\2\0\0\0\1", 7))) == "CopyInResponse 0 2 0 1\n");
  CHECK(trace_server(message('V', "\xff\xff\xff\xff")) == "FunctionCallResponse NULL\n");
  CHECK(trace_client(message('F', std::string_view("\0\0\0\1\0\0\0\1\0\0\0\2ab\0\1", 16))) ==
        "FunctionCall 1 0 1 \"ab\" 1\n");
  CHECK(trace_server(message('?', "what")) == "Unknown \"?\" \"what\"\n");
}

TEST_CASE("quotes, backslashes and bytes that do not print are escaped") {
  CHECK(trace_client(message('d', "a\"b\\\n\x80")) == "CopyData \"a\\\"b\\\\\\x0a\\x80\"\n");
}

TEST_CASE("a body that does not fit its type is shown as far as it goes") {
  CHECK(trace_server(message('Z', "")) == std::string("ReadyForQuery \0 (broken)\n", 25));
  CHECK(trace_client(message('S', "x")) == "Sync (broken)\n");
  CHECK(trace_server(message('D', std::string_view("\0\2\0\0\0\1a", 7))) ==
        "DataRow 2 \"a\" \"\" (broken)\n");
}

TEST_CASE("a conversation that is cut off says so") {
  std::string bytes;
  append_query(bytes, "select 1");
  CHECK(trace_client(bytes + "Q") == "Query \"select 1\"\n(incomplete: 1 bytes)\n");
  for (size_t cut = 1; cut < bytes.size(); ++cut) {
    CHECK(trace_client(bytes.substr(0, cut)) == "(incomplete: " + std::to_string(cut) + " bytes)\n");
  }
  CHECK(trace_client(std::string_view("Q\0\0\0\3", 5)) == "(broken stream)\n");
  CHECK(trace_client({}).empty());
}
