// What any client left, cleaned on a model of PostgreSQL's main loop or on a server that says anything at
// all. It ends clean or closed once time has run out; clean means that the server is idle, outside a
// transaction, and has nothing more to say. The input: a byte for the server and the policy, then a byte or
// two for each event; at 0xff the client leaves.
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "lib/session/server_cleanup.h"
#include "tests/fuzz/expect.h"
#include "tests/unit/session/postgres_model.h"

using namespace tidepool;
using namespace tidepool::session;

namespace {

using Step = ServerCleanup::Step;

class Cleaning {
 public:
  Cleaning(const uint8_t* data, size_t size) : left_(data), end_(data + size) {
    const uint8_t choice = byte();
    is_postgres_ = choice & 1;
    policy_.cancel_orphans = choice & 2;
    leave_ = choice & 4 ? ServerCleanup::Leave::Vanished : ServerCleanup::Leave::Terminated;
    policy_.reset = static_cast<CleanupPolicy::Reset>((choice >> 3) % 5);
    policy_.reset_sql = "RESET ALL; SELECT 1";
    asks_temporary_ = choice & 0x40;
    reset_ = choice & 0x80 ? ServerCleanup::Reset::MayWait : ServerCleanup::Reset::AtOnce;
  }

  void run() {
    while (left_ != end_) {
      const uint8_t event = byte();
      if (event == 0xff) break;
      session_event(event);
      if (postgres_.is_dead()) return;
    }
    ServerCleanup cleanup(policy_, tracker_, leave_, false, reset_, asks_temporary_);
    Step step = cleanup.start(now_, out_);
    while (!is_over(step)) {
      send();
      now_ += base::Duration(1000);
      if (waits_for_ever(cleanup, step)) return;
      step = next(cleanup, step);
    }
    EXPECT(!cleanup.deadline());
    EXPECT((step == Step::Close) == (*cleanup.reason() != '\0'));
    if (step == Step::Close) return;
    EXPECT(tracker_.server_is_free());
    EXPECT(out_.empty());
    if (!is_postgres_) return;
    while (postgres_.has_work()) postgres_.step();
    EXPECT(!postgres_.has_answer());
    EXPECT(postgres_.is_idle());
    EXPECT(postgres_.told_status() == 'I');
  }

 private:
  static bool is_over(Step step) {
    return step == Step::Clean || step == Step::CleanLater || step == Step::Close;
  }
  uint8_t byte() { return left_ == end_ ? uint8_t{0} : *left_++; }
  char one_of(std::string_view choices) { return choices[byte() % choices.size()]; }

  // While the client is there.
  void session_event(uint8_t event) {
    if (event % 4 == 0 && postgres_.has_work()) return postgres_.step();
    if (event % 4 == 1) {
      if (!postgres_.has_answer()) return;
      const Answer answer = postgres_.take_answer();
      return tracker_.server_sent(answer.type, {&answer.status, answer.type == 'Z' ? size_t{1} : 0});
    }
    Request request{one_of("QPBDECSHFdcf"), ""};
    if (request.type == 'Q')
      request.fate = {one_of("ruzoifebc"), one_of("ruzoifebc")};
    else if (request.type == 'E')
      request.fate = one_of("ruzoifesbc");
    else if (request.type == 'D')
      request.fate = one_of("tne");
    else if (event & 0x40)
      request.fate = "e";
    tracker_.client_sent(request.message());
    postgres_.receive(std::move(request));
  }

  // What the cleanup sends reaches the server; every byte of it is in a whole message.
  void send() {
    wire::FrameCursor cursor;
    const auto result = cursor.walk(out_, {}, [this](const wire::Message& message) {
      Request request{message.type, message.type == 'B' ? "e" : ""};
      if (message.type == 'Q')
        request.fate = message.body.substr(0, 8) == "ROLLBACK"        ? "c"
                       : message.body.substr(0, 11) == "DISCARD ALL"  ? "u"
                       : message.body.substr(0, 12) == "SELECT WHERE" ? std::string(1, one_of("ur"))
                                                                      : "ur";
      postgres_.receive(std::move(request));
      return wire::Walk::Go;
    });
    EXPECT(result.consumed == out_.size() && cursor.between_messages());
    out_.clear();
  }

  // For the end of what the client asked for, from a server that says nothing more.
  bool waits_for_ever(const ServerCleanup& cleanup, Step step) {
    if (step == Step::SendCancel || cleanup.deadline()) return false;
    if (!is_postgres_) return left_ == end_;
    EXPECT(postgres_.has_answer() || postgres_.has_work() || postgres_.is_dead());
    return postgres_.is_dead() && !postgres_.has_answer();
  }

  Step next(ServerCleanup& cleanup, Step step) {
    if (step == Step::SendCancel && byte() % 2 == 0) return cleanup.cancel_sent(now_, out_);
    if (is_postgres_) {
      while (!postgres_.has_answer() && postgres_.has_work()) postgres_.step();
      if (postgres_.has_answer()) return hear(cleanup, postgres_.take_answer(), step);
    } else if (left_ != end_) {
      const char type = static_cast<char>(byte());
      return hear(cleanup, {type, type == 'Z' ? one_of("ITE?") : '\0'}, step);
    }
    if (step == Step::SendCancel) return cleanup.cancel_sent(now_, out_);
    now_ = *cleanup.deadline();
    return cleanup.tick(now_, out_);
  }

  Step hear(ServerCleanup& cleanup, const Answer& answer, Step step) {
    const std::string_view body(&answer.status, answer.type == 'Z' ? 1 : 0);
    const Step heard = cleanup.server_sent({answer.type, 0, 5 + body.size(), body}, now_, out_);
    return heard == Step::Wait ? step : heard;  // a cancel that is on its way still is
  }

  const uint8_t* left_;
  const uint8_t* end_;
  bool is_postgres_;
  CleanupPolicy policy_;
  ServerCleanup::Leave leave_;
  ServerCleanup::Reset reset_ = ServerCleanup::Reset::AtOnce;
  bool asks_temporary_ = false;
  TransactionTracker tracker_;
  PostgresModel postgres_;
  base::TimePoint now_{base::Duration(1)};
  std::string out_;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  Cleaning(data, size).run();
  return 0;
}
