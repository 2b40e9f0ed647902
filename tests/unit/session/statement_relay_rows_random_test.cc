// Thousands of random conversations of several clients with fewer servers through StatementRelay, while the
// table that some of their statements read looks now so, now so. Who was told what a statement's rows look
// like gets no others, and "cached plan must not change result type" only if they have changed meanwhile.
#include <doctest/doctest.h>

#include <map>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <vector>

#include "lib/wire/message_reader.h"
#include "lib/wire/trace.h"
#include "tests/unit/session/client_script.h"
#include "tests/unit/session/relayed.h"
#include "tests/unit/session/statement_server_model.h"

namespace tidepool::session {
namespace {

using Table = StatementServerModel::Table;

class ChangingRows {
 public:
  ChangingRows(uint32_t seed, size_t clients, size_t servers) : random_(seed), piecewise_(chance(3)) {
    for (size_t i = 0; i < servers; ++i) servers_.push_back(std::make_unique<Server>(i, table_));
    for (size_t i = 0; i < clients; ++i) clients_.push_back(new_client(i));
  }

  // What is wrong, or nothing.
  std::string run(int turns) {
    for (int turn = 0; turn < turns && error_.empty(); ++turn) {
      if (chance(6)) alter();
      Client& client = *clients_[below(clients_.size())];
      if (!client.asked.empty())
        say_more(client);
      else if (chance(2))
        begin_batch(client);
      if (chance(40))
        move(client);
      else if (chance(60))
        vanish(client);
      for (auto& server : servers_) work(*server, false);
      serve();
    }
    settle();
    return error_;
  }

  std::string transcript;
  // What has come to pass.
  size_t told = 0, rows_as_told = 0, refused = 0;

 private:
  struct Asked {
    enum class Kind : uint8_t { Parse, Close, Describe, Bind, DescribePortal, Execute, Query, Sync } kind;
    std::string name, text = {};
  };
  struct Statement {
    std::string text;
    std::optional<int> way = {};  // that the client was told
  };
  struct Server;
  struct Client {
    explicit Client(uint64_t id, StatementBook& book) : relayed(id, book) {}
    RelayedClient relayed;
    size_t number = 0;
    Server* server = nullptr;
    std::map<std::string, Statement> statements;
    std::string batch, unsaid;  // all of it, and what is left
    std::vector<Asked> asked;
    size_t asked_at = 0;  // when, by ways_
    char status = 'I';
  };
  struct Server {
    Server(size_t at, Table& table) : number(at), model(&table) {}
    size_t number;
    RelayedServer relayed;
    StatementServerModel model;
    Client* client = nullptr;
  };

  size_t below(size_t limit) { return std::uniform_int_distribution<size_t>(0, limit - 1)(random_); }
  bool chance(size_t one_in) { return below(one_in) == 0; }
  template <class... Choices>
  std::string one_of(Choices... choices) {
    const std::string all[] = {choices...};
    return all[below(sizeof...(choices))];
  }
  void error(const std::string& text) {
    if (error_.empty()) error_ = text;
  }
  std::unique_ptr<Client> new_client(size_t number) {
    auto client = std::make_unique<Client>(++last_id_, book_);
    client->relayed.max_prepared_statements = 2;
    client->number = number;
    return client;
  }

  // Not while a server has something to do: what one batch has locked does not change within it.
  void alter() {
    for (auto& server : servers_)
      if (server->model.has_locked() || !server->relayed.to_server.empty()) return;
    table_.alter();
    ways_.push_back(table_.way);
    transcript += "   alter\n";
  }
  bool was_other_than(int way, size_t since) const {
    for (size_t at = since; at < ways_.size(); ++at)
      if (ways_[at] != way) return true;
    return false;
  }

  // -- What clients say

