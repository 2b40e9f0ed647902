// A conversation through StatementRelay in a test: what the client sends, what the server gets, what it
// answers, what the client gets. Each test case is run twice: with whole messages, and byte by byte. What
// nobody has asked about at the end was not expected.
#pragma once

#include <doctest/doctest.h>

#include <map>
#include <string>
#include <string_view>

#include "lib/wire/message_reader.h"
#include "lib/wire/trace.h"
#include "tests/unit/session/client_script.h"
#include "tests/unit/session/relayed.h"
#include "tests/unit/session/server_script.h"

namespace tidepool::session {

// An ErrorResponse as a server words it.
inline std::string error(std::string_view sqlstate, std::string_view message, std::string_view routine = "") {
  std::string bytes;
  const wire::MessageFrame frame(bytes, 'E');
  for (const auto& [letter, value] : std::initializer_list<std::pair<char, std::string_view>>{
           {'S', "ERROR"}, {'V', "ERROR"}, {'C', sqlstate}, {'M', message}, {'R', routine}}) {
    if (value.empty()) continue;
    bytes.push_back(letter);
    wire::append_cstring(bytes, value);
  }
  bytes.push_back('\0');
  return bytes;
}
inline std::string unknown(std::string_view name) {
  return error("26000", "prepared statement \"" + std::string(name) + "\" does not exist");
}
inline std::string tag(std::string_view text) {
  std::string bytes;
  wire::append_command_complete(bytes, text);
  return bytes;
}
inline const std::string kChanged =
    error("0A000", "cached plan must not change result type", "RevalidateCachedQuery");

// The answers to a Describe of a statement.
inline std::string parameters(std::initializer_list<uint32_t> types = {}) {
  std::string bytes;
  wire::append_parameter_description(bytes, {types.begin(), types.size()});
  return bytes;
}
inline std::string rows(std::initializer_list<wire::Column> columns) {
  std::string bytes;
  wire::append_row_description(bytes, columns);
  return bytes;
}
inline const std::string kRows = rows({{"a", 23, 4}}), kOtherRows = rows({{"a", 23, 4}, {"b", 23, 4}});
inline const std::string kNoRows = messages("n");
inline const std::string kDescribed = parameters() + kRows;

// A name of ours on a server.
inline std::string ours(uint32_t number) {
  return "tidepool_" + std::to_string(number);
}
inline const std::string kNobody = "tidepool_refused";
// What a use needs where the statement is not there yet, and waits for.
inline std::string asked(uint32_t number, std::string_view sql, std::initializer_list<uint32_t> types = {}) {
  return parse(ours(number), sql, types) + describe(ours(number)) + flush();
}
// "cached plan must not change result type" in PostgreSQL's words, with the routine that drivers look for.
inline const std::string kRefusedRows = [] {
  std::string bytes;
  const wire::MessageFrame frame(bytes, 'E');
  for (const std::string_view field :
       {"SERROR", "VERROR", "C0A000", "Mcached plan must not change result type", "Fplancache.c",
        "RRevalidateCachedQuery"})
    wire::append_cstring(bytes, field);
  bytes.push_back('\0');
  return bytes;
}();
// What the relay sets for a Parse, in front of it and behind it, and the answers.
inline std::string set(std::string_view text) {
  const std::string name = "tidepool_set";
  return parse(name, text) + bind_to(name, {}, name) + execute(name) + close_portal(name) + close(name);
}
inline std::string is_set() {
  return messages("12C33");
}

class RelayConversation {
 public:
  enum class Pieces { WholeAndByteByByte, Whole };

  explicit RelayConversation(Pieces pieces = Pieces::WholeAndByteByByte,
                             size_t most_bytes = StatementBook::kMostBytes)
      : book_(most_bytes) {
    if (pieces == Pieces::Whole) return;
    SUBCASE("whole") {
      piece_ = kWhole;
    }
    SUBCASE("byte by byte") {
      piece_ = 1;
    }
  }
  ~RelayConversation() {
    if (std::uncaught_exceptions() > 0) return;
    for (auto& [number, server] : servers_) CHECK(wire::trace_client(server.to_server) == "");
    for (auto& [number, client] : clients_) CHECK(wire::trace_server(client.heard) == "");
  }

  // Client 1 on server 1.
  RelayConversation& begin() { return client(1).on_server(1); }
  // Another client, another server: the one that spoke until now has left its server.
  RelayConversation& client(uint64_t number) {
    if (server_ != nullptr && server_->client() != nullptr) leaves();
    client_ = &clients_.try_emplace(number, number, book_).first->second;
    server_ = nullptr;
    return *this;
  }
  RelayConversation& on_server(int number) {
    if (server_ != nullptr && server_->client() != nullptr) leaves();
    server_ = &servers_[number];
    server_->lend_to(*client_);
    return *this;
  }
  RelayConversation& leaves() {
    REQUIRE(server_->may_go());
    REQUIRE(server_->leave());
    return *this;
  }

