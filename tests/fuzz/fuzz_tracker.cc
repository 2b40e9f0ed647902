// The tracker between any client and either a server that says anything at all, or a model of PostgreSQL's
// main loop, which it must understand or doubt. The input: a byte that chooses the server, then a byte or two
// for each event.
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "lib/session/transaction_tracker.h"
#include "tests/fuzz/expect.h"
#include "tests/unit/session/postgres_model.h"

using namespace tidepool::session;

namespace {

class Input {
 public:
  Input(const uint8_t* data, size_t size) : left_(data), end_(data + size) {}
  bool is_over() const { return left_ == end_; }
  uint8_t byte() { return is_over() ? uint8_t{0} : *left_++; }
  char one_of(std::string_view choices) { return choices[byte() % choices.size()]; }

 private:
  const uint8_t* left_;
  const uint8_t* end_;
};

constexpr std::string_view kRequests = "QPBDECSHFdcf";

void against_anything(Input input) {
  TransactionTracker tracker;
  uint32_t asked = 0;
  while (!input.is_over()) {
    const uint8_t event = input.byte();
    if (event & 0x80) {
      tracker.client_sent(static_cast<char>(event & 0x7f));
      ++asked;
    } else {
      const char status = input.one_of("ITE?");
      tracker.server_sent(static_cast<char>(event), {&status, event == 'Z' ? size_t{1} : 0});
    }
    EXPECT(tracker.ready_owed() <= asked);
    EXPECT(!tracker.server_is_free() || (tracker.is_quiet() && tracker.ready_owed() == 0));
    EXPECT(!tracker.is_quiet() || !(tracker.copy_in() || tracker.batch_is_open() || tracker.is_answering()));
  }
}

Request request_of(Input& input) {
  Request request{input.one_of(kRequests), ""};
  switch (request.type) {
    case 'Q':
      for (int i = input.byte() % 4; i >= 0; --i) request.fate += input.one_of("ruzoifebc");
      break;
    case 'E':
      request.fate = input.one_of("ruzoifesbc");
      break;
    case 'D':
      request.fate = input.one_of("tne");
      break;
    default:
      if (input.byte() % 8 == 0) request.fate = "e";
  }
  return request;
}

void against_postgres(Input input) {
  TransactionTracker tracker;
  PostgresModel postgres;
  const auto deliver = [&] {
    const Answer answer = postgres.take_answer();
    tracker.server_sent(answer.type, {&answer.status, answer.type == 'Z' ? size_t{1} : 0});
    if (tracker.in_doubt() || !tracker.is_quiet()) return;
    PostgresModel future = postgres;
    while (future.has_work()) future.step();
    EXPECT(future.is_dead() || (!future.has_answer() && future.is_idle()));
  };
  while (!input.is_over() && !postgres.is_dead()) {
    switch (input.byte() % 4) {
      case 0:
        if (postgres.has_work()) postgres.step();
        break;
      case 1:
        if (postgres.has_answer()) deliver();
        break;
      default: {
        Request request = request_of(input);
        tracker.client_sent(request.message());
        postgres.receive(std::move(request));
      }
    }
  }
  while (postgres.has_work()) postgres.step();
  while (postgres.has_answer()) deliver();
  if (postgres.is_dead() || tracker.in_doubt()) return;
  EXPECT(tracker.ready_owed() == 0);
  EXPECT(tracker.is_quiet() == postgres.is_idle());
  EXPECT(tracker.batch_is_open() == postgres.batch_is_open());
  EXPECT(tracker.copy_in() == postgres.copies());
  EXPECT(tracker.status() == postgres.told_status());
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const Input input(data + 1, size - 1);
  if (data[0] % 2 == 0)
    against_anything(input);
  else
    against_postgres(input);
  return 0;
}
