// The front door before anybody proves who he is: packets, protocol versions, what is refused. How clients
// prove it is in client_login_auth_test.cc.
#include "lib/session/client_login.h"

#include <doctest/doctest.h>

#include "lib/wire/message_writer.h"
#include "lib/wire/startup_codes.h"
#include "tests/unit/session/login_conversation.h"

using namespace tidepool;
using namespace tidepool::session;

namespace {

using wire::StartupParameter;

std::string startup(std::initializer_list<StartupParameter> parameters, int minor = 0) {
  std::string out;
  wire::append_startup(out, minor, parameters);
  return out;
}
std::string packet(uint32_t code, std::string_view body = {}) {
  std::string out;
  base::append_u32(out, static_cast<uint32_t>(body.size() + 8));
  base::append_u32(out, code);
  return out += body;
}
const std::string kSslRequest = packet(wire::kSslRequestCode);
const std::string kGssEncRequest = packet(wire::kGssEncRequestCode);
const std::string kStartup = startup({{"user", "app"}, {"database", "orders"}});

constexpr std::string_view kOk = "Authentication 0\n";

}  // namespace

TEST_CASE("a client is let in with its user, database and settings") {
  both_ways([](Pieces pieces) {
    Rules rules;
    Conversation with(rules, pieces);
    with.receives(startup({{"user", "app"},
                           {"database", "orders"},
                           {"application_name", "shop"},
                           {"client_encoding", "UTF8"},
                           {"DateStyle", "ISO"}}))
        .answers(kOk);
    const Accepted& accepted = with.accepted();
    CHECK(accepted.user == "app");
    CHECK(accepted.database == "orders");
    CHECK(accepted.protocol_minor == 0);
    CHECK(accepted.settings.application_name == "shop");
    using Entries = std::vector<StartupSettings::Entry>;
    CHECK(accepted.settings.entries == Entries{{"client_encoding", "UTF8"}, {"DateStyle", "ISO"}});
    CHECK(with.login.user() == "app");
    CHECK(with.login.database() == "orders");
    CHECK(rules.admissions == 1);
  });
}

TEST_CASE("what follows the login in the same bytes belongs to the session") {
  Rules rules;
  std::string query;
  wire::append_query(query, "select 1");
  Conversation with(rules);
  with.receives(kStartup + query);
  with.accepted();
  CHECK(with.unused == query.size());
}

TEST_CASE("what follows in the same bytes is told apart behind a beginning that came before") {
  Rules rules;
  for (size_t cut = 1; cut < kStartup.size(); ++cut) {
    Conversation with(rules);
    with.receives(kStartup.substr(0, cut));
    with.receives(kStartup.substr(cut) + "session");
    with.accepted();
    CHECK(with.unused == 7);
  }
}

TEST_CASE("the database is the user's name if none is given, or an empty one") {
  Rules rules;
  Conversation none(rules), empty(rules);
  CHECK(none.receives(startup({{"user", "app"}})).accepted().database == "app");
  CHECK(empty.receives(startup({{"user", "app"}, {"database", ""}})).accepted().database == "app");
}

TEST_CASE("options are settings, and those of the packet itself come behind them") {
  Rules rules;
  Conversation with(rules);
  with.receives(startup(
      {{"user", "app"}, {"geqo", "on"}, {"options", "-c geqo=off -c work_mem=1MB -c application_name=a"}}));
  using Entries = std::vector<StartupSettings::Entry>;
  CHECK(with.accepted().settings.entries == Entries{{"geqo", "off"}, {"work_mem", "1MB"}, {"geqo", "on"}});
  CHECK(with.accepted().settings.application_name == "a");
}

TEST_CASE("bad options are refused with 42601") {
  Rules rules;
  Conversation with(rules);
  with.receives(startup({{"user", "app"}, {"options", "-x"}}));
  with.is_refused("42601", "invalid command-line argument for server process: -x");
}

TEST_CASE("requests for encryption are answered N, once each, in any order") {
  both_ways([](Pieces pieces) {
    Rules rules;
    Conversation with(rules, pieces);
    CHECK(with.receives(kGssEncRequest).answer() == "N");
    CHECK(with.receives(kSslRequest).answer() == "N");
    with.receives(kStartup).answers(kOk);
    with.accepted();
    Conversation other(rules, pieces);
    CHECK(other.receives(kSslRequest).answer() == "N");
    CHECK(other.receives(kGssEncRequest).answer() == "N");
    other.receives(kStartup).answers(kOk);
    other.accepted();
  });
}

TEST_CASE("a second request for the same encryption is refused") {
  both_ways([](Pieces pieces) {
    Rules rules;
    Conversation with(rules, pieces);
    with.receives(kSslRequest).answer();
    with.receives(kSslRequest);
    with.is_refused("0A000", "unsupported frontend protocol 1234.5679: server supports 3.0 to 3.2");
    Conversation other(rules, pieces);
    other.receives(kGssEncRequest).answer();
    other.receives(kGssEncRequest);
    other.is_refused("0A000", "unsupported frontend protocol 1234.5680: server supports 3.0 to 3.2");
  });
}

