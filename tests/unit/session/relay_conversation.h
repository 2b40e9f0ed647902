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
  RelayConversation& has_prepared(std::string_view name, std::string_view sql, uint32_t number) {
    return sends(parse(name, sql) + sync())
        .server_gets(parse(ServerStatements::name_of(number), sql) + sync())
        .server_answers(messages("1ZI"))
        .gets(messages("1ZI"));
  }
  RelayConversation& runs(std::string_view name, uint32_t number) {
    return sends(run(name))
        .server_gets(run(ServerStatements::name_of(number)))
        .server_answers(messages("2DCZI"))
        .gets(messages("2DCZI"));
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
