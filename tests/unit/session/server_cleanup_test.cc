// Each scenario is played in three ways: the server's messages whole, one byte at a time, and cut off at each
// step, where time runs out (or, where what the client asked for is finished, does not).
#include "lib/session/server_cleanup.h"

#include <doctest/doctest.h>

#include <initializer_list>
#include <string>
#include <vector>

#include "lib/wire/message_writer.h"
#include "tests/unit/session/server_script.h"

namespace tidepool::session {
namespace {

using Step = ServerCleanup::Step;
using Leave = ServerCleanup::Leave;
using Reset = CleanupPolicy::Reset;
using namespace std::chrono_literals;

struct Turn {
  std::string_view server;  // says messages() of this; "cancelled": cancel_sent()
  Step step;                // what is to be done then
  std::string_view sends;   // types of the messages that are sent; a Query as its text in brackets
  bool has_deadline = true;
};

struct Scenario {
  std::string_view
      client;  // what the client sent, and, after a '|', what the server had answered when it left
  Leave leave;
  std::vector<Turn> turns;  // the first is start(), with nothing from the server
  CleanupPolicy policy = {};
  bool half_sent = false;
  ServerCleanup::Reset reset = ServerCleanup::Reset::AtOnce;
  bool asks_temporary = false;
};

// "Q[ROLLBACK]" for a Query, the type for others.
std::string shown(const std::string& bytes) {
  std::string types;
  wire::FrameCursor cursor;
  cursor.walk(bytes, wire::TypeSet{'Q'}, [&](const wire::Message& message) {
    types += message.type;
    if (message.type == 'Q')
      types += "[" + std::string(message.body.substr(0, message.body.size() - 1)) + "]";
    return wire::Walk::Go;
  });
  return types;
}

class Play {
 public:
  explicit Play(const Scenario& scenario)
      : policy_(scenario.policy),
        cleanup_(policy_, tracker_, scenario.leave, scenario.half_sent, scenario.reset,
                 scenario.asks_temporary) {
    bool is_server = false;
    for (size_t i = 0; i < scenario.client.size(); ++i) {
      const char type = scenario.client[i];
      if (type == '|')
        is_server = !is_server;
      else if (!is_server)
        tracker_.client_sent(type);
      else
        tracker_.server_sent(type, type == 'Z' ? scenario.client.substr(++i, 1) : std::string_view());
    }
  }

  void turn(const Turn& turn, bool is_first, size_t piece) {
    CAPTURE(turn.server);
    out_.clear();
    now_ += 1s;
    Step step = Step::Wait;
    if (is_first)
      step = cleanup_.start(now_, out_);
    else if (turn.server == "cancelled")
      step = cleanup_.cancel_sent(now_, out_);
    else
      step = hear(messages(turn.server), piece);
    REQUIRE(step == turn.step);
    REQUIRE(shown(out_) == turn.sends);
    const bool is_over = step == Step::Clean || step == Step::CleanLater || step == Step::Close;
    REQUIRE(cleanup_.deadline().has_value() == (turn.has_deadline && !is_over));
    if (step == Step::Clean || step == Step::CleanLater) REQUIRE(tracker_.server_is_free());
    REQUIRE((step == Step::Close) == (std::string_view(cleanup_.reason()) != ""));
  }

  void time_runs_out() {
    out_.clear();
    if (const auto deadline = cleanup_.deadline()) {
      REQUIRE(cleanup_.tick(*deadline - 1us, out_) == Step::Wait);
      REQUIRE(cleanup_.tick(*deadline, out_) == Step::Close);
      REQUIRE(std::string_view(cleanup_.reason()) != "");
    } else {
      REQUIRE(cleanup_.tick(now_ + 1000h, out_) == Step::Wait);
    }
    REQUIRE(out_.empty());
  }

 private:
  Step hear(const std::string& bytes, size_t piece) {
    wire::TypeSet wanted;
    for (int type = 1; type < 128; ++type)
      if (ServerCleanup::wants_body(static_cast<char>(type))) wanted = {static_cast<char>(type)};
    Step step = Step::Wait;
    hear_in_pieces(bytes, piece, wanted, [&](const wire::Message& message) {
      REQUIRE(step != Step::Close);
      REQUIRE(step != Step::Clean);
      REQUIRE(step != Step::CleanLater);
      step = cleanup_.server_sent(message, now_, out_);
    });
    return step;
  }

