// What happens for every unit of work allocates nothing: counted by an operator new of this program's own.
#include <doctest/doctest.h>

#include <utility>

#include "tests/unit/counted_allocations.h"
#include "tests/unit/session/client_script.h"
#include "tests/unit/session/relayed.h"
#include "tests/unit/session/server_script.h"
#include "tests/unit/session/statement_server_model.h"

namespace tidepool::session {
namespace {

// A client that goes from server to server with the same batch, and another that comes between.
class Bench {
 public:
  // Each client has prepared "x", which each server has by now.
  Bench(std::string_view batch, std::string_view answers) : batch_(batch), answers_(answers) {
    for (int round = 0; round < 2;
         ++round)  // in the second, copies that somebody else has made anew are closed
      for (auto& client : clients_)
        for (size_t i = 0; i < kServers; ++i)
          use(client, i,
              (round == 0 && i == 0 ? parse("x", "select $1") : "") + bind_to("x", {"5"}) + sync());
  }

  // Allocations of a thousand transactions, once all has been as large as it gets.
  long counted() {
    long counted = -1;
    for (int round = 0; round < 3; ++round) {
      const long before = allocations;
      for (size_t i = 0; i < 1000; ++i) transaction(clients_[i % 2], servers_[(i / 2) % kServers]);
      counted = allocations - before;
    }
    return counted;
  }

 private:
  static constexpr size_t kServers = 3;

  void use(RelayedClient& client, size_t at, const std::string& bytes) {
    RelayedServer& server = servers_[at];
    server.lend_to(client);
    server.client_says(bytes);
    while (!server.to_server.empty()) {
      models_[at].receive(std::exchange(server.to_server, {}));
      while (models_[at].has_work()) models_[at].step();
      server.server_says(models_[at].take_answers());
    }
    REQUIRE(server.leave());
  }
  void transaction(RelayedClient& client, RelayedServer& server) {
    auto link = client.link();
    out_.clear();
    now_.clear();
    wire::FrameCursor from_client, from_server;
    from_client.walk_if(batch_, StatementRelay::is_enough, [&](const wire::Message& message) {
      CHECK(server.relay.client_sent(message, link, out_) != StatementRelay::Pass::Wait);
      return wire::Walk::Go;
    });
    from_server.walk(answers_, {'S', 'Z', 'C', 'E'}, [&](const wire::Message& message) {
      server.relay.server_sent(message, link, now_, now_);
      return wire::Walk::Go;
    });
    if (!server.tracker.server_is_free() || !server.relay.leave() || !now_.empty()) std::abort();
  }

  StatementBook book_;
  RelayedClient clients_[2]{{1, book_}, {2, book_}};
  RelayedServer servers_[kServers];
  StatementServerModel models_[kServers];
  std::string batch_, answers_, out_, now_;
};

TEST_CASE("switching servers with a prepared statement allocates nothing") {
  Bench bench(bind_to("x", {"5"}) + describe_portal() + execute() + sync(), messages("2TDCZI"));
  CHECK(bench.counted() == 0);
}
TEST_CASE("switching servers with a simple query allocates nothing") {
  Bench bench(query("select abalance from accounts where aid = 5"), messages("TDCZI"));
  CHECK(bench.counted() == 0);
}
TEST_CASE("switching servers with the unnamed statement allocates nothing") {
  Bench bench(
      parse("", "select abalance from accounts where aid = $1") + bind_to("", {"5"}) + execute() + sync(),
      messages("12DCZI"));
  CHECK(bench.counted() == 0);
}
TEST_CASE("switching servers with a transaction allocates nothing") {
  Bench bench(query("begin") + bind_to("x", {"5"}) + execute() + sync() + query("commit"),
              messages("CZT2DCZTCZI"));
  CHECK(bench.counted() == 0);
}

}  // namespace
}  // namespace tidepool::session
