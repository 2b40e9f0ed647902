// Some clients on fewer servers, each a model of PostgreSQL, with StatementRelay in between; and for each
// client a model that it has for itself, which hears the same. Whenever a client has said all up to a Sync or
// Flush and everything has arrived, it must have been told the same by both. What happens next is drawn from
// `Chooser`: below(n) returns a number below n.
#pragma once

#include <deque>
#include <memory>
#include <string>
#include <vector>

#include "lib/wire/message_reader.h"
#include "lib/wire/trace.h"
#include "tests/unit/session/client_script.h"
#include "tests/unit/session/relayed.h"
#include "tests/unit/session/statement_server_model.h"

namespace tidepool::session {

template <class Chooser>
class PoolOfModels {
 public:
  PoolOfModels(Chooser& chooser, size_t clients, size_t servers) : chooser_(chooser) {
    for (size_t i = 0; i < servers; ++i) servers_.push_back(std::make_unique<Server>(i, table_));
    for (size_t i = 0; i < clients; ++i) add_client(i);
    piecewise_ = chance(3);
    is_about_settings_ = chance(4);
    is_about_rows_ = !is_about_settings_ && chance(2);
  }

  // What is wrong, or nothing.
  std::string run(int turns) {
    for (int turn = 0; turn < turns && error_.empty(); ++turn) {
      Client& client = *clients_[below(clients_.size())];
      if (below(3) == 0) client_turn(client);
      for (auto& server : servers_) work(*server);
      serve_who_wait();
      if (chance(12)) settle();
      if (chance(is_about_settings_ ? 200 : 40)) vanish(*clients_[below(clients_.size())]);
    }
    settle();
    return error_;
  }

  std::string transcript;

 private:
  struct Server;
  struct Client {
    explicit Client(StatementServerModel::Table& table) : direct(&table) {}
    std::unique_ptr<RelayedClient> relayed;
    StatementServerModel direct;
    std::string heard_directly;
    std::string unsent;  // until it has a server
    Server* server = nullptr;
    size_t number = 0;
    std::string style{StatementServerModel::kOwnStyle};  // the DateStyle that it carries
    bool in_batch = false;
    bool has_set = false;  // in its transaction
    bool has_temporary = false;
    bool is_answered = true;  // up to the last message that it said, once all has arrived
  };
  struct Server {
    Server(size_t at, StatementServerModel::Table& table) : number(at), model(&table) {}
    const size_t number;
    RelayedServer relayed;
    StatementServerModel model;
    Client* client = nullptr;
  };

  size_t below(size_t limit) { return chooser_.below(limit); }
  bool chance(size_t one_in) { return below(one_in) == 0; }
  template <class... Choices>
  std::string_view one_of(Choices... choices) {
    const std::string_view all[] = {choices...};
    return all[below(sizeof...(choices))];
  }

  void add_client(size_t at) {
    auto client = std::make_unique<Client>(table_);
    client->relayed = std::make_unique<RelayedClient>(++last_id_, book_);
    client->relayed->max_prepared_statements = max_prepared_statements_;
    client->number = at;
    client->direct.reads_again = false;
    if (at < clients_.size())
      clients_[at] = std::move(client);
    else
      clients_.push_back(std::move(client));
  }

  // -- What clients say

  void say(Client& client, const std::string& bytes, bool is_answered) {
    transcript += "client " + std::to_string(client.number) + ": " + wire::trace_client(bytes);
    client.direct.receive(bytes);
    while (client.direct.has_work()) client.direct.step();
    client.heard_directly += client.direct.take_answers();
    client.is_answered = is_answered;
    client.unsent += bytes;
    if (client.server != nullptr) pass(client);
  }
  void pass(Client& client) {
    Server& server = *client.server;
    std::string bytes = std::exchange(client.unsent, {});
    while (!bytes.empty()) {
      const size_t size = piecewise_ ? std::min(bytes.size(), 1 + below(9)) : bytes.size();
      server.relayed.client_says(bytes.substr(0, size));
      bytes.erase(0, size);
    }
    collect(server);
  }
  void collect(Server& server) {
    std::string& sent = server.relayed.to_server;
    if (!sent.empty()) transcript += "   " + name_of(server) + " gets: " + wire::trace_client(sent);
    server.model.receive(std::exchange(sent, {}));
  }
  std::string name_of(const Server& server) { return "server " + std::to_string(server.number); }

