// A ledger, a clock that the test moves, and the ledger's answers as lines of text:
//
//   dial 1 @0 for t7     Dial 1, to live on worker 0, because of ticket 7 (" for ..." only if there is one)
//   dial 1 ~2 @0         the same, of flavour 2 (nothing is said of neutral ones)
//   grant t7 c1          connection 1 (the one that Dial 1 opened) is lent to ticket 7
//   grant t7 c1 @0>2     the same, handed over from worker 0 to worker 2
//   check c1 | close c1: REASON | refuse t7: REASON | notice t7 | down | gave up | back
//
// Several are joined by "; ", nothing is "".
#pragma once

#include <doctest/doctest.h>

#include <map>
#include <sstream>
#include <string>

#include "lib/pool/pool_ledger.h"

namespace tidepool::pool {

// "grant t", 7, " c1" as one text.
template <class... Parts>
std::string words(const Parts&... parts) {
  std::ostringstream text;
  (text << ... << parts);
  return text.str();
}

class Conversation {
 public:
  explicit Conversation(const PoolLimits& limits, WorkerId workers = 1)
      : ledger("orders", limits, 1, base::TimePoint{}, workers) {}

  // Clients.
  std::string checkout(uint64_t ticket, WorkerId worker = 0, uint32_t flavour = 0) {
    ledger.checkout(Ticket{ticket}, worker, Flavour{flavour}, now, out);
    return said();
  }
  std::string checkout_again(uint64_t ticket, base::TimePoint since, WorkerId worker = 0,
                             uint32_t flavour = 0) {
    ledger.checkout_again(Ticket{ticket}, worker, Flavour{flavour}, since, now, out);
    return said();
  }
  std::string withdraw(uint64_t ticket) {
    was_waiting = ledger.withdraw(Ticket{ticket}, now, out);
    return said();
  }
  std::string give_back(uint64_t connection, bool used = true) {
    ledger.give_back(id(connection), used, false, now, out);
    return said();
  }
  std::string give_back_outgrown(uint64_t connection) {
    ledger.give_back(id(connection), true, true, now, out);
    return said();
  }

  // Servers.
  std::string dialed(uint64_t dial) {
    const ConnectionId opened = ledger.dial_succeeded(dials.at(dial), 10ms, now, out);
    CHECK(opened == id(dial));
    return said();
  }
  std::string dial_fails(uint64_t dial, DialFailure failure = DialFailure::Unreachable,
                         const base::Error& error = {"08001", "connection refused"}) {
    ledger.dial_failed(dials.at(dial), failure, error, now, out);
    return said();
  }
  std::string lost(uint64_t connection, CloseReason reason = CloseReason::Lost) {
    ledger.lose(id(connection), reason, now, out);
    return said();
  }
  std::string fails(uint64_t connection) {
    const base::Error fault{"08006", "the server hung up"};
    ledger.lose(id(connection), CloseReason::Bad, now, out, &fault);
    return said();
  }
  std::string answers(uint64_t connection) {
    ledger.answered(id(connection), now, out);
    return said();
  }
  std::string closed(uint64_t connection) {
    ledger.closed(id(connection), now, out);
    return said();
  }
  std::string check_passed(uint64_t connection) {
    ledger.check_passed(id(connection), now, out);
    return said();
  }

  bool begin_cleaning(uint64_t connection) { return ledger.begin_cleaning(id(connection), now); }

  // Time. after() ticks once, at the end; run_for() as next_deadline() asks.
  std::string after(base::Duration duration) {
    now += duration;
    ledger.tick(now, out);
    return said();
  }
  std::string run_for(base::Duration duration) {
    const base::TimePoint end = now + duration;
    for (int ticks = 0;; ++ticks) {
      REQUIRE(ticks < 10000);
      const auto deadline = ledger.next_deadline();
      if (!deadline || *deadline > end) break;
      now = std::max(now, *deadline);
      ledger.tick(now, out);
    }
    now = end;
    return said();
  }

