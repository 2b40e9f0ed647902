#include "tests/unit/pool/simulated_shell.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cstdio>

namespace tidepool::pool {

using base::Duration;
using base::TimePoint;

SimulatedShell::SimulatedShell(uint64_t seed, bool trace)
    : seed_(seed),
      trace_(trace),
      random_(seed),
      limits_(random_limits()),
      ledger_("random", limits_, seed, now_, kWorkers),
      flavours_(chance(60) ? kFlavours : 1) {
  tick();
}

void SimulatedShell::step() {
  const uint64_t what = below(100);
  if (what < 22) return client_asks();
  if (what < 25) return waiting_client_leaves();
  if (what < 45) {
    if (const auto id = any(State::Lent)) return chance(92) ? server_comes_back(*id) : server_is_lost(*id);
  } else if (what < 58) {
    if (!dials_.empty()) {
      auto dial = dials_.begin();
      std::advance(dial, static_cast<long>(below(dials_.size())));
      return dial_ends(dial->first);
    }
  } else if (what < 66) {
    if (const auto id = any(State::Checking)) return check_ends(*id, chance(70));
    if (const auto id = any(State::Resting); id && chance(50)) return cleaning_begins(*id);
  } else if (what < 76) {
    if (const auto id = any(State::Closing)) return server_closed(*id);
  } else if (what < 78) {
    if (const auto id = any(State::Resting)) return chance(60) ? server_is_lost(*id) : server_closed(*id);
  } else if (what == 78) {
    mood_ = chance(60) ? ServerMood::Well : static_cast<ServerMood>(below(4));
    return;
  } else if (what == 79 && chance(30)) {
    return chance(75) ? settings_change() : everything_is_replaced();
  } else if (what == 80) {
    return login_is_turned_away();
  }
  switch (below(20)) {
    case 0:
      return time_passes(Duration(below(20'000'000)));
    case 1:
    case 2:
      return time_passes(Duration(below(1'000'000)));
    default:
      return time_passes(Duration(below(3000)));
  }
}

// -- Events ---------------------------------------------------------------------------------------

void SimulatedShell::client_asks() {
  const Ticket ticket{++last_ticket_};
  const auto worker = static_cast<WorkerId>(below(kWorkers));
  ++expected_.requests_num;
  const Flavour flavour{static_cast<uint32_t>(below(flavours_))};
  // As SharedPool does.
  if (const auto lent = ledger_.lend_at_once(worker, flavour, now_))
    out_.emplace_back(Grant{ticket, *lent, worker, worker, Duration(0)});
  else
    ledger_.checkout(ticket, worker, flavour, now_, out_);
  if (removed_) {
    const Refuse* refuse = out_.size() == 1 ? std::get_if<Refuse>(&out_.front()) : nullptr;
    must(refuse != nullptr && refuse->reason == RefuseReason::PoolRemoved, "a removed pool does not refuse");
    out_.clear();
    return;
  }
  tickets_[ticket] = TicketState::Waiting;
  queue_.push_back({ticket, worker, flavour, false, now_, now_});
  count_if_queued(ticket);
  carry_out("checkout", last_ticket_);
}

void SimulatedShell::client_asks_again(WorkerId worker, Flavour flavour, TimePoint since) {
  const Ticket ticket{++last_ticket_};
  tickets_[ticket] = TicketState::Waiting;
  const auto position = std::find_if(queue_.begin(), queue_.end(), [since](const SimWaiter& other) {
    return !other.again || other.since > since;
  });
  const bool noticed = now_ - since >= limits_.notice_after;
  queue_.insert(position, {ticket, worker, flavour, true, since, now_, noticed});
  ledger_.checkout_again(ticket, worker, flavour, since, now_, out_);
  count_if_queued(ticket);
  carry_out("checkout_again", last_ticket_);
}

// A wait of no time is none: granted in this very call, or refused for the length of the queue.
void SimulatedShell::count_if_queued(Ticket ticket) {
  bool queued = true;
  for (const PoolAction& action : out_) {
    if (const Grant* grant = std::get_if<Grant>(&action)) {
      if (grant->ticket == ticket) queued = false;
      must(grant->ticket == ticket || &action != &out_.front(),
           "the first action grants another one's ticket");
    } else if (const Refuse* refuse = std::get_if<Refuse>(&action)) {
      if (refuse->ticket == ticket && refuse->reason == RefuseReason::QueueFull) queued = false;
    }
  }
  if (queued) ++expected_.requests_queued;
}

void SimulatedShell::waiting_client_leaves() {
  if (tickets_.empty()) return;
  // Any of the last ones: also one whose answer is on its way.
  const Ticket ticket{last_ticket_ - below(std::min<uint64_t>(last_ticket_, 20))};
  const bool was_waiting = tickets_.at(ticket) == TicketState::Waiting;
  const auto waiter = std::find_if(queue_.begin(), queue_.end(),
                                   [ticket](const SimWaiter& other) { return other.ticket == ticket; });
  if (was_waiting) {
    waited_ += now_ - waiter->queued;
    queue_.erase(waiter);
    tickets_.at(ticket) = TicketState::Withdrawn;
  }
  must(ledger_.withdraw(ticket, now_, out_) == was_waiting, "withdraw() is wrong about who waits");
  for (auto& [id, lent] : servers_) {
    if (lent.state == State::Lent && lent.holder == ticket) lent.client_gone = true;
  }
  carry_out("withdraw", static_cast<uint64_t>(ticket));
}

void SimulatedShell::server_comes_back(ConnectionId id) {
  SimServer& lent = server(id);
  const bool used = !lent.client_gone;
  if (used && chance(80)) {
    if (!lent.doomed) lent.has_answered = true;
    if (!lent.doomed) is_of_use();
    ledger_.answered(id, now_, out_);
    carry_out("answered", static_cast<uint64_t>(id));
  }
  lent.state = State::Free;
  if (used) {
    usage_ += now_ - lent.lent_since;
    lent.proven = lent.rested_since = now_;
  }
  ledger_.give_back(id, used, used && chance(5), now_, out_);
  carry_out("give_back", static_cast<uint64_t>(id));
}

void SimulatedShell::server_is_lost(ConnectionId id) {
  SimServer& lost = server(id);
  const bool was_lent = lost.state == State::Lent;
  const bool is_bad = was_lent || chance(30);
  if (was_lent) usage_ += now_ - lost.lent_since;
  ++(is_bad ? expected_.returns_bad : expected_.connections_lost);
  lost.state = State::Closing;
  const SimServer copy = lost;
  const base::Error fault{"08006", "the server is ill in its own way"};
  const bool is_its_fault = chance(60);
  if (is_its_fault && !lost.has_answered && !lost.doomed) lost_untried(lost.opened);
  ledger_.lose(id, is_bad ? CloseReason::Bad : CloseReason::Lost, now_, out_,
               is_its_fault ? &fault : nullptr);
  carry_out("lose", static_cast<uint64_t>(id));
  if (was_lent && !copy.client_gone && chance(50)) {
    client_asks_again(copy.owner, copy.flavour, copy.client_since);
  }
}

void SimulatedShell::lost_untried(TimePoint opened) {
  if (now_ - opened >= 5s) return;
  if (now_ - last_lost_ >= 60s) lost_in_a_row_ = 0;
  last_lost_ = now_;
  if (++lost_in_a_row_ < 2) return;
  failing_ = fails_by_loss_ = true;
  last_failure_ = DialFailure::Unreachable;
  trial_ends_ = TimePoint::max();
}

void SimulatedShell::lets_log_in() {
  if (!failing_ || !fails_by_loss_) {
    failing_ = false;
  } else if (trial_ends_ == TimePoint::max()) {
    trial_ends_ = now_ + 5s;
  }
}

void SimulatedShell::is_of_use() {
  lost_in_a_row_ = 0;
  trial_ends_ = TimePoint::max();
  if (fails_by_loss_) failing_ = false;
}

void SimulatedShell::dial_ends(DialId id) {
  const SimDial dial = dials_.at(id);
  dials_.erase(id);
  note_dial(dial.ticket, false);
  if (mood_ == ServerMood::Well && dial.flavour != kNeutral && may_refuse_settings_ && chance(10)) {
    ++expected_.connections_errors;
    if (!dial.doomed) {
      lets_log_in();
      refused_flavour_ = dial.flavour;
    }
    ledger_.dial_failed(id, DialFailure::SettingsRefused, {"22023", "no such role"}, now_, out_);
    carry_out("settings_refused", static_cast<uint64_t>(id));
    refused_flavour_.reset();
    return;
  }
  if (mood_ == ServerMood::Well) {
    const Duration took = now_ - dial.began;
    connecting_ += took;
    if (!dial.doomed) lets_log_in();
    const ConnectionId connection{static_cast<uint64_t>(id)};  // for the actions that name it already
    servers_[connection] = {State::Free, dial.worker, dial.flavour, now_, now_, now_, now_, true};
    must(ledger_.dial_succeeded(id, took, now_, out_) == connection,
         "a connection is not named after its dial");
    return carry_out("dial_succeeded", static_cast<uint64_t>(id));
  }
  const DialFailure failure = mood_ == ServerMood::Unreachable    ? DialFailure::Unreachable
                              : mood_ == ServerMood::RefusesLogin ? DialFailure::LoginRefused
                                                                  : DialFailure::TooMany;
  ++expected_.connections_errors;
  if (!dial.doomed) {
    failing_ = true;
    fails_by_loss_ = false;
    trial_ends_ = TimePoint::max();
    last_failure_ = failure;
  }
  ledger_.dial_failed(id, failure, {"08006", "the server is ill"}, now_, out_);
  carry_out("dial_failed", static_cast<uint64_t>(id));
}

void SimulatedShell::check_ends(ConnectionId id, bool passes) {
  if (!passes) return server_is_lost(id);
  SimServer& checked = server(id);
  checked.state = State::Free;
  checked.proven = now_;
  checked.just_proven = true;
  ledger_.check_passed(id, now_, out_);
  carry_out("check_passed", static_cast<uint64_t>(id));
}

// A check in all but name, which the shell begins.
void SimulatedShell::cleaning_begins(ConnectionId id) {
  must(ledger_.begin_cleaning(id, now_), "a resting connection may not be cleaned");
  server(id).state = State::Checking;
  must(!ledger_.begin_cleaning(id, now_), "a connection is cleaned twice");
  carry_out("begin_cleaning", static_cast<uint64_t>(id));
}

void SimulatedShell::server_closed(ConnectionId id) {
  if (server(id).state != State::Closing) ++expected_.connections_lost;  // at rest, without a word
  servers_.erase(id);
  ledger_.closed(id, now_, out_);
  carry_out("closed", static_cast<uint64_t>(id));
}

// Ticks as next_deadline() asks, or late, or for nothing.
void SimulatedShell::time_passes(Duration duration) {
  const TimePoint end = now_ + duration;
  const bool punctual = chance(80);
  while (punctual) {
    const auto deadline = ledger_.next_deadline();
    if (!deadline || *deadline > end) break;
    now_ = std::max(now_, *deadline);
    tick();
    const auto next = ledger_.next_deadline();
    must(!next || *next > now_, "a tick did not do what was due");
  }
  now_ = end;
  if (!punctual || chance(30)) tick();
}

void SimulatedShell::tick() {
  if (!removed_ && now_ >= trial_ends_) is_of_use();
  ledger_.tick(now_, out_);
  carry_out("tick", static_cast<uint64_t>(now_.time_since_epoch().count()));
}

void SimulatedShell::settings_change() {
  limits_ = random_limits();
  ledger_.set_limits(limits_, now_, out_);
  carry_out("set_limits", limits_.max_size);
}

void SimulatedShell::everything_is_replaced() {
  failing_ = false;
  lost_in_a_row_ = 0;
  trial_ends_ = TimePoint::max();
  for (auto& [id, dial] : dials_) {
    dial.doomed = true;
    note_dial(dial.ticket, false);
  }
  for (auto& [id, one] : servers_) one.doomed = true;
  ledger_.replace_all(now_, out_);
  carry_out("replace_all", 0);
  must(count(State::Resting) == 0, "something old rests after replace_all");
}

void SimulatedShell::login_is_turned_away() {
  if (!ledger_.why_down()) return;
  must(failing_ && open() == 0, "why_down() although there is hope");
  ledger_.turned_away(static_cast<WorkerId>(below(kWorkers)), now_, out_);
  carry_out("turned_away", 0);
}

// -- The end --------------------------------------------------------------------------------------

void SimulatedShell::recover() {
  mood_ = ServerMood::Well;
  may_refuse_settings_ = false;
  limits_.timeout = 10min;
  limits_.when_down = WhenDown::Wait;
  limits_.max_lifetime = 0s;
  limits_.max_idle = 1min;
  ledger_.set_limits(limits_, now_, out_);
  carry_out("set_limits", limits_.max_size);
  for (int i = 0; i < 20; ++i) client_asks();
  const auto waiting_before = queue_.size();
  for (size_t round = 0; !queue_.empty() || (failing_ && has_room()); ++round) {
    must(round < 2 * waiting_before + 100, "clients wait although the server is well");
    time_passes(500ms);
    while (!dials_.empty()) dial_ends(dials_.begin()->first);
    while (const auto id = any(State::Checking)) check_ends(*id, true);
    while (const auto id = any(State::Closing)) server_closed(*id);
    if (const auto id = any(State::Lent)) server_comes_back(*id);
  }
  while (const auto id = any(State::Lent)) server_comes_back(*id);
  tick();
  TimePoint quiet_since = now_;
  while (now_ < quiet_since + 2min + 10s) {  // ticks may be late
    const bool was_failing = failing_;
    time_passes(10s);
    while (!dials_.empty()) dial_ends(dials_.begin()->first);
    while (const auto id = any(State::Checking)) check_ends(*id, true);
    while (const auto id = any(State::Closing)) server_closed(*id);
    if (was_failing && !failing_) quiet_since = now_;  // a probe opened one that nobody asked for
  }
  must(size() == limits_.min_size, "the pool is not at min_size after two quiet windows");
}

void SimulatedShell::end() {
  for (int i = 0; i < 10; ++i) client_asks();
  removed_ = true;
  for (auto& [id, dial] : dials_) {
    dial.doomed = true;
    note_dial(dial.ticket, false);
  }
  ledger_.remove(now_, out_);
  carry_out("remove", 0);
  must(queue_.empty(), "clients wait for a removed pool");
  client_asks();
  while (!dials_.empty()) dial_ends(dials_.begin()->first);
  while (const auto id = any(State::Lent)) server_comes_back(*id);
  while (const auto id = any(State::Checking)) check_ends(*id, true);
  while (const auto id = any(State::Closing)) server_closed(*id);
  must(servers_.empty() && ledger_.is_empty(), "a removed pool is not empty");
  must(!ledger_.next_deadline(), "an empty, removed pool wants to be called");
  for (const auto& [ticket, state] : tickets_) {
    must(state != TicketState::Waiting, "a ticket was never answered");
  }
}

// -- Chance and look-ups --------------------------------------------------------------------------

uint64_t SimulatedShell::below(uint64_t bound) {
  return random_() % bound;
}

PoolLimits SimulatedShell::random_limits() {
  PoolLimits limits;
  limits.max_size = static_cast<uint32_t>(1 + below(12));
  limits.min_size = static_cast<uint32_t>(below(limits.max_size + 1));
  limits.timeout = Duration(50'000 + below(5'000'000));
  limits.max_waiting = chance(30) ? static_cast<uint32_t>(1 + below(20)) : 0;
  limits.max_lifetime = chance(40) ? Duration(1'000'000 + below(60'000'000)) : 0s;
  limits.max_idle = chance(70) ? Duration(100'000 + below(20'000'000)) : 0s;
  limits.reconnect_timeout = Duration(below(20'000'000));
  limits.check = std::nullopt;
  if (chance(60)) limits.check = chance(30) ? Duration(0) : Duration(below(2'000'000));
  limits.notice_after = chance(50) ? Duration(20'000 + below(1'000'000)) : 0s;
  limits.max_dials = static_cast<uint32_t>(1 + below(4));
  limits.when_down = chance(50) ? WhenDown::Wait : WhenDown::Fail;
  return limits;
}

SimulatedShell::SimServer& SimulatedShell::server(ConnectionId id) {
  const auto found = servers_.find(id);
  must(found != servers_.end(), "a connection that is not there");
  return found->second;
}

std::optional<ConnectionId> SimulatedShell::any(State state) {
  std::vector<ConnectionId> fitting;
  for (const auto& [id, one] : servers_) {
    if (one.state == state) fitting.push_back(id);
  }
  if (fitting.empty()) return std::nullopt;
  return fitting[below(fitting.size())];
}

uint32_t SimulatedShell::count(State state) const {
  return static_cast<uint32_t>(std::count_if(servers_.begin(), servers_.end(),
                                             [state](const auto& one) { return one.second.state == state; }));
}

uint32_t SimulatedShell::useful_dials() const {
  return static_cast<uint32_t>(
      std::count_if(dials_.begin(), dials_.end(), [](const auto& one) { return !one.second.doomed; }));
}

uint32_t SimulatedShell::count(State state, Flavour flavour) const {
  return static_cast<uint32_t>(std::count_if(servers_.begin(), servers_.end(), [&](const auto& one) {
    return one.second.state == state && one.second.flavour == flavour;
  }));
}

uint32_t SimulatedShell::useful_dials(Flavour flavour) const {
  return static_cast<uint32_t>(std::count_if(dials_.begin(), dials_.end(), [&](const auto& one) {
    return !one.second.doomed && one.second.flavour == flavour;
  }));
}

void SimulatedShell::note_dial(std::optional<Ticket> ticket, bool is_under_way) {
  for (SimWaiter& waiter : queue_)
    if (ticket == waiter.ticket) waiter.has_dial = is_under_way;
}

uint32_t SimulatedShell::waiting(Flavour flavour) const {
  return static_cast<uint32_t>(
      std::count_if(queue_.begin(), queue_.end(), [&](const auto& one) { return one.flavour == flavour; }));
}

uint32_t SimulatedShell::unprovided(Flavour flavour) const {
  const uint32_t waits = waiting(flavour);
  return waits - std::min(waits, useful_dials(flavour) + count(State::Checking, flavour));
}

uint32_t SimulatedShell::unprovided() const {
  uint32_t sum = 0;
  for (uint32_t flavour = 0; flavour < flavours_; ++flavour) sum += unprovided(Flavour{flavour});
  return sum;
}

void SimulatedShell::must(bool ok, const char* what) const {
  if (!ok) FAIL(std::string(what) << " (TIDEPOOL_SEED=" << seed_ << " replays and prints it)");
}

}  // namespace tidepool::pool