  void client_turn(Client& client) {
    if (is_about_settings_) return settings_turn(client);
    if (is_about_rows_) return rows_turn(client);
    const bool in_batch = client.in_batch;
    switch (below(13)) {
      case 12:
        client.in_batch = false;
        // What it names is what has the name at its Bind: it is not bound again, behind the Query.
        return say(client,
                   parse("", one_of("deallocate a", "deallocate b;")) + session::run("") + query("select 5"),
                   true);
      case 0:
        client.in_batch = false;
        // Behind an error a Query would be skipped like the rest of its batch: nobody sends one there.
        if (in_batch) say(client, sync(), true);
        return say(client, query(query_text(client)), true);
      case 1:
        if (!in_batch) return;
        return say(client, flush(), true);
      case 2:
      case 3:
      case 4:
        client.in_batch = false;
        return say(client, sync(), true);
      default:
        client.in_batch = true;
        return say(client, batch_message(client), false);
    }
  }
  // What a text means depends on the DateStyle under which it is parsed. A client waits for the answers
  // before and behind a SET and DISCARD PLANS, and in a transaction it prepares nothing behind one: what it
  // is parsed under is not known then (docs/transaction-mode.md).
  void settings_turn(Client& client) {
    if (!client.unsent.empty()) return;  // it has no server yet
    const bool is_idle = client.direct.is_idle();
    if (is_idle && client.relayed->watch.is_suspicious()) return;  // it has one, which has not been asked yet
    client.has_set = client.has_set && !is_idle;
    const std::string_view used = one_of("a", "a", "b");
    switch (below(10)) {
      case 0:
        if (client.has_set) return;
        settle();
        say(client,
            query(one_of("set datestyle to sql", "set datestyle to german", "set datestyle to iso",
                         "set local datestyle to sql", "set datestyle to default", "reset all")),
            true);
        client.has_set = !is_idle;
        return settle();
      case 1:
        if (!client.has_set && chance(3)) {
          settle();
          say(client, query("discard plans"), true);
          return settle();
        }
        say(client, query(one_of("begin", "commit", "rollback", "fail", "select date '1'")), true);
        return client.has_set ? settle() : void();
      case 2:
      case 3:
        if (client.has_set) return;
        return say(client, close(used) + parse(used, one_of("select date '1'", "select date '2'")) + sync(),
                   true);
      case 4:
        if (client.has_set) return;
        return say(client, parse("", "select date '1'") + sync(), true);
      default:
        return say(client, describe(used) + session::run(chance(4) ? "" : used), true);
    }
  }
  // The table changes between transactions; some statements read it.
  void rows_turn(Client& client) {
    if (client.in_batch) {
      client.in_batch = false;
      return say(client, sync(), true);
    }
    const std::string_view used = one_of("a", "a", "b");
    const std::string_view text = one_of("values 1", "values 1", "values 2", "select 3", "show datestyle");
    switch (below(15)) {
      case 0:
        return alter();
      case 14:  // once, in front of everything that would see the second one of its server's process
        if (client.has_temporary || !client.direct.is_idle() || !chance(4)) return;
        client.has_temporary = true;
        return say(client, query("create temporary table t (b int)"), true);
      case 1:
        return say(client,
                   query(one_of("begin", "commit", "rollback", "fail", "discard all", "deallocate all",
                                "deallocate a", "values 1", "show datestyle")),
                   true);
      case 2:
        return say(client, query(one_of("execute a", "execute b", "execute b; execute b")), true);
      case 3:
        return say(client, parse("", one_of("execute a", "deallocate a", "deallocate b")) + session::run(""),
                   true);
      case 4:
        return say(client, close("c") + parse("c", one_of("execute a", "deallocate a", "begin")) + sync(),
                   true);
      case 5:
        return say(client, session::run("c"), true);
      case 6:
        return say(client, parse("", text) + (chance(2) ? describe("") : "") + sync(), true);
      case 7:
        return say(client, session::run(""), true);
      case 8:  // it is not meant for later
        return say(client, parse("", text) + bind_to("") + execute() + close("") + sync(), true);
      case 9:  // prepared in a batch that comes to no end for now
        client.in_batch = true;
        return say(client, close(used) + parse(used, text) + (chance(2) ? describe(used) : "") + flush(),
                   true);
      case 10:
      case 11:
        return say(client,
                   (chance(6) ? "" : close(used)) + parse(used, text) + (chance(2) ? describe(used) : "") +
                       (chance(3) ? bind_to(used) + execute() : "") + sync(),
                   true);
      default:
        return say(client, (chance(3) ? describe(used) : "") + session::run(used), true);
    }
  }
  void alter() {
    settle();
    for (const auto& server : servers_)
      if (server->model.has_locked()) return;
    for (const auto& client : clients_)
      if (client->direct.has_locked() || !client->unsent.empty()) return;
    transcript += "   alter\n";
    table_.alter();
  }