  void begin_batch(Client& client) {
    client.asked_at = ways_.size() - 1;
    const auto ask = [&](Asked::Kind kind, const std::string& bytes, const std::string& name = "",
                         const std::string& text = "") {
      client.batch += bytes;
      client.asked.push_back({kind, name, text});
    };
    using Kind = Asked::Kind;
    if (chance(5)) {
      ask(Kind::Query, query(one_of("begin", "commit", "rollback", "fail", "discard all", "deallocate all")));
    } else {
      for (size_t i = 1 + below(4); i > 0; --i) {
        const std::string name = one_of("a", "a", "b", "c");
        switch (below(8)) {
          case 0:
          case 1: {
            const std::string text = one_of("values 1", "values 1", "values 2", "select 3");
            if (chance(2)) ask(Kind::Close, close(name), name);
            ask(Kind::Parse, parse(name, text), name, text);
            break;
          }
          case 2:
            ask(Kind::Close, close(name), name);
            break;
          case 3:
            ask(Kind::Describe, describe(name), name);
            break;
          case 4:
            ask(Kind::Bind, bind_to(name, {}), name);
            ask(Kind::DescribePortal, describe_portal(), name);
            if (chance(2)) ask(Kind::Execute, execute(), name);
            break;
          default:
            ask(Kind::Bind, bind_to(name, {}), name);
            ask(Kind::Execute, execute(), name);
        }
      }
      ask(Kind::Sync, sync());
    }
    client.unsaid = client.batch;
    transcript += "client " + std::to_string(client.number) + ": " + wire::trace_client(client.batch);
    say_more(client);
  }
  void say_more(Client& client) {
    if (client.server == nullptr || client.unsaid.empty()) return;
    const size_t size = piecewise_ ? std::min(client.unsaid.size(), 1 + below(20)) : client.unsaid.size();
    const std::string piece = client.unsaid.substr(0, size);
    client.unsaid.erase(0, size);
    client.server->relayed.client_says(piece);
  }

  // -- What servers do

  void work(Server& server, bool all) {
    if (server.client == nullptr) return;
    std::string& sent = server.relayed.to_server;
    if (!sent.empty())
      transcript += "   server " + std::to_string(server.number) + " gets: " + wire::trace_client(sent);
    server.model.receive(std::exchange(sent, {}));
    if (all || chance(2))
      while (server.model.has_work()) server.model.step();
    const size_t waiting = server.model.answers().size();
    if (waiting > 0 && (all || chance(2))) {
      const size_t size = piecewise_ ? 1 + below(std::min<size_t>(waiting, 60)) : waiting;
      const std::string bytes = server.model.answers().substr(0, size);
      server.model.take_answers(size);
      server.relayed.server_says(bytes);
      if (server.relayed.tracker.in_doubt()) error("in doubt");
    }
    Client& client = *server.client;
    hear(client);
    if (client.asked.empty() && server.relayed.may_go() && server.model.is_idle() &&
        server.model.answers().empty() && server.relayed.to_server.empty() && chance(2))
      let_go(server);
  }
  void let_go(Server& server) {
    transcript += "   client " + std::to_string(server.client->number) + " leaves server " +
                  std::to_string(server.number) + "\n";
    if (!server.relayed.leave()) error("left, and something is unsettled");
    server.client->server = nullptr;
    server.client = nullptr;
  }
  void serve() {
    for (auto& client : clients_) {
      if (client->server != nullptr || client->asked.empty()) continue;
      Server& server = *servers_[below(servers_.size())];
      if (server.client != nullptr) continue;
      server.client = client.get();
      client->server = &server;
      client->asked_at = ways_.size() - 1;
      server.relayed.lend_to(client->relayed);
      transcript += "   client " + std::to_string(client->number) + " gets server " +
                    std::to_string(server.number) + "\n";
      say_more(*client);
    }
  }
  // A server that is gone, whatever the relay is at.
  void drop(Server& server) {
    static_cast<void>(server.relayed.leave());
    if (server.relayed.relay.has_marks() || server.relayed.relay.asks() || server.relayed.relay.wants_rest())
      error("left, and something is asked");
    servers_[server.number] = std::make_unique<Server>(server.number, table_);
  }
  void vanish(Client& client) {
    transcript += "   client " + std::to_string(client.number) + " vanishes\n";
    if (client.server != nullptr) drop(*client.server);
    clients_[client.number] = new_client(client.number);
  }
  // Its server is given up while nothing of the client's has been answered: it asks again elsewhere.
  void move(Client& client) {
    if (client.server == nullptr || client.status != 'I' || client.asked.empty() ||
        !client.relayed.heard.empty())
      return;
    transcript += "   client " + std::to_string(client.number) + " moves\n";
    client.server->relayed.relay.take_back(client.relayed.statements);
    drop(*client.server);
    client.server = nullptr;
    client.relayed.pending.clear();
    client.relayed.cursor = {};
    client.unsaid = client.batch;
  }

  // -- What clients hear: judged when a batch is answered in full

