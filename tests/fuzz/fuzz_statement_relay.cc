// StatementRelay between any client and a model of PostgreSQL. Either some clients share two servers and say
// what clients say, at times that the input chooses: each is told what it would be told on a server of its
// own. Or one client says anything at all, and servers answer what the model makes of it, or anything at all:
// nothing crashes, and what is left out or put in leaves whole messages. The input: a byte that chooses, then
// a byte for each choice, or the client's bytes.
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <string>

#include "tests/fuzz/expect.h"
#include "tests/unit/session/pool_of_models.h"

using namespace tidepool;
using namespace tidepool::session;

namespace {

struct Input {
  bool is_over() const { return left == end; }
  uint8_t byte() { return is_over() ? uint8_t{0} : *left++; }
  size_t below(size_t limit) {
    return limit > 256 ? (byte() * size_t{256} + byte()) % limit : byte() % limit;
  }

  const uint8_t* left;
  const uint8_t* end;
};

void clients_that_share(Input input) {
  const size_t clients = 1 + input.below(3);
  PoolOfModels<Input> pool(input, clients, 2);
  std::string error;
  for (int i = 0; i < 1000 && error.empty() && !input.is_over(); ++i) error = pool.run(1);
  if (!error.empty()) std::fprintf(stderr, "%s\n%s\n", pool.transcript.c_str(), error.c_str());
  EXPECT(error.empty());
}

void anything(Input input, bool answers_anything) {
  StatementBook book(size_t{1024} * 1024);
  RelayedClient client(1, book);
  client.max_prepared_statements = static_cast<uint32_t>(input.below(4));
  client.policy.on_state = static_cast<SessionWatch::OnState>(input.below(3));
  client.policy.one_statement_only = input.below(2) == 1;
  client.shares_parses = input.below(2) == 1;
  if (input.below(2) == 1) client.most_bytes = 500;
  RelayedServer server;
  StatementServerModel model;
  server.lend_to(client);
  while (!input.is_over() && !server.is_broken()) {
    std::string bytes;
    for (size_t i = 1 + input.below(64); i > 0 && !input.is_over(); --i)
      bytes.push_back(static_cast<char>(input.byte()));
    if (answers_anything && input.below(2) == 1) {
      server.server_says(bytes);
      server.to_server.clear();
      continue;
    }
    server.client_says(bytes);
    model.receive(std::exchange(server.to_server, {}));
    while (model.has_work()) model.step();
    server.server_says(model.take_answers());
    if (input.below(4) == 0) server.end_prepared_batch();
    if (server.may_go()) {
      server.leave();
      server.lend_to(client);
    }
  }
  server.relay.take_back(client.statements);
  server.leave();
  EXPECT(!server.relay.has_marks());
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const Input input{data + 1, data + size};
  switch (data[0] % 4) {
    case 0:
      anything(input, false);
      break;
    case 1:
      anything(input, true);
      break;
    default:
      clients_that_share(input);
  }
  return 0;
}
