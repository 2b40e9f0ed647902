// What every action of the ledger, and the state after every event, is held against.
#include <algorithm>
#include <chrono>
#include <cstdio>

#include "tests/unit/pool/simulated_shell.h"

namespace tidepool::pool {

using base::Duration;
using base::TimePoint;

namespace {

unsigned long long number(uint64_t value) {
  return value;
}
template <class Id>
unsigned long long number(Id id) {
  return static_cast<unsigned long long>(id);
}

int64_t milliseconds(Duration duration) {
  return std::chrono::duration_cast<std::chrono::milliseconds>(duration).count();
}

}  // namespace

void SimulatedShell::carry_out(const char* event, uint64_t event_number) {
  if (trace_) std::printf("%s %llu\n", event, number(event_number));
  dials_of_event_ = 0;
  const PoolActions actions = std::exchange(out_, {});
  for (const PoolAction& action : actions) std::visit([this](const auto& it) { on(it); }, action);
  for (auto& [id, one] : servers_) {
    if (one.state != State::Free) continue;
    one.state = State::Resting;  // nothing was said about it
    one.just_proven = false;
  }
  check_invariants();
}

void SimulatedShell::on(const Grant& grant) {
  if (trace_) std::printf("  grant t%llu c%llu\n", number(grant.ticket), number(grant.connection));
  const auto waiter = std::find_if(queue_.begin(), queue_.end(),
                                   [&grant](const SimWaiter& one) { return one.ticket == grant.ticket; });
  must(waiter != queue_.end(), "a grant for a ticket that does not wait");
  must(waiter->worker == grant.client_worker, "a grant names the wrong worker of the client");
  must(grant.waited == now_ - waiter->queued, "a grant is wrong about the wait");

  SimServer& granted = server(grant.connection);
  must(granted.state == State::Resting || granted.state == State::Free,
       "a connection is lent that is not free");
  must(granted.owner == grant.owner, "a grant names the wrong owner");
  must(granted.just_proven || !limits_.check || now_ - granted.proven < *limits_.check,
       "lent without its check");
  must(limits_.max_lifetime == Duration(0) || now_ - granted.opened < limits_.max_lifetime,
       "lent after its lifetime");
  must(granted.flavour == waiter->flavour, "a client is lent a server of another flavour");
  check_queue_jump(static_cast<size_t>(waiter - queue_.begin()), granted);
  if (granted.state == State::Resting && !limits_.check) check_lifo(granted, grant.client_worker);

  waited_ += grant.waited;
  granted.state = State::Lent;
  granted.owner = grant.client_worker;
  granted.lent_since = now_;
  granted.just_proven = granted.client_gone = false;
  granted.holder = grant.ticket;
  granted.client_since = waiter->since;
  tickets_.at(grant.ticket) = TicketState::Granted;
  queue_.erase(waiter);
}

// First come first served within a flavour, but for those on the worker where a server is freed: 16 times and
// 5 ms.
void SimulatedShell::check_queue_jump(size_t position, const SimServer& granted) {
  if (position == 0) return;
  const Flavour flavour = queue_[position].flavour;
  const bool is_local = granted.owner == queue_[position].worker;
  if (queue_[0].flavour != flavour && granted.opened != now_) check_passed_over(queue_[0]);
  for (size_t i = 0; i < position; ++i) {
    SimWaiter& passed = queue_[i];
    if (passed.flavour != flavour) continue;
    must(is_local, "overtaken by a client of another worker");
    if (passed.overtaken++ == 0) passed.first_overtaken = now_;
    must(passed.overtaken <= 16, "overtaken more than 16 times");
    must(now_ - passed.first_overtaken <= 5ms, "overtaken for more than 5 ms");
  }
}

// A server of another flavour could have given way to the first in line, and went to somebody behind it.
void SimulatedShell::check_passed_over(SimWaiter& first) {
  if (!may_give_way() || first.has_dial || unprovided(first.flavour) == 0) return;
  if (first.passed_over++ == 0) first.first_passed_over = now_;
  const bool has_servers = open(first.flavour) + useful_dials(first.flavour) > 0;
  must(has_servers || first.passed_over <= 17, "passed over more than 16 times");
  must(now_ - first.first_passed_over <= (has_servers ? 100ms : 5ms), "passed over for too long");
}

void SimulatedShell::check_lifo(const SimServer& granted, WorkerId worker) {
  for (const auto& [id, other] : servers_) {
    if (other.state != State::Resting || other.flavour != granted.flavour) continue;
    if (granted.owner == worker) {
      must(other.owner != worker || other.rested_since <= granted.rested_since,
           "not the newest of its worker");
    } else {
      must(other.owner != worker, "handed over although the asking worker has one at rest");
      must(other.rested_since <= granted.rested_since, "not the newest");
    }
  }
}

void SimulatedShell::on(const Refuse& refuse) {
  if (trace_) std::printf("  refuse t%llu: %s\n", number(refuse.ticket), name_of(refuse.reason));
  const auto waiter = std::find_if(queue_.begin(), queue_.end(),
                                   [&refuse](const SimWaiter& one) { return one.ticket == refuse.ticket; });
  must(waiter != queue_.end(), "a refusal for a ticket that does not wait");
  must(waiter->worker == refuse.client_worker, "a refusal names the wrong worker");
  must(refuse.error.sqlstate.size() == 5 && !refuse.error.message.empty(), "a refusal without words");
  switch (refuse.reason) {
    case RefuseReason::TimedOut:
      must(now_ - waiter->since >= limits_.timeout, "timed out too early");
      break;
    case RefuseReason::QueueFull:
      must(limits_.max_waiting != 0 && queue_.size() > limits_.max_waiting, "the queue is not full");
      break;
    case RefuseReason::ServerDown:
      must(down_ && open() == 0 && limits_.when_down == WhenDown::Fail, "refused although there is hope");
      break;
    case RefuseReason::LoginRefused:
      must(failing_ && last_failure_ == DialFailure::LoginRefused &&
               (open() < limits_.max_size || open(waiter->flavour) == 0),
           "refused although no login was");
      break;
    case RefuseReason::SettingsRefused:
      must(refused_flavour_ == waiter->flavour, "refused for settings of others");
      break;
    case RefuseReason::PoolRemoved:
      must(removed_, "refused for a removal that was not");
      break;
  }
  waited_ += now_ - waiter->queued;
  ++expected_.requests_errors;
  tickets_.at(refuse.ticket) = TicketState::Refused;
  queue_.erase(waiter);
}

void SimulatedShell::on(const Notice& notice) {
  const auto waiter = std::find_if(queue_.begin(), queue_.end(),
                                   [&notice](const SimWaiter& one) { return one.ticket == notice.ticket; });
  must(waiter != queue_.end(), "a notice for a ticket that does not wait");
  must(!waiter->noticed, "a second notice");
  must(limits_.notice_after != Duration(0) && notice.waited == now_ - waiter->since,
       "a notice out of nothing");
  must(notice.waited >= limits_.notice_after, "a notice too early");
  waiter->noticed = true;
}

void SimulatedShell::on(const Dial& dial) {
  if (trace_) std::printf("  dial %llu\n", number(dial.dial));
  must(!removed_, "a dial of a removed pool");
  must(has_room(), "a dial beyond max_size or max_dials");
  must(dials_.count(dial.dial) == 0, "a dial's id was used before");
  ++dials_of_event_;
  if (failing_) {
    must(dials_of_event_ == 1, "more than one probe at a time");
    must(now_ >= last_dial_ + 500ms, "probes come too fast");
  } else {
    const uint32_t missing = limits_.min_size - std::min(limits_.min_size, open());
    must(useful_dials() < missing || useful_dials(dial.flavour) < waiting(dial.flavour),
         "more dials than anybody asked for");
  }
  last_dial_ = now_;
  ++expected_.connections_num;
  dials_[dial.dial] = {dial.worker, dial.flavour, dial.ticket, now_};
  note_dial(dial.ticket, true);
}

void SimulatedShell::on(const Check& check) {
  if (trace_) std::printf("  check c%llu\n", number(check.connection));
  SimServer& checked = server(check.connection);
  must(limits_.check.has_value(), "a check although there are none");
  must(checked.state == State::Resting || checked.state == State::Free,
       "a check of a connection that does not rest");
  must(checked.owner == check.owner, "a check names the wrong owner");
  checked.state = State::Checking;
}

void SimulatedShell::on(const Close& close) {
  if (trace_) std::printf("  close c%llu: %s\n", number(close.connection), name_of(close.reason));
  SimServer& closing = server(close.connection);
  must(closing.state == State::Resting || closing.state == State::Free,
       "a connection is closed that somebody has");
  must(closing.owner == close.owner, "a close names the wrong owner");
  if (close.reason == CloseReason::MaxIdle) {
    must(open() > limits_.min_size, "shrunk below min_size");
    for (const auto& [id, other] : servers_) {
      must(other.state != State::Resting || other.rested_since >= closing.rested_since,
           "not the longest resting");
    }
  }
  if (close.reason == CloseReason::MaxLifetime) {
    must(now_ - closing.opened >= limits_.max_lifetime * 95 / 100, "died too young");
  }
  if (close.reason == CloseReason::Outgrown) {
    must(closing.state == State::Free, "outgrown at rest");
    must(!failing_ && dials_.empty() && count(State::Closing) == 0,
         "outgrown while another one goes or comes");
  }
  if (close.reason == CloseReason::GaveWay) {
    must(!failing_ && size() >= limits_.max_size, "a server gives way although there is room");
    must(waiting(closing.flavour) < queue_.size(), "a server gives way to nobody");
    must(count(State::Closing) + dials_.size() < limits_.max_dials, "more give way than are dialed for");
    for (const auto& [id, other] : servers_) {
      must(closing.state == State::Free || other.state != State::Resting ||
               other.rested_since >= closing.rested_since,
           "not the longest resting gives way");
    }
    ++expected_.gave_way;
  }
  closing.state = State::Closing;
}

void SimulatedShell::on(const Health& health) {
  if (trace_) std::printf("  health %d\n", static_cast<int>(health.event));
  switch (health.event) {
    case Health::Event::WentDown:
      must(!down_ && failing_, "down without a reason");
      down_ = true;
      gave_up_ = false;
      break;
    case Health::Event::GaveUp:
      must(down_ && !gave_up_, "gave up without a reason");
      gave_up_ = true;
      ++expected_.gave_up;
      break;
    case Health::Event::CameBack:
      must(down_, "back without having been away");
      down_ = false;
      break;
  }
}

void SimulatedShell::check_flavour(Flavour flavour, bool room) {
  const uint32_t waits = waiting(flavour), checking = count(State::Checking, flavour);
  if (room && !failing_) {
    must(useful_dials(flavour) + checking >= waits, "a client waits, there is room, and nobody dials");
  }
  if (waits > 0 && count(State::Resting, flavour) > 0) {
    must(limits_.check && checking >= waits, "a client waits while a connection rests");
    for (const auto& [id, one] : servers_) {
      const bool is_stale = limits_.check && now_ - one.proven >= *limits_.check;
      must(one.flavour != flavour || one.state != State::Resting || is_stale,
           "a client waits while a proven connection rests");
    }
  }
  if (failing_ && last_failure_ == DialFailure::LoginRefused && open(flavour) == 0)
    must(waits == 0, "a client waits for a login that is refused");
}

void SimulatedShell::check_invariants() {
  const bool room = has_room() && !removed_;
  const uint32_t checking = count(State::Checking), resting = count(State::Resting);
  const auto waiting_now = static_cast<uint32_t>(queue_.size());
  const auto deadline = ledger_.next_deadline();

  // No capacity is lost: who waits has a server under way, unless the pool is full or the server ill.
  if (room && !failing_) {
    must(open() + useful_dials() >= limits_.min_size, "below min_size, there is room, and nobody dials");
  }
  if (room && failing_ && waiting_now > 0 && dials_.empty()) {
    const base::Duration pause = last_failure_ == DialFailure::LoginRefused ? 5s : 500ms;
    must(deadline && *deadline <= now_ + pause, "a client waits for an ill server, and no probe is planned");
  }
  if (may_give_way() && unprovided() > 0) {
    must(resting == 0, "a client waits while one of another flavour rests");
  }
  for (uint32_t flavour = 0; flavour < flavours_; ++flavour) check_flavour(Flavour{flavour}, room);
  for (const SimWaiter& waiter : queue_) {
    must(deadline && *deadline <= waiter.since + limits_.timeout, "a timeout is not planned");
  }

  const PoolStats stats = ledger_.stats(now_);
  must(stats.pool_min == limits_.min_size && stats.pool_max == limits_.max_size, "pool_min, pool_max");
  must(stats.pool_size == size(), "pool_size");
  must(stats.pool_available == resting, "pool_available");
  must(stats.requests_waiting == waiting_now, "requests_waiting");
  must(stats.lent == count(State::Lent), "lent");
  must(stats.checking == checking, "checking");
  must(stats.dialing == static_cast<int64_t>(dials_.size()), "dialing");
  must(stats.closing == count(State::Closing), "closing");
  must(stats.usage_ms == milliseconds(usage_), "usage_ms");
  must(stats.requests_num == expected_.requests_num, "requests_num");
  must(stats.requests_queued == expected_.requests_queued, "requests_queued");
  must(stats.requests_wait_ms == milliseconds(waited_), "requests_wait_ms");
  must(stats.requests_errors == expected_.requests_errors, "requests_errors");
  must(stats.returns_bad == expected_.returns_bad, "returns_bad");
  must(stats.connections_num == expected_.connections_num, "connections_num");
  must(stats.connections_ms == milliseconds(connecting_), "connections_ms");
  must(stats.connections_errors == expected_.connections_errors, "connections_errors");
  must(stats.connections_lost == expected_.connections_lost, "connections_lost");
  must(stats.gave_up == expected_.gave_up, "gave_up");
  must(stats.gave_way == expected_.gave_way, "gave_way");
  must(stats.down == down_, "down");
  must(ledger_.is_empty() == (size() == 0), "is_empty");
}

}  // namespace tidepool::pool