  CleanupPolicy policy_;
  TransactionTracker tracker_;
  ServerCleanup cleanup_;
  base::TimePoint now_{1h};
  std::string out_;
};

void play(const Scenario& scenario) {
  CAPTURE(scenario.client);
  for (size_t piece : {kWhole, size_t{1}}) {
    CAPTURE(piece);
    Play whole(scenario);
    for (size_t i = 0; i < scenario.turns.size(); ++i) whole.turn(scenario.turns[i], i == 0, piece);
  }
  for (size_t turns = 1; turns < scenario.turns.size(); ++turns) {
    CAPTURE(turns);
    Play cut(scenario);
    for (size_t i = 0; i < turns; ++i) cut.turn(scenario.turns[i], i == 0, kWhole);
    cut.time_runs_out();
  }
}

constexpr std::string_view kDiscard = "Q[DISCARD ALL]";
constexpr std::string_view kRollbackDiscard = "Q[ROLLBACK]Q[DISCARD ALL]";
constexpr auto Terminated = Leave::Terminated;
constexpr auto Vanished = Leave::Vanished;

CleanupPolicy with_reset(Reset reset, std::string sql = "") {
  return {reset, std::move(sql)};
}
CleanupPolicy finishing() {
  CleanupPolicy policy;
  policy.cancel_orphans = false;
  return policy;
}

TEST_CASE("a quiet server is reset at once") {
  for (Leave leave : {Terminated, Vanished}) {
    play({"", leave, {{"", Step::Wait, kDiscard}, {"CZI", Step::Clean, ""}}});
    play({"QPBES|CZI12CZI",
          leave,
          {{"", Step::Wait, kDiscard},
           {"S", Step::Wait, ""},
           {"NAC", Step::Wait, ""},
           {"S", Step::Wait, ""},
           {"ZI", Step::Clean, ""}}});
  }
}

TEST_CASE("a session that ended in order may be reset later, if it may wait") {
  const auto may_wait = ServerCleanup::Reset::MayWait;
  for (Leave leave : {Terminated, Vanished}) {
    play({"Q|CZI", leave, {{"", Step::CleanLater, ""}}, {}, false, may_wait});
    play({"QPBES|CZI12CZI", leave, {{"", Step::CleanLater, ""}}, {}, false, may_wait});
  }
  // What the client asked for before it left is finished first.
  play({"Q", Terminated, {{"", Step::Wait, "", false}, {"CZI", Step::CleanLater, ""}}, {}, false, may_wait});
  // What had to be rolled back, failed or cancelled is reset at once, and so is by whatever is not DISCARD
  // ALL.
  play({"Q|CZT",
        Terminated,
        {{"", Step::Wait, kRollbackDiscard}, {"CZICZI", Step::Clean, ""}},
        {},
        false,
        may_wait});
  play({"Q|CZI",
        Terminated,
        {{"", Step::Wait, "Q[reset it]"}, {"CZI", Step::Clean, ""}},
        with_reset(Reset::Sql, "reset it"),
        false,
        may_wait});
  play({"Q|CZI", Terminated, {{"", Step::Clean, ""}}, with_reset(Reset::None), false, may_wait});
  play({"Q|CZI", Terminated, {{"", Step::Close, ""}}, with_reset(Reset::Close), false, may_wait});
  play({"Q|CZI", Terminated, {{"", Step::Close, ""}}, {}, true, may_wait});
  play({"Q",
        Vanished,
        {{"", Step::SendCancel, ""},
         {"EZI", Step::Wait, ""},
         {"cancelled", Step::Wait, kDiscard},
         {"CZI", Step::Clean, ""}},
        {},
        false,
        may_wait});
}

TEST_CASE(
    "where there may be a temporary schema, that is asked behind the reset, and a server with one is "
    "closed") {
  const std::string discard_and_ask =
      "Q[DISCARD ALL]Q[SELECT WHERE pg_catalog.pg_my_temp_schema() OPERATOR(pg_catalog.<>) 0]";
  const std::string rollback_too = "Q[ROLLBACK]" + discard_and_ask;
  const auto at_once = ServerCleanup::Reset::AtOnce;
  const auto asked = [&](std::string_view answers, Step step) {
    play(
        {"", Terminated, {{"", Step::Wait, discard_and_ask}, {answers, step, ""}}, {}, false, at_once, true});
  };
  asked("CZITCZI", Step::Clean);
  asked("CZITNCZI", Step::Clean);
  asked("CZITD", Step::Close);
  asked("CZIE", Step::Close);
  asked("CZIZI", Step::Close);
  asked("CZITCZT", Step::Close);
  asked("E", Step::Close);
  play({"",
        Terminated,
        {{"", Step::Wait, discard_and_ask},
         {"CZI", Step::Wait, ""},
         {"TC", Step::Wait, ""},
         {"ZI", Step::Clean, ""}},
        {},
        false,
        at_once,
        true});
  play({"Q|CZT",
        Terminated,
        {{"", Step::Wait, rollback_too}, {"CZICZITCZI", Step::Clean, ""}},
        {},
        false,
        at_once,
        true});
  // Who resets in its own way has said what may stay.
  play({"Q|CZI",
        Terminated,
        {{"", Step::Wait, "Q[reset it]"}, {"CZI", Step::Clean, ""}},
        with_reset(Reset::Sql, "reset it"),
        false,
        at_once,
        true});
}

TEST_CASE("a reset may wait on servers that commit a DISCARD ALL at once within a pipeline") {
  for (std::string_view version : {"15.4 (Debian 15.4-1)", "18.0", "19devel", "14.5", "14.20", "13.8",
                                   "12.12", "11.17", "10.22", "100.1"})
    CHECK_MESSAGE(ServerCleanup::may_wait_on(version), version);
  for (std::string_view version :
       {"14.4", "14", "14beta1", "13.7", "12.11", "11.16", "10.21", "9.6.24", "", "x"})
    CHECK_FALSE_MESSAGE(ServerCleanup::may_wait_on(version), version);
}

TEST_CASE("an open transaction is rolled back, under every reset") {
  for (Leave leave : {Terminated, Vanished}) {
    for (std::string_view status : {"Q|CZT", "Q|EZE"}) {
      play({status,
            leave,
            {{"", Step::Wait, kRollbackDiscard}, {"CZI", Step::Wait, ""}, {"SCZI", Step::Clean, ""}}});
      play({status, leave, {{"", Step::Wait, kRollbackDiscard}, {"CZICZI", Step::Clean, ""}}});
      for (Reset reset : {Reset::None, Reset::Rollback})
        play({status, leave, {{"", Step::Wait, "Q[ROLLBACK]"}, {"CZI", Step::Clean, ""}}, with_reset(reset)});
      play({status,
            leave,
            {{"", Step::Wait, "Q[ROLLBACK]"}, {"CZI", Step::Wait, "Q[reset it]"}, {"CZI", Step::Clean, ""}},
            with_reset(Reset::Sql, "reset it")});
      play({status, leave, {{"", Step::Close, ""}}, with_reset(Reset::Close)});
    }
  }
}

TEST_CASE("without a transaction, rollback and none have nothing to do, and close closes") {
  for (Reset reset : {Reset::None, Reset::Rollback, Reset::Sql})
    play({"Q|CZI", Terminated, {{"", Step::Clean, ""}}, with_reset(reset)});
  play({"Q|CZI", Terminated, {{"", Step::Close, ""}}, with_reset(Reset::Close)});
}

TEST_CASE("the pool's own SQL may have any results, but no errors, no COPY and no transaction left") {
  const auto answered = [](std::string_view types, Step step) {
    play({"",
          Terminated,
          {{"", Step::Wait, "Q[SELECT 1; RESET ALL]"}, {types, step, ""}},
          with_reset(Reset::Sql, "SELECT 1; RESET ALL")});
  };
  answered("TDCSCZI", Step::Clean);
  answered("IZI", Step::Clean);
  answered("TDCE", Step::Close);
  answered("G", Step::Close);
  answered("H", Step::Close);
  answered("W", Step::Close);
  answered("CZT", Step::Close);
  answered("ZI", Step::Close);
}

TEST_CASE("a rollback or reset that is answered in any other way closes the server") {
  for (std::string_view answer :
       {"E", "F", "T", "D", "I", "G", "H", "ZI", "CC", "CZT", "CZE", "CZ?", "1", "V", "K"}) {
    play({"", Terminated, {{"", Step::Wait, kDiscard}, {answer, Step::Close, ""}}});
    play({"Q|CZT", Terminated, {{"", Step::Wait, kRollbackDiscard}, {answer, Step::Close, ""}}});
    if (answer != "CZE")
      play({"Q|CZT",
            Terminated,
            {{"", Step::Wait, kRollbackDiscard}, {"CZI", Step::Wait, ""}, {answer, Step::Close, ""}}});
  }
}

TEST_CASE("requests in front of a Terminate are finished, however long they take") {
  play({"Q",
        Terminated,
        {{"", Step::Wait, "", false},
         {"TDDD", Step::Wait, "", false},
         {"CZI", Step::Wait, kDiscard},
         {"CZI", Step::Clean, ""}}});
  play({"QPBESQ|CZI12",
        Terminated,
        {{"", Step::Wait, "", false},
         {"CZI", Step::Wait, "", false},
         {"CZT", Step::Wait, kRollbackDiscard},
         {"CZICZI", Step::Clean, ""}}});
  play({"QQ",
        Terminated,
        {{"", Step::Wait, "", false}, {"EZI", Step::Wait, "", false}, {"CZI", Step::Clean, ""}},
        with_reset(Reset::None)});
  play({"Q", Terminated, {{"", Step::Wait, "", false}, {"CZI", Step::Close, ""}}, with_reset(Reset::Close)});
}

TEST_CASE("a running query of a client that vanished is cancelled, then drained within the time limit") {
  play({"Q",
        Vanished,
        {{"", Step::SendCancel, ""},
         {"TD", Step::Wait, ""},
         {"cancelled", Step::Wait, ""},
         {"D", Step::Wait, ""},
         {"EZI", Step::Wait, kDiscard},
         {"CZI", Step::Clean, ""}}});
}

TEST_CASE("nothing is sent behind a cancel before it is through, though all has been answered") {
  play({"Q",
        Vanished,
        {{"", Step::SendCancel, ""},
         {"CZI", Step::Wait, ""},
         {"cancelled", Step::Wait, kDiscard},
         {"CZI", Step::Clean, ""}}});
}

TEST_CASE("a cancel that lands late, in the reset, closes the server") {
  play({"Q",
        Vanished,
        {{"", Step::SendCancel, ""},
         {"CZI", Step::Wait, ""},
         {"cancelled", Step::Wait, kDiscard},
         {"E", Step::Close, ""}}});
}

TEST_CASE("with orphans: finish the query of a client that vanished is finished") {
  play({"Q",
        Vanished,
        {{"", Step::Wait, "", false}, {"CZI", Step::Wait, kDiscard}, {"CZI", Step::Clean, ""}},
        finishing()});
}

TEST_CASE("a batch without its Sync is failed on purpose") {
  for (Leave leave : {Terminated, Vanished}) {
    // its answers have come, by a Flush
    play({"PBEH|12C",
          leave,
          {{"", Step::Wait, "fBS"}, {"EZI", Step::Wait, kDiscard}, {"CZI", Step::Clean, ""}}});
    // ... in a transaction
    play({"QPBEH|CZT12C",
          leave,
          {{"", Step::Wait, "fBS"}, {"EZE", Step::Wait, kRollbackDiscard}, {"CZICZI", Step::Clean, ""}}});
    // it has failed already
    play({"PBEH|1E",
          leave,
          {{"", Step::Wait, "fBS"}, {"ZI", Step::Wait, kDiscard}, {"CZI", Step::Clean, ""}}});
  }
  // its answers are outstanding
  play({"PBE",
        Terminated,
        {{"", Step::Wait, "fBS"}, {"12CEZI", Step::Wait, kDiscard}, {"CZI", Step::Clean, ""}}});
  play({"PBE",
        Vanished,
        {{"", Step::Wait, "fBS"}, {"12CEZI", Step::Wait, kDiscard}, {"CZI", Step::Clean, ""}},
        finishing()});
  play({"PBE",
        Vanished,
        {{"", Step::SendCancel, "fBS"},
         {"12", Step::Wait, ""},
         {"cancelled", Step::Wait, ""},
         {"EZI", Step::Wait, kDiscard},
         {"CZI", Step::Clean, ""}}});
}

TEST_CASE("requests in front of an open batch are finished in their own time, then the batch is failed") {
  play({"QPBE",
        Terminated,
        {{"", Step::Wait, "", false},
         {"CZI", Step::Wait, "fBS"},
         {"12CEZI", Step::Wait, kDiscard},
         {"CZI", Step::Clean, ""}}});
}

TEST_CASE("a COPY IN that waits for data is failed") {
  for (Leave leave : {Terminated, Vanished}) {
    const bool cancels = leave == Vanished;
    std::vector<Turn> by_query{{"", cancels ? Step::SendCancel : Step::Wait, "f"}};
    std::vector<Turn> by_execute{{"", cancels ? Step::SendCancel : Step::Wait, "fBS"}};
    for (auto* turns : {&by_query, &by_execute}) {
      if (cancels) turns->push_back({"cancelled", Step::Wait, ""});
      turns->push_back({"EZI", Step::Wait, kDiscard});
      turns->push_back({"CZI", Step::Clean, ""});
    }
    play({"Q|G|dd", leave, by_query});
    play({"PBE|12G|dd", leave, by_execute});
  }
}

TEST_CASE("a COPY IN that begins after its client has left is failed") {
  play({"Q",
        Terminated,
        {{"", Step::Wait, "", false},
         {"G", Step::Wait, "f"},
         {"EZI", Step::Wait, kDiscard},
         {"CZI", Step::Clean, ""}}});
  play({"PBE",
        Terminated,
        {{"", Step::Wait, "fBS"}, {"12GEZI", Step::Wait, kDiscard}, {"CZI", Step::Clean, ""}}});
  play({"Q",
        Vanished,
        {{"", Step::SendCancel, ""},
         {"G", Step::Wait, ""},
         {"cancelled", Step::Wait, "f"},
         {"EZI", Step::Wait, kDiscard},
         {"CZI", Step::Clean, ""}}});
}

TEST_CASE("a COPY IN with all its data sent is finished") {
  play({"Qddc|G",
        Terminated,
        {{"", Step::Wait, "", false}, {"CZI", Step::Wait, kDiscard}, {"CZI", Step::Clean, ""}}});
}

TEST_CASE("a COPY OUT is drained or cancelled") {
  play({"Q|Hdd",
        Terminated,
        {{"", Step::Wait, "", false}, {"dddcCZI", Step::Wait, kDiscard}, {"CZI", Step::Clean, ""}}});
  play({"Q|Hdd",
        Vanished,
        {{"", Step::SendCancel, ""},
         {"dd", Step::Wait, ""},
         {"cancelled", Step::Wait, ""},
         {"dEZI", Step::Wait, kDiscard},
         {"CZI", Step::Clean, ""}}});
}

TEST_CASE("a server that cannot be followed is closed") {
  play({"Q", Terminated, {{"", Step::Close, ""}}, {}, true});  // a message was passed on by half
  play({"|ZI", Terminated, {{"", Step::Close, ""}}});          // in doubt
  play({"Q|W", Vanished, {{"", Step::Close, ""}}});
  play({"Q", Terminated, {{"", Step::Wait, "", false}, {"1", Step::Close, ""}}});
  play({"PBES|12G|d",  // was the Sync read before the error?
        Terminated,
        {{"", Step::Wait, "fBS"}, {"E", Step::Close, ""}}});
}

// In pieces its severity may not be seen; the server hangs up then.
TEST_CASE("a server that says FATAL is closed") {
  for (std::string_view client : {"Q", "QQ|CZI"}) {
    Play cleanup({client, Terminated, {}});
    cleanup.turn({"", Step::Wait, "", false}, true, 0);
    cleanup.turn({"F", Step::Close, ""}, false, kWhole);
  }
}

TEST_CASE("DISCARD ALL brings the startup packet's role back, on servers that are new enough") {
  for (const char* version :
       {"12.22", "13.18", "14.15", "15.10 (Debian 15.10-0+deb12u1)", "16.6", "17.2", "18.0", "19beta1"})
    CHECK(ServerCleanup::keeps_startup_role(version));
  for (const char* version :
       {"12.21", "13.17", "14.14", "15.9", "15", "16.5", "17.1", "11.22", "9.6.24", "", "devel"})
    CHECK_FALSE(ServerCleanup::keeps_startup_role(version));
}

}  // namespace
}  // namespace tidepool::session
