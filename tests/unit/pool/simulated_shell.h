// A shell without sockets: carries out what the ledger says, on four workers, against a server that falls ill
// now and then, and holds every action and the state after every event against what the ledger promises. All
// chance comes from one seed.
#pragma once

#include <deque>
#include <map>
#include <optional>
#include <random>
#include <string>
#include <vector>

#include "lib/pool/pool_ledger.h"

namespace tidepool::pool {

class SimulatedShell {
 public:
  // `trace`: print every event and action.
  SimulatedShell(uint64_t seed, bool trace);

  // One thing happens: a client asks, a dial ends, time passes, the settings change, ...
  void step();
  // The server is well and everybody behaves: all who wait must be served, and the pool must come back to its
  // minimum.
  void recover();
  // The pool is removed: it must become empty.
  void end();

 private:
  static constexpr WorkerId kWorkers = 4;
  static constexpr uint32_t kFlavours = 3;
  enum class TicketState { Waiting, Granted, Refused, Withdrawn };
  enum class ServerMood { Well, Unreachable, RefusesLogin, Full };
  enum class State {
    Free,
    Resting,
    Checking,
    Lent,
    Closing
  };  // Free: in the ledger's hands during one event

  struct SimWaiter {
    Ticket ticket;
    WorkerId worker;
    Flavour flavour;
    bool again;
    base::TimePoint since, queued;
    bool noticed = false;
    int overtaken = 0;
    base::TimePoint first_overtaken{};
    bool has_dial = false;
    int passed_over = 0;
    base::TimePoint first_passed_over{};
  };
  struct SimDial {
    WorkerId worker;
    Flavour flavour;
    std::optional<Ticket> ticket;
    base::TimePoint began;
    bool doomed = false;
  };
  struct SimServer {
    State state;
    WorkerId owner;
    Flavour flavour;
    base::TimePoint opened, proven, rested_since, lent_since;
    bool just_proven = false;
    bool has_answered = false, doomed = false;
    bool client_gone = false;
    Ticket holder{};
    base::TimePoint client_since{};
  };

  // Events.
  void client_asks();
  void client_asks_again(WorkerId worker, Flavour flavour, base::TimePoint since);
  void count_if_queued(Ticket ticket);
  void waiting_client_leaves();
  void server_comes_back(ConnectionId id);
  void server_is_lost(ConnectionId id);
  void dial_ends(DialId id);
  void lost_untried(base::TimePoint opened);
  void lets_log_in();
  void is_of_use();
  void check_ends(ConnectionId id, bool passes);
  void cleaning_begins(ConnectionId id);
  void server_closed(ConnectionId id);
  void time_passes(base::Duration duration);
  void tick();
  void settings_change();
  void everything_is_replaced();
  void login_is_turned_away();

  // After each call into the ledger: every action, then the state.
  void carry_out(const char* event, uint64_t number);
  void on(const Grant& grant);
  void on(const Refuse& refuse);
  void on(const Notice& notice);
  void on(const Dial& dial);
  void on(const Check& check);
  void on(const Close& close);
  void on(const Health& health);
  void check_queue_jump(size_t position, const SimServer& granted);
  void check_passed_over(SimWaiter& first);
  void check_lifo(const SimServer& server, WorkerId worker);
  void check_flavour(Flavour flavour, bool room);
  void check_invariants();

  void must(bool ok, const char* what) const;
  uint64_t below(uint64_t bound);
  bool chance(int percent) { return below(100) < static_cast<uint64_t>(percent); }
  PoolLimits random_limits();
  SimServer& server(ConnectionId id);
  std::optional<ConnectionId> any(State state);
  uint32_t count(State state) const;
  uint32_t open() const { return count(State::Resting) + count(State::Checking) + count(State::Lent); }
  uint32_t count(State state, Flavour flavour) const;
  uint32_t useful_dials() const;
  uint32_t useful_dials(Flavour flavour) const;
  uint32_t waiting(Flavour flavour) const;
  void note_dial(std::optional<Ticket> ticket, bool is_under_way);
  uint32_t open(Flavour flavour) const {
    return count(State::Resting, flavour) + count(State::Checking, flavour) + count(State::Lent, flavour);
  }
  uint32_t unprovided(Flavour flavour) const;
  uint32_t unprovided() const;
  // Whoever lacks a server could have the place of another flavour's.
  bool may_give_way() const {
    return !removed_ && !failing_ && size() >= limits_.max_size && count(State::Closing) == 0 &&
           dials_.size() < limits_.max_dials;
  }
  uint32_t size() const { return static_cast<uint32_t>(servers_.size() + dials_.size()); }
  bool has_room() const { return size() < limits_.max_size && dials_.size() < limits_.max_dials; }

  const uint64_t seed_;
  const bool trace_;
  std::mt19937_64 random_;
  base::TimePoint now_;
  PoolLimits limits_;
  PoolLedger ledger_;
  PoolActions out_;

  ServerMood mood_ = ServerMood::Well;
  bool may_refuse_settings_ = true;
  bool failing_ = false, down_ = false, gave_up_ = false, removed_ = false;
  DialFailure last_failure_ = DialFailure::Unreachable;
  base::TimePoint last_dial_;
  // Servers that were lost before they were of any use.
  int lost_in_a_row_ = 0;
  bool fails_by_loss_ = false;
  base::TimePoint last_lost_, trial_ends_ = base::TimePoint::max();

  std::map<Ticket, TicketState> tickets_;
  std::deque<SimWaiter> queue_;
  std::map<DialId, SimDial> dials_;
  std::map<ConnectionId, SimServer> servers_;
  const uint32_t flavours_;  // of this history: as a rule one
  std::optional<Flavour> refused_flavour_;  // by the dial that has just ended
  uint64_t last_ticket_ = 0;
  uint32_t dials_of_event_ = 0;
  PoolStats expected_;
  base::Duration usage_{0}, waited_{0}, connecting_{0};
};

}  // namespace tidepool::pool