TEST_CASE("bytes sent together with a request for encryption close the connection, and it is not answered") {
  Rules rules;
  Conversation ssl(rules), gss(rules);
  ssl.receives(kSslRequest + kStartup);
  ssl.is_refused("08P01", "received unencrypted data after SSL request");
  gss.receives(kGssEncRequest + "x");
  gss.is_refused("08P01", "received unencrypted data after GSSAPI encryption request");
  CHECK(rules.admissions == 0);
}

TEST_CASE("a cancel request is handed over with its secret, and nothing is said") {
  both_ways([](Pieces pieces) {
    Rules rules;
    for (const size_t size : {size_t{4}, size_t{32}, size_t{256}}) {
      std::string bytes;
      wire::append_cancel_request(bytes, 4711, std::string(size, 'k'));
      Conversation with(rules, pieces);
      with.receives(bytes);
      REQUIRE(std::holds_alternative<CancelAsked>(with.step));
      CHECK(std::get<CancelAsked>(with.step).process_id == 4711);
      CHECK(std::get<CancelAsked>(with.step).secret == std::string(size, 'k'));
      CHECK(with.answer().empty());
      CHECK(rules.admissions == 0);
    }
  });
}

TEST_CASE("a cancel request after a refused SSLRequest is one too") {
  Rules rules;
  std::string bytes;
  wire::append_cancel_request(bytes, 1, "abcd");
  Conversation with(rules);
  with.receives(kSslRequest);
  with.receives(bytes);
  CHECK(std::holds_alternative<CancelAsked>(with.step));
}

TEST_CASE("protocol 3.0 and 3.2 are spoken as asked for, without a word about it") {
  Rules rules;
  for (const auto& [asked, spoken] : {std::pair{0, 0}, {1, 0}, {2, 2}}) {
    Conversation with(rules);
    with.receives(startup({{"user", "app"}}, asked)).answers(kOk);
    CHECK(with.accepted().protocol_minor == spoken);
  }
}

TEST_CASE("a later minor version is told the newest that we speak") {
  both_ways([](Pieces pieces) {
    Rules rules;
    for (const int asked : {3, 9999, 65535}) {
      Conversation with(rules, pieces);
      with.receives(startup({{"user", "app"}}, asked))
          .answers("NegotiateProtocolVersion 196610 0\nAuthentication 0\n");
      CHECK(with.accepted().protocol_minor == 2);
    }
  });
}

TEST_CASE("unknown protocol options are told by name, and the version stays the client's") {
  Rules rules;
  Conversation with(rules);
  with.receives(startup({{"user", "app"}, {"_pq_.b", "1"}, {"_pq_.a", ""}}, 0))
      .answers("NegotiateProtocolVersion 196608 2 \"_pq_.b\" \"_pq_.a\"\nAuthentication 0\n");
  CHECK(with.accepted().protocol_minor == 0);
  CHECK(with.accepted().settings.entries.empty());
}

TEST_CASE("libpq 19's probe of our negotiation gets the answer that it expects") {
  Rules rules;
  Conversation with(rules);
  with.receives(startup({{"user", "app"}, {"_pq_.test_protocol_negotiation", ""}}, 9999))
      .answers("NegotiateProtocolVersion 196610 1 \"_pq_.test_protocol_negotiation\"\nAuthentication 0\n");
  CHECK(with.accepted().protocol_minor == 2);
}

TEST_CASE("a negotiation goes before a challenge, and before a refusal") {
  Rules rules;
  rules.admission = base::Error{"53300", "full house"};
  Conversation with(rules);
  with.receives(startup({{"user", "app"}}, 3))
      .answers(
          "NegotiateProtocolVersion 196610 0\nErrorResponse S \"FATAL\" V \"FATAL\" C \"53300\" M \"full "
          "house\"\n");
}

TEST_CASE("other major versions are refused with 0A000") {
  Rules rules;
  Conversation with(rules);
  with.receives(packet(wire::protocol_version(4, 0), std::string(1, '\0')));
  with.is_refused("0A000", "unsupported frontend protocol 4.0: server supports 3.0 to 3.2");
}

TEST_CASE("a client of protocol 2 is refused in the form that it can read") {
  both_ways([](Pieces pieces) {
    Rules rules;
    Conversation with(rules, pieces);
    with.receives(packet(wire::protocol_version(2, 0), std::string(288, '\0')));
    CHECK(with.rejected().error.sqlstate == "0A000");
    CHECK(with.answer() ==
          std::string("EFATAL:  unsupported frontend protocol 2.0: server supports 3.0 to 3.2\n") + '\0');
  });
}

TEST_CASE("what is no PostgreSQL client at all is hung up on without a word") {
  both_ways([](Pieces pieces) {
    Rules rules;
    for (const std::string& bytes :
         {std::string("GET / HTTP/1.1\r\n"), std::string("\x16\x03\x01\x02\x00\x01\x00", 7),
          std::string(8, '\0'), std::string("\0\0\0\7\0\0\0", 7), std::string("\xff\xff\xff\xff\xff"),
          std::string("\0\0\x27\x15\0\3\0\0", 8)}) {
      Conversation with(rules, pieces);
      with.receives(bytes);
      with.is_hung_up_on("invalid length of startup packet");
      CHECK_FALSE(with.rejected().is_probe);
    }
  });
}