  // The first one has statements of PREPARE, and then all under its own names.
  std::string_view name(const Client& client) {
    return one_of("a", "a", "b", client.number == 0 ? "b" : "tidepool_1", "c");
  }
  std::string_view parsed_text() {
    return one_of("select 1", "select date '1'", "select $1", "select 1", "select date '1'", "nonsense",
                  "fail", "begin", "commit", "rollback", "deallocate all", "discard all", "reset all", "",
                  "SELECT 1", "show datestyle");
  }
  std::string query_text(Client& client) {
    if (client.number == 0 && chance(8))
      return std::string(one_of("prepare p as select 9", "deallocate p", "execute p"));
    return std::string(one_of("select 5", "select date '1'", "begin", "begin", "commit", "rollback",
                              "nonsense", "fail", "deallocate all", "deallocate a", "deallocate prepare b",
                              "discard all", "execute a", "execute b", "select 6; select 7",
                              "select 6; fail; select 7", "reset all", "select 6; deallocate a",
                              "execute a; execute a", ""));
  }
  std::string batch_message(Client& client) {
    switch (below(12)) {
      case 0:
      case 1:
        return parse(name(client), parsed_text());
      case 2:
        return parse("", parsed_text());
      case 3:
        return bind_to("", {});
      case 4:
      case 5:
        return bind_to(name(client), {});
      case 6:
        return bind_to(name(client), {"x"}, one_of("", "", "portal"));
      case 7:
        return describe(chance(5) ? "" : name(client));
      case 8:
        return chance(4) ? describe_portal() : close(chance(6) ? "" : name(client));
      case 9:
        return chance(4) ? close_portal() : close(name(client));
      default:
        return execute(one_of("", "", "", "portal"));
    }
  }

  // -- What servers do

  void work(Server& server) {
    for (size_t i = below(6); i > 0 && server.model.has_work(); --i) server.model.step();
    for (size_t i = below(3); i > 0 && !server.model.answers().empty(); --i) {
      const size_t all = server.model.answers().size();
      deliver(server, piecewise_ ? 1 + below(std::min<size_t>(all, 40)) : all);
    }
    end_prepared(server);
    may_go(server);
  }
  void end_prepared(Server& server) {
    if (server.client == nullptr || chance(2) || !server.relayed.end_prepared_batch()) return;
    transcript += "   the batch on " + name_of(server) + " is ended\n";
    collect(server);
  }
  void deliver(Server& server, size_t size) {
    const std::string bytes = server.model.answers().substr(0, size);
    server.model.take_answers(size);
    if (server.client == nullptr) return error("a server speaks to nobody");
    if (!piecewise_) transcript += "   " + name_of(server) + " says: " + wire::trace_server(bytes);
    server.relayed.server_says(bytes);
    collect(server);
    if (server.relayed.tracker.in_doubt()) error("in doubt");
  }