  RelayConversation& sends(std::string_view bytes) {
    for (size_t at = 0; at < bytes.size(); at += piece_) server_->client_says(bytes.substr(at, piece_));
    return *this;
  }
  RelayConversation& server_gets(std::string_view bytes) {
    const std::string got = std::exchange(server_->to_server, {});
    CHECK(wire::trace_client(got) == wire::trace_client(bytes));
    CHECK(got == bytes);
    return *this;
  }
  RelayConversation& as_it_is(std::string_view bytes) { return sends(bytes).server_gets(bytes); }
  RelayConversation& server_answers(std::string_view bytes) {
    for (size_t at = 0; at < bytes.size(); at += piece_) server_->server_says(bytes.substr(at, piece_));
    return *this;
  }
  RelayConversation& gets(std::string_view bytes) {
    const std::string got = std::exchange(client_->heard, {});
    CHECK(wire::trace_server(got) == wire::trace_server(bytes));
    CHECK(got == bytes);
    return *this;
  }
  RelayConversation& gets_nothing_yet() { return gets(""); }
  // A refusal of ours, whatever its words are.
  RelayConversation& gets_error(std::string_view sqlstate, std::string_view words, std::string_view then) {
    const std::string got = std::exchange(client_->heard, {});
    REQUIRE(got.size() > wire::kHeaderSize);
    REQUIRE(got.front() == 'E');
    const size_t size = 1 + base::read_u32(got.data() + 1);
    const base::Error told = wire::read_error(std::string_view(got).substr(5, size - 5));
    CHECK(told.sqlstate == sqlstate);
    CHECK(told.message.find(words) != std::string::npos);
    CHECK_FALSE(told.hint.empty());
    CHECK(wire::trace_server(got.substr(size)) == wire::trace_server(then));
    return *this;
  }

  // `name`, prepared by this client on this server as "tidepool_<number>".
  RelayConversation& has_prepared(std::string_view name, std::string_view sql, uint32_t number,
                                  const std::string& description = kDescribed) {
    return sends(parse(name, sql) + sync())
        .server_gets(parse(ours(number), sql) + describe(ours(number)) + sync())
        .server_answers(messages("1") + description + messages("ZI"))
        .gets(messages("1ZI"));
  }
  // The same of a command that is not analysed: nothing need be asked.
  RelayConversation& has_prepared_command(std::string_view name, std::string_view sql, uint32_t number) {
    return sends(parse(name, sql) + sync())
        .server_gets(parse(ours(number), sql) + sync())
        .server_answers(messages("1ZI"))
        .gets(messages("1ZI"));
  }
  RelayConversation& runs(std::string_view name, uint32_t number) {
    return sends(run(name))
        .server_gets(run(ours(number)))
        .server_answers(messages("2DCZI"))
        .gets(messages("2DCZI"));
  }
  // What the client sent last needs a statement that is not there: it is prepared as tidepool_<number>,
  // behind `closes`, and the relay asks what it is.
  RelayConversation& is_asked(uint32_t number, std::string_view sql,
                              std::initializer_list<uint32_t> types = {},
                              const std::string& description = kDescribed) {
    return server_gets(asked(number, sql, types)).gets_nothing_yet().is_described(description);
  }
  RelayConversation& is_described(const std::string& description = kDescribed) {
    return server_answers(messages("1") + description).gets_nothing_yet();
  }
  // The client runs `name`, which this server has not got.
  RelayConversation& runs_anew(std::string_view name, uint32_t number, std::string_view sql,
                               std::initializer_list<uint32_t> types = {}) {
    return sends(run(name))
        .is_asked(number, sql, types, parameters(types) + kRows)
        .server_gets(run(ours(number)))
        .server_answers(messages("2DCZI"))
        .gets(messages("2DCZI"));
  }
  RelayConversation& is_unknown(std::string_view name) { return is_unknown_behind(name, "", ""); }
  RelayConversation& is_unknown_behind(std::string_view name, const std::string& in_front,
                                       const std::string& answers) {
    return sends(run(name))
        .server_gets(in_front + run(name))
        .server_answers(answers + unknown(name) + messages("ZI"))
        .gets(unknown(name) + messages("ZI"));
  }
  RelayConversation& runs_query(std::string_view sql, std::string_view done, char status = 'I') {
    const std::string answer = tag(done) + messages(std::string("Z") + status);
    return as_it_is(query(sql)).server_answers(answer).gets(answer);
  }

  bool is_whole() const { return piece_ == kWhole; }
  RelayedClient& of_client() { return *client_; }
  RelayedServer& of_server() { return *server_; }

 private:
  size_t piece_ = kWhole;
  StatementBook book_;
  std::map<uint64_t, RelayedClient> clients_;
  std::map<int, RelayedServer> servers_;
  RelayedClient* client_ = nullptr;
  RelayedServer* server_ = nullptr;
};

}  // namespace tidepool::session