  // Reload.
  std::string set_limits(const PoolLimits& limits) {
    ledger.set_limits(limits, now, out);
    return said();
  }
  std::string drain() {
    ledger.drain(now, out);
    return said();
  }
  std::string replace_all() {
    ledger.replace_all(now, out);
    return said();
  }
  std::string remove() {
    ledger.remove(now, out);
    return said();
  }

  // `count` connections, numbered from 1, all at rest; what was said on the way is forgotten. Number 1 rests
  // longest.
  void open(uint64_t count) {
    ledger.tick(now, out);
    said();
    for (uint64_t ticket = 900000; dials.size() < count; ++ticket) checkout(ticket);
    for (uint64_t i = 1; i <= count; ++i) {
      dialed(i);
      now += 1us;  // so that each has rested for its own time
    }
    for (uint64_t i = 1; i <= count; ++i) {
      if (holder.count(i) != 0) give_back(i, false);
    }
    REQUIRE(stats().pool_available == static_cast<int64_t>(count));
  }

  PoolStats stats() const { return ledger.stats(now); }
  ConnectionId id(uint64_t connection) const {
    return ConnectionId{static_cast<uint64_t>(dials.at(connection))};
  }

  PoolLedger ledger;
  base::TimePoint now;
  PoolActions out;
  std::map<uint64_t, DialId> dials;      // by number
  std::map<uint64_t, uint64_t> numbers;  // by id
  std::map<uint64_t, Ticket> holder;     // of those lent
  base::Error last_error;                // of the last Refuse or Health
  base::Duration last_wait{0};           // of the last Grant or Notice
  bool was_waiting = false;              // what withdraw() said

 private:
  std::string said() {
    std::string text;
    for (const PoolAction& action : out) {
      if (!text.empty()) text += "; ";
      text += std::visit([this](const auto& it) { return line(it); }, action);
    }
    out.clear();
    return text;
  }

  std::string line(const Grant& grant) {
    last_wait = grant.waited;
    holder[number(grant.connection)] = grant.ticket;
    std::string text = words("grant ", name(grant.ticket), " ", name(grant.connection));
    if (grant.owner != grant.client_worker) {
      text += words(" @", grant.owner, ">", grant.client_worker);
    }
    return text;
  }
  std::string line(const Refuse& refuse) {
    last_error = refuse.error;
    return words("refuse ", name(refuse.ticket), ": ", name_of(refuse.reason));
  }
  std::string line(const Notice& notice) {
    last_wait = notice.waited;
    return words("notice ", name(notice.ticket));
  }
  std::string line(const Dial& dial) {
    const uint64_t number = dials.size() + 1;
    dials[number] = dial.dial;
    numbers[static_cast<uint64_t>(dial.dial)] = number;
    std::string text = words("dial ", number);
    if (dial.flavour != kNeutral) text += words(" ~", static_cast<uint32_t>(dial.flavour));
    text += words(" @", dial.worker);
    if (dial.ticket) text += words(" for ", name(*dial.ticket));
    return text;
  }
  std::string line(const Check& check) { return words("check ", name(check.connection)); }
  std::string line(const Close& close) {
    return words("close ", name(close.connection), ": ", name_of(close.reason));
  }
  std::string line(const Health& health) {
    last_error = health.error;
    switch (health.event) {
      case Health::Event::WentDown:
        return "down";
      case Health::Event::GaveUp:
        return "gave up";
      case Health::Event::CameBack:
        return "back";
    }
    return "?";
  }

  uint64_t number(ConnectionId connection) const { return numbers.at(static_cast<uint64_t>(connection)); }
  std::string name(ConnectionId connection) const { return words("c", number(connection)); }
  static std::string name(Ticket ticket) { return words("t", static_cast<uint64_t>(ticket)); }
};

// A pool whose numbers a test states; what it does not state is out of the way.
inline PoolLimits sizes(uint32_t min_size, uint32_t max_size) {
  PoolLimits limits;
  limits.min_size = min_size;
  limits.max_size = max_size;
  limits.max_idle = base::Duration(0);
  limits.max_lifetime = base::Duration(0);
  limits.notice_after = base::Duration(0);
  limits.check = std::nullopt;
  limits.max_dials = 100;
  return limits;
}

}  // namespace tidepool::pool
