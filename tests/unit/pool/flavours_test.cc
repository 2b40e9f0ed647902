// Clients with different startup settings share a pool: each is lent only a server that was dialed with its
// own.
#include "lib/pool/giving_way.h"
#include "tests/unit/pool/conversation.h"

namespace tidepool::pool {

namespace {

constexpr uint32_t kRed = 1, kBlue = 2;

}  // namespace

TEST_CASE("a server is dialed with the settings of the client that waits, and lent only to such") {
  Conversation with(sizes(0, 4));
  CHECK(with.checkout(1, 0, kRed) == "dial 1 ~1 @0 for t1");
  CHECK(with.dialed(1) == "grant t1 c1");
  CHECK(with.give_back(1) == "");
  CHECK(with.checkout(2, 0, kBlue) == "dial 2 ~2 @0 for t2");
  CHECK(with.checkout(3, 0, kRed) == "grant t3 c1");
  CHECK(with.checkout(4, 0) == "dial 3 @0 for t4");
  CHECK(with.dialed(3) == "grant t4 c3");
  CHECK(with.dialed(2) == "grant t2 c2");
}

TEST_CASE("in a full pool the server that rested longest gives way, and counts until PostgreSQL hung up") {
  Conversation with(sizes(2, 2));
  with.open(2);
  CHECK(with.checkout(1, 0, kRed) ==
        "close c1: its place is needed for a server with other startup settings");
  CHECK(with.stats().gave_way == 1);
  CHECK(with.closed(1) == "dial 3 ~1 @0 for t1");
  CHECK(with.dialed(3) == "grant t1 c3");
}

TEST_CASE("where nobody rests, a client of another flavour has the place of the first that comes back") {
  Conversation with(sizes(1, 1));
  with.open(1);
  CHECK(with.checkout(1) == "grant t1 c1");
  CHECK(with.checkout(2, 0, kRed) == "");
  CHECK(with.give_back(1) == "close c1: its place is needed for a server with other startup settings");
  CHECK(with.closed(1) == "dial 2 ~1 @0 for t2");
  CHECK(with.dialed(2) == "grant t2 c2");
}

TEST_CASE("who waits for another flavour is passed over 16 times, or for 5 ms") {
  for (const bool by_time : {false, true}) {
    Conversation with(sizes(1, 1));
    with.open(1);
    CHECK(with.checkout(1) == "grant t1 c1");
    CHECK(with.checkout(100, 0, kRed) == "");
    for (uint64_t ticket = 2; ticket <= 30; ++ticket) CHECK(with.checkout(ticket) == "");
    for (uint64_t ticket = 2; ticket <= (by_time ? 3u : 17u); ++ticket) {
      CHECK(with.give_back(1) == words("grant t", ticket, " c1"));
    }
    if (by_time) with.after(6ms);
    CHECK(with.give_back(1) == "close c1: its place is needed for a server with other startup settings");
  }
}

TEST_CASE("who waits in front of all others of another flavour is not passed over") {
  Conversation with(sizes(1, 1));
  with.open(1);
  CHECK(with.checkout(1) == "grant t1 c1");
  CHECK(with.checkout(2) == "");
  CHECK(with.checkout(3, 0, kRed) == "");
  CHECK(with.give_back(1) == "grant t2 c1");
  CHECK(with.give_back(1) == "close c1: its place is needed for a server with other startup settings");
}

TEST_CASE("only one server gives way for one client, and as many as are dialed for at a time") {
  PoolLimits limits = sizes(6, 6);
  Conversation with(limits);
  with.open(6);
  limits.max_dials = 2;
  with.set_limits(limits);
  CHECK(with.checkout(1, 0, kRed) ==
        "close c1: its place is needed for a server with other startup settings");
  CHECK(with.checkout(2, 0, kRed) ==
        "close c2: its place is needed for a server with other startup settings");
  CHECK(with.checkout(3, 0, kRed) == "");
  CHECK(with.checkout(4) == "grant t4 c6");
  CHECK(with.closed(1) == "dial 7 ~1 @0 for t1");
  CHECK(with.closed(2) == "dial 8 ~1 @0 for t2");
  CHECK(with.dialed(7) ==
        "grant t1 c7; close c3: its place is needed for a server with other startup settings");
}

TEST_CASE("a client whose flavour has servers waits for them, for 100 ms") {
  Conversation with(sizes(0, 2));
  CHECK(with.checkout(1) == "dial 1 @0 for t1");
  CHECK(with.dialed(1) == "grant t1 c1");
  CHECK(with.checkout(2, 0, kRed) == "dial 2 ~1 @0 for t2");
  CHECK(with.dialed(2) == "grant t2 c2");
  CHECK(with.checkout(3, 0, kRed) == "");
  for (uint64_t ticket = 4; ticket < 40; ++ticket) CHECK(with.checkout(ticket) == "");
  for (uint64_t ticket = 4; ticket < 30; ++ticket) {
    with.after(1ms);
    CHECK(with.give_back(1) == words("grant t", ticket, " c1"));
  }
  with.after(100ms);
  CHECK(with.give_back(1) == "close c1: its place is needed for a server with other startup settings");
}

TEST_CASE("two flavours that are asked for alike share a busy pool by halves and leave each other alone") {
  Conversation with(sizes(4, 4));
  with.open(4);
  uint64_t ticket = 0;
  for (; ticket < 4;) with.checkout(++ticket);
  std::map<uint64_t, uint32_t> flavours;
  for (int i = 0; i < 20; ++i) {
    for (const uint32_t flavour : {0u, kRed}) {
      with.checkout(++ticket, 0, flavour);
      flavours[ticket] = flavour;
    }
  }
  // Each that is served asks again. A transaction takes 4 ms, a login 5.
  std::map<uint64_t, base::TimePoint> ready;  // of dials
  std::map<uint64_t, base::TimePoint> gives_back;
  std::map<uint64_t, Ticket> held = with.holder;
  int64_t gave_way_in_the_end = 0;
  for (int step = 0; step < 4000; ++step) {
    with.after(500us);
    for (const auto& [server, holder] : std::map(with.holder)) {
      if (!gives_back.contains(server) || held[server] != holder) {
        gives_back[server] = with.now + 4ms;
        held[server] = holder;
      }
      if (with.now < gives_back[server]) continue;
      with.holder.erase(server);
      gives_back.erase(server);
      const uint32_t flavour = flavours[static_cast<uint64_t>(holder)];
      const std::string said = with.give_back(server);
      if (said.find("close") != std::string::npos) {
        with.closed(server);
        ready[with.dials.size()] = with.now + 5ms;
      }
      with.checkout(++ticket, 0, flavour);
      flavours[ticket] = flavour;
    }
    for (const auto& [dial, at] : std::map(ready)) {
      if (with.now < at) continue;
      ready.erase(dial);
      with.dialed(dial);
    }
    if (step == 1000) gave_way_in_the_end = with.stats().gave_way;
  }
  int red = 0;
  for (const auto& [server, holder] : with.holder) red += flavours[static_cast<uint64_t>(holder)] == kRed;
  CHECK(with.holder.size() == 4);
  CHECK(red == 2);
  CHECK(with.stats().gave_way == gave_way_in_the_end);
  CHECK(gave_way_in_the_end <= 4);
}

TEST_CASE("min_size is kept with the settings that were asked for last") {
  Conversation with(sizes(1, 2));
  with.open(1);
  CHECK(with.checkout(1, 0, kRed) == "dial 2 ~1 @0 for t1");
  CHECK(with.dialed(2) == "grant t1 c2");
  CHECK(with.lost(1) == "");
  CHECK(with.closed(1) == "");
  CHECK(with.lost(2) == "dial 3 ~1 @0");
}

TEST_CASE("settings that PostgreSQL refuses are the error of those who want them, and nobody else's") {
  Conversation with(sizes(1, 3));
  with.open(1);
  CHECK(with.checkout(1) == "grant t1 c1");
  CHECK(with.checkout(2, 0, kRed) == "dial 2 ~1 @0 for t2");
  CHECK(with.checkout(3, 0, kRed) == "dial 3 ~1 @0 for t3");
  CHECK(with.checkout(4, 0, kBlue) == "");
  CHECK(with.dial_fails(2, DialFailure::SettingsRefused, {"22023", "role \"x\" does not exist"}) ==
        "refuse t2: startup settings refused; refuse t3: startup settings refused; dial 4 ~2 @0 for t4");
  CHECK(with.last_error.sqlstate == "22023");
  CHECK(with.dial_fails(3, DialFailure::SettingsRefused, {"22023", "role \"x\" does not exist"}) == "");
  CHECK(with.checkout(5) == "dial 5 @0 for t5");  // no backoff
  CHECK_FALSE(with.stats().down);
}

TEST_CASE("min_size is not dialed with settings that were refused") {
  Conversation with(sizes(2, 2));
  CHECK(with.checkout(1, 0, kRed) == "dial 1 ~1 @0 for t1; dial 2 ~1 @0");
  CHECK(with.dial_fails(1, DialFailure::SettingsRefused, {"22023", "no"}) ==
        "refuse t1: startup settings refused; dial 3 @0");
  CHECK(with.dial_fails(2, DialFailure::SettingsRefused, {"22023", "no"}) == "dial 4 @0");
}

TEST_CASE("a refusal of settings says that the server is there again") {
  Conversation with(sizes(0, 2));
  CHECK(with.checkout(1) == "dial 1 @0 for t1");
  CHECK(with.dial_fails(1) == "down");
  CHECK(with.withdraw(1) == "");
  CHECK(with.checkout(2, 0, kRed) == "");
  CHECK(with.run_for(500ms) == "dial 2 ~1 @0 for t2");
  CHECK(with.dial_fails(2, DialFailure::SettingsRefused, {"22023", "no"}) ==
        "back; refuse t2: startup settings refused");
}

TEST_CASE("a server that its own startup settings make useless says nothing about the others") {
  Conversation with(sizes(0, 2));
  const base::Error by_settings{"57014", "canceling statement due to statement timeout"};
  for (uint64_t i = 1; i <= 4; ++i) {
    CHECK(with.checkout(i, 0, kRed) == words("dial ", i, " ~1 @0 for t", i));
    CHECK(with.dialed(i) == words("grant t", i, " c", i));
    with.ledger.lose(with.id(i), CloseReason::Bad, with.now, with.out, &by_settings);
    CHECK(with.out.empty());
    CHECK(with.closed(i) == "");
  }
  CHECK_FALSE(with.stats().down);
  // One that hangs up does.
  const base::Error hung_up{"08006", "the server hung up"};
  for (uint64_t i = 5; i <= 6; ++i) {
    with.checkout(i, 0, kRed);
    with.dialed(i);
    with.ledger.lose(with.id(i), CloseReason::Bad, with.now, with.out, &hung_up);
    with.closed(i);
  }
  CHECK(with.stats().down);
}

TEST_CASE("while the server is ill nobody gives way") {
  Conversation with(sizes(1, 1));
  with.open(1);
  CHECK(with.checkout(1) == "grant t1 c1");
  CHECK(with.lost(1) == "");
  CHECK(with.closed(1) == "dial 2 @0");
  CHECK(with.checkout(2, 0, kRed) == "");
  CHECK(with.dialed(2) == "close c2: its place is needed for a server with other startup settings");
  CHECK(with.closed(2) == "dial 3 ~1 @0 for t2");
  CHECK(with.dial_fails(3) == "down");
}

TEST_CASE("who wants a login that is refused hears of it, though others of the pool work") {
  Conversation with(sizes(1, 2));
  with.open(1);
  CHECK(with.checkout(1) == "grant t1 c1");
  CHECK(with.checkout(2) == "dial 2 @0 for t2");
  CHECK(with.dialed(2) == "grant t2 c2");
  CHECK(with.checkout(3, 0, kRed) == "");
  CHECK(with.lost(2) == "");
  CHECK(with.closed(2) == "dial 3 ~1 @0 for t3");
  CHECK(with.dial_fails(3, DialFailure::LoginRefused, {"28P01", "wrong"}) ==
        "down; refuse t3: login refused");
}

TEST_CASE("more servers that gave way within a minute than the pool has are worth a word, once a minute") {
  GivingWay giving_way(base::TimePoint{});
  base::TimePoint now{};
  CHECK_FALSE(giving_way.look(now += 59s, 100, 4));
  CHECK(giving_way.look(now += 1s, 105, 4) == 105);
  CHECK_FALSE(giving_way.look(now += 30s, 200, 4));
  CHECK_FALSE(giving_way.look(now += 30s, 109, 4));
  CHECK(giving_way.look(now += 60s, 114, 4) == 5);
}

}  // namespace tidepool::pool