  void hear(Client& client) {
    if (client.asked.empty()) return;
    std::vector<std::pair<char, std::string>> answers;
    const std::string& heard = client.relayed.heard;
    for (size_t at = 0; at + wire::kHeaderSize <= heard.size();) {
      const size_t size = 1 + base::read_u32(heard.data() + at + 1);
      if (at + size > heard.size()) return;
      answers.emplace_back(heard[at], heard.substr(at + wire::kHeaderSize, size - wire::kHeaderSize));
      at += size;
    }
    if (answers.empty() || answers.back().first != 'Z') return;
    transcript += "   client " + std::to_string(client.number) + " hears: " + wire::trace_server(heard);
    judge(client, answers);
    client.status = answers.back().second.front();
    client.relayed.heard.clear();
    client.asked.clear();
    client.batch.clear();
  }
  void judge(Client& client, const std::vector<std::pair<char, std::string>>& answers) {
    size_t at = 0;
    const auto type = [&] { return at < answers.size() ? answers[at].first : '\0'; };
    for (const Asked& asked : client.asked) {
      using Kind = Asked::Kind;
      const auto found = client.statements.find(asked.name);
      Statement* statement = found != client.statements.end() ? &found->second : nullptr;
      if (type() == 't') ++at;
      if (type() == 'E') return judge_error(client, answers[at].second, statement);
      const char expected = asked.kind == Kind::Parse   ? '1'
                            : asked.kind == Kind::Close ? '3'
                            : asked.kind == Kind::Bind  ? '2'
                                                        : type();
      if (type() != expected) return error("another answer than expected");
      switch (asked.kind) {
        case Kind::Parse:
          client.statements[asked.name] = {asked.text};
          break;
        case Kind::Close:
          client.statements.erase(asked.name);
          break;
        case Kind::Describe:
        case Kind::DescribePortal:
          if (type() != 'T' && type() != 'n') return error("no description");
          is_told(*statement, way_in(answers[at], *statement));
          break;
        case Kind::Execute: {
          const int way = way_in(answers[at], *statement);
          if (type() == 'D') ++at;
          if (statement->way && *statement->way != way)
            return error("rows of another shape than it was told");
          rows_as_told += statement->way ? 1 : 0;
          break;
        }
        case Kind::Query:
          if (type() == 'C' && ends_all(answers[at].second)) client.statements.clear();
          break;
        case Kind::Bind:
        case Kind::Sync:
          break;
      }
      ++at;
    }
  }
  static bool ends_all(const std::string& tag) {
    return tag.starts_with("DISCARD ALL") || tag.starts_with("DEALLOCATE ALL");
  }
  void is_told(Statement& statement, int way) {
    if (statement.way && *statement.way != way) return error("told of other rows than before");
    statement.way = way;
    ++told;
  }
  // What a description or a row says of the table; no rows are a way, too.
  static int way_in(const std::pair<char, std::string>& answer, const Statement& statement) {
    if (!statement.text.starts_with("values")) return 0;
    if (answer.first != 'T' && answer.first != 'D') return Table::kNoRows;
    const size_t mark = answer.second.find('#');
    return mark == std::string::npos ? 0 : answer.second[mark + 1] - '0';
  }
  void judge_error(Client& client, const std::string& body, const Statement* statement) {
    const base::Error told_error = wire::read_error(body);
    if (told_error.sqlstate != "0A000") return;
    ++refused;
    if (statement == nullptr) return error("0A000 for nothing");
    // Who was told nothing may hear it of a copy that somebody else has prepared before.
    if (statement->way && !was_other_than(*statement->way, client.asked_at))
      error("0A000, and the rows are as they were");
  }

  void settle() {
    for (int round = 0; round < 3000 && error_.empty(); ++round) {
      for (auto& client : clients_) say_more(*client);
      for (auto& server : servers_) work(*server, true);
      serve();
    }
    for (auto& client : clients_)
      if (!client->asked.empty() && client->server != nullptr)
        error("client " + std::to_string(client->number) + " waits for ever");
  }

  std::mt19937 random_;
  const bool piecewise_;
  StatementBook book_;
  Table table_;
  std::vector<int> ways_{0};  // in which the table has looked, one behind the other
  uint64_t last_id_ = 0;
  std::vector<std::unique_ptr<Client>> clients_;
  std::vector<std::unique_ptr<Server>> servers_;
  std::string error_;
};

TEST_CASE("who was told what a statement's rows look like gets no others while tables change") {
  size_t told = 0, rows_as_told = 0, refused = 0;
  for (uint32_t seed = 1; seed <= 3000; ++seed) {
    ChangingRows pool(seed, 3, 2);
    const std::string error = pool.run(300);
    CAPTURE(seed);
    CAPTURE(pool.transcript);
    REQUIRE(error == "");
    told += pool.told;
    rows_as_told += pool.rows_as_told;
    refused += pool.refused;
  }
  // Otherwise nothing was tried.
  CHECK(told > 10'000);
  CHECK(rows_as_told > 5000);
  CHECK(refused > 5000);
}

}  // namespace
}  // namespace tidepool::session