  void may_go(Server& server) {
    Client* client = server.client;
    if (client == nullptr || !server.relayed.may_go()) return;
    if (server.model.has_work()) return;  // a Flush, which nothing answers
    if (!server.model.is_idle() || !server.model.answers().empty()) return error("not free at all");
    SessionWatch& watch = client->relayed->watch;
    if (watch.is_suspicious() && !watch.stays()) {
      SessionState state;
      if (server.model.has_statements_of_its_own()) state.pins |= bit(Pin::Prepared);
      if (server.model.has_temporary_table()) state.pins |= bit(Pin::Temporary);
      if (watch.asks_settings()) carry(*client, server.model.style());
      server.relayed.relay.statements_are_known();
      watch.answered(state);
      server.model.forget_unnamed();
      server.relayed.relay.unnamed_is_gone();
    }
    if (watch.pins() != 0 || chance(3)) return;
    transcript += "   client " + std::to_string(client->number) + " leaves " + name_of(server) + "\n";
    if (!server.relayed.leave()) return error("left, and something is unsettled");
    client->server = nullptr;
    server.client = nullptr;
    if (server.model.has_statements_of_its_own()) return error("the next client meets a statement");
    if (server.model.statements() > max_prepared_statements_ + kSpare) return error("too many statements");
  }
  // In place of StateQuestion and CarriedSettings.
  void carry(Client& client, const std::string& style) {
    client.style = style;
    const std::string value = style == StatementServerModel::kOwnStyle ? "" : style;
    client.relayed->statements.settings_are(
        parse_settings_of(value.empty() ? "" : "datestyle" + std::string(1, '\0') + value + '\0'));
  }
  void serve_who_wait() {
    const size_t first = below(clients_.size());
    for (size_t i = 0; i < clients_.size(); ++i) {
      Client& client = *clients_[(first + i) % clients_.size()];
      if (client.server == nullptr && !client.unsent.empty()) serve(client);
    }
  }
  void serve(Client& client) {
    const size_t first = below(servers_.size());
    for (size_t i = 0; i < servers_.size(); ++i) {
      Server& server = *servers_[(first + i) % servers_.size()];
      if (server.client != nullptr) continue;
      server.client = &client;
      client.server = &server;
      server.relayed.lend_to(*client.relayed);
      server.model.bring_style_to(client.style);
      transcript += "   client " + std::to_string(client.number) + " gets " + name_of(server) + "\n";
      if (chance(4)) {  // settings in front
        server.model.forget_unnamed();
        server.relayed.relay.unnamed_is_gone();
      }
      return pass(client);
    }
  }
  // A client is gone, and another one comes.
  void vanish(Client& client) {
    transcript += "   client " + std::to_string(client.number) + " vanishes\n";
    if (Server* server = client.server) {
      // As by DISCARD ALL, behind whatever the server was at.
      const bool is_known = server->relayed.may_go();
      if (server->relayed.leave() && !is_known && server->relayed.tracker.server_is_free())
        error("nothing is unsettled?");
      server->client = nullptr;
      servers_[server->number] = std::make_unique<Server>(server->number, table_);
    }
    add_client(client.number);
  }

  // -- All has arrived

  void settle() {
    for (int round = 0; round < 10000 && error_.empty(); ++round) {
      bool is_busy = false;
      for (auto& each : servers_) {
        Server& server = *each;
        while (server.model.has_work()) {
          server.model.step();
          is_busy = true;
        }
        if (!server.model.answers().empty()) {
          deliver(server, server.model.answers().size());
          is_busy = true;
        }
        may_go(server);
        if (!error_.empty()) return;
      }
      serve_who_wait();
      for (auto& server : servers_) is_busy = is_busy || server->model.has_work();
      if (!is_busy) break;
    }
    for (const auto& client : clients_) compare(*client);
  }
  void compare(Client& client) {
    if (!error_.empty() || !client.is_answered || !client.unsent.empty()) return;
    if (client.server != nullptr && client.server->relayed.waits())
      return error("client " + std::to_string(client.number) + " waits for ever");
    const std::string& heard = client.relayed->heard;
    if (heard == client.heard_directly || what_counts(heard) == what_counts(client.heard_directly)) {
      client.relayed->heard.clear();
      client.heard_directly.clear();
      return;
    }
    error("client " + std::to_string(client.number) + " hears\n" + wire::trace_server(heard) +
          "instead of\n" + wire::trace_server(client.heard_directly));
  }
  // Without those fields of an error that say where PostgreSQL noticed it, and whether it was at the Bind of
  // an EXECUTE that the rows of what it names were found to be others, or behind it.
  static std::string what_counts(const std::string& heard) {
    std::string counts;
    for (size_t at = 0; at + wire::kHeaderSize <= heard.size();) {
      const size_t size = std::min(heard.size() - at, size_t{1} + base::read_u32(heard.data() + at + 1));
      if (heard[at] == 'E') {
        constexpr std::string_view kBindComplete("2\0\0\0\4", 5);
        const base::Error told = wire::read_error(std::string_view(heard).substr(at + 5, size - 5));
        if (told.sqlstate == "0A000" && counts.ends_with(kBindComplete))
          counts.resize(counts.size() - kBindComplete.size());
        counts.append("E").append(told.sqlstate).append(told.message);
      } else {
        counts.append(heard, at, size);
      }
      at += size;
    }
    return counts;
  }
  void error(const std::string& text) {
    if (error_.empty()) error_ = text;
  }

  static constexpr size_t kSpare = 3;  // that are to be closed
  Chooser& chooser_;
  StatementBook book_;
  uint32_t max_prepared_statements_ = 3;
  bool piecewise_ = false;
  bool is_about_settings_ = false;
  bool is_about_rows_ = false;
  StatementServerModel::Table table_;
  uint64_t last_id_ = 0;
  std::vector<std::unique_ptr<Client>> clients_;
  std::vector<std::unique_ptr<Server>> servers_;
  std::string error_;
};

}  // namespace tidepool::session