TEST_CASE("a broken layout and a missing user are refused in PostgreSQL's words") {
  Rules rules;
  Conversation layout(rules), none(rules), empty(rules);
  layout.receives(packet(wire::protocol_version(3, 0), std::string_view("user\0app\0", 9)));
  layout.is_refused("08P01", "invalid startup packet layout: expected terminator as last byte");
  none.receives(startup({{"database", "orders"}}));
  none.is_refused("28000", "no PostgreSQL user name specified in startup packet");
  empty.receives(startup({{"user", ""}, {"database", "orders"}}));
  empty.is_refused("28000", "no PostgreSQL user name specified in startup packet");
  CHECK(rules.admissions == 0);
}

TEST_CASE("replication is refused with 0A000, whatever word asks for it") {
  Rules rules;
  for (const char* value : {"true", "TRUE", "t", "1", "on", "yes", "database"}) {
    CAPTURE(value);
    Conversation with(rules);
    with.receives(startup({{"user", "app"}, {"replication", value}}));
    with.is_refused("0A000", "replication connections cannot be pooled");
  }
}

TEST_CASE("replication that is off is no replication, and other words are wrong") {
  Rules rules;
  for (const char* value : {"false", "0", "off", "of", "no", "N", ""}) {
    CAPTURE(value);
    Conversation with(rules);
    with.receives(startup({{"user", "app"}, {"replication", value}}));
    CHECK(with.accepted().settings.entries.empty());
  }
  for (const char* value : {"o", "maybe", "truely", "Database"}) {
    CAPTURE(value);
    Conversation with(rules);
    with.receives(startup({{"user", "app"}, {"replication", value}}));
    with.is_refused("22023", std::string("invalid value for parameter \"replication\": \"") + value + "\"");
  }
}

TEST_CASE("who is not admitted is told why after the startup packet, never before") {
  both_ways([](Pieces pieces) {
    Rules rules;
    rules.admission = base::Error{"53300", "full house"};
    Conversation with(rules, pieces);
    CHECK(with.receives(kSslRequest).answer() == "N");
    with.receives(kStartup);
    with.is_refused("53300", "full house");
  });
}

TEST_CASE("who has not proved who it is takes nobody's place") {
  for (const bool is_right : {false, true}) {
    Rules rules;
    rules.add_user("app", "pencil");
    rules.method = auth::AuthMethod::Password;
    rules.admission = base::Error{"53300", "full house"};
    Conversation with(rules);
    with.receives(kStartup);
    const std::string_view said = is_right ? "pencil" : "pen";
    std::string answer;
    {
      const wire::MessageFrame frame(answer, 'p');
      wire::append_cstring(answer, said);
    }
    with.receives(answer);
    CHECK(rules.admissions == (is_right ? 1 : 0));
    with.is_refused(is_right ? "53300" : "28P01",
                    is_right ? "full house" : "password authentication failed for user \"app\"");
  }
}

TEST_CASE("who may log in may still not use the pool") {
  Rules rules;
  rules.authorization = base::Error{"3D000", "no such pool"};
  Conversation with(rules);
  with.receives(kStartup);
  with.is_refused("3D000", "no such pool");
}

TEST_CASE("a client that leaves before it said anything is a probe") {
  Rules rules;
  CHECK(Conversation(rules).login.hung_up().is_probe);
  Conversation ssl(rules);
  ssl.receives(kSslRequest);
  CHECK(ssl.login.hung_up().is_probe);
  ssl.receives(kGssEncRequest);
  CHECK(ssl.login.hung_up().is_probe);
}

TEST_CASE("a client that leaves within its startup packet is told of in the log") {
  Rules rules;
  for (size_t cut = 1; cut < kStartup.size(); ++cut) {
    CAPTURE(cut);
    Conversation with(rules);
    with.receives(kStartup.substr(0, cut));
    CHECK(std::holds_alternative<MoreNeeded>(with.step));
    const Rejected rejected = with.login.hung_up();
    CHECK(rejected.error == base::Error{"08P01", "incomplete startup packet"});
    CHECK_FALSE(rejected.is_probe);
    CHECK(with.answer().empty());
  }
}

TEST_CASE("the time limit ends a silent client silently, and a slow one with a line in the log") {
  Rules rules;
  std::string out;
  Conversation silent(rules), slow(rules);
  CHECK(silent.login.timed_out(out).is_probe);
  slow.receives(kStartup.substr(0, 10));
  CHECK_FALSE(slow.login.timed_out(out).is_probe);
  CHECK(out.empty());
}

TEST_CASE("the time limit ends a client that owes its password with 57014") {
  Rules rules;
  rules.method = auth::AuthMethod::Password;
  Conversation with(rules);
  with.receives(kStartup);
  std::string out;
  CHECK(with.login.timed_out(out).error.sqlstate == "57014");
  CHECK(wire::trace_server(out) ==
        "ErrorResponse S \"FATAL\" V \"FATAL\" C \"57014\" M \"canceling authentication due to timeout\"\n");
}
