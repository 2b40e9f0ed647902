#include "lib/wire/message_writer.h"

#include <doctest/doctest.h>

#include <array>
#include <string>
#include <vector>

#include "lib/wire/trace.h"

using namespace tidepool;
using namespace tidepool::wire;

namespace {

template <class... Args>
std::string made(void (*append)(std::string&, Args...), std::type_identity_t<Args>... args) {
  std::string out;
  append(out, args...);
  return out;
}

}  // namespace

TEST_CASE("what a server says during login") {
  std::string out;
  append_authentication_ok(out);
  append_authentication_cleartext(out);
  append_authentication_md5(out, "salt");
  append_authentication_sasl(out, {"SCRAM-SHA-256"});
  append_authentication_sasl_continue(out, "r=1");
  append_authentication_sasl_final(out, "v=1");
  append_parameter_status(out, "client_encoding", "UTF8");
  append_backend_key_data(out, 4711, "\1\2\3\4");
  append_ready_for_query(out, 'I');
  CHECK(trace_server(out) == R"(Authentication 0
Authentication 3
Authentication 5 "salt"
Authentication 10 "SCRAM-SHA-256\x00\x00"
Authentication 11 "r=1"
Authentication 12 "v=1"
ParameterStatus "client_encoding" "UTF8"
BackendKeyData 4711 "\x01\x02\x03\x04"
ReadyForQuery I
)");
}

TEST_CASE("a protocol is negotiated with the whole version number and the unknown options") {
  std::string out;
  append_negotiate_protocol_version(out, 2, std::vector<std::string>{"_pq_.a", "_pq_.b"});
  append_negotiate_protocol_version(out, 0, {});
  CHECK(trace_server(out) ==
        "NegotiateProtocolVersion 196610 2 \"_pq_.a\" \"_pq_.b\"\nNegotiateProtocolVersion 196608 0\n");
}

TEST_CASE("errors and notices leave empty fields out") {
  std::string out;
  append_error_response(out, "ERROR", {"22012", "division by zero"});
  append_notice_response(out, "NOTICE", {"00000", "waiting", "for a server", "patience"});
  CHECK(trace_server(out) == R"(ErrorResponse S "ERROR" V "ERROR" C "22012" M "division by zero"
NoticeResponse S "NOTICE" V "NOTICE" C "00000" M "waiting" D "for a server" H "patience"
)");
}

TEST_CASE("what a server says to a query") {
  std::string out;
  append_row_description(out, {{"name"}, {"size", 20, 8}});
  append_data_row(out, {"a", std::nullopt});
  append_data_row(out, {});
  append_command_complete(out, "SELECT 1");
  append_empty_query_response(out);
  append_parse_complete(out);
  append_bind_complete(out);
  append_close_complete(out);
  append_no_data(out);
  append_parameter_description(out, std::array<uint32_t, 2>{23, 25});
  CHECK(trace_server(out) == R"(RowDescription 2 "name" 0 0 25 -1 -1 0 "size" 0 0 20 8 -1 0
DataRow 2 "a" NULL
DataRow 0
CommandComplete "SELECT 1"
EmptyQueryResponse
ParseComplete
BindComplete
CloseComplete
NoData
ParameterDescription 2 23 25
)");
}

TEST_CASE("what a client says") {
  std::string out;
  append_query(out, "select 1");
  append_parse(out, "s", "select $1", std::array<uint32_t, 1>{23});
  append_bind(out, "p", "s", {"42", std::nullopt});
  append_bind(out, "", "");
  append_describe(out, 'S', "s");
  append_execute(out, "p", 10);
  append_close(out, 'P', "p");
  append_sync(out);
  append_flush(out);
  append_copy_data(out, "1\t2\n");
  append_copy_done(out);
  append_copy_fail(out, "given up");
  append_password(out, "secret");
  append_sasl_initial_response(out, "SCRAM-SHA-256", "n,,");
  append_sasl_response(out, "c=biws");
  append_terminate(out);
  CHECK(trace_client(out) == R"(Query "select 1"
Parse "s" "select $1" 1 23
Bind "p" "s" 0 2 "42" NULL 0
Bind "" "" 0 0 0
Describe S "s"
Execute "p" 10
Close P "p"
Sync
Flush
CopyData "1\x092\x0a"
CopyDone
CopyFail "given up"
PasswordMessage "secret\x00"
PasswordMessage "SCRAM-SHA-256\x00\x00\x00\x00\x03n,,"
PasswordMessage "c=biws"
Terminate
)");
}

TEST_CASE("what opens a connection has no type") {
  CHECK(made(append_ssl_request) == std::string("\0\0\0\x08\x04\xd2\x16\x2f", 8));
  CHECK(made(append_gssenc_request) == std::string("\0\0\0\x08\x04\xd2\x16\x30", 8));
  CHECK(made(append_cancel_request, 1u, "abcd") == std::string("\0\0\0\x10\x04\xd2\x16\x2e\0\0\0\1abcd", 16));
  std::string out;
  append_startup(out, 2, {{"user", "app"}, {"database", "orders"}});
  CHECK(out == std::string("\0\0\0\x22\0\3\0\2user\0app\0database\0orders\0\0", 34));
}

TEST_CASE("a NUL byte ends a string and shifts nothing behind it") {
  std::string out;
  append_parse(out, std::string_view("a\0b", 3), "select 1");
  CHECK(trace_client(out) == "Parse \"a\" \"select 1\" 0\n");
}

TEST_CASE("messages are appended to what is there, the longest length included") {
  std::string out = "before";
  append_query(out, std::string(70000, 'x'));
  CHECK(out.substr(0, 6) == "before");
  CHECK(base::read_u32(out.data() + 7) == 70005);
  CHECK(out.size() == 6 + 1 + 70005);
}
