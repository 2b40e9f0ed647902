#include "lib/pool/server_health.h"

#include <algorithm>

namespace tidepool::pool {

using base::Duration;
using base::TimePoint;
using namespace std::chrono_literals;

namespace {

constexpr Duration kFirstRetry = 1s;
constexpr Duration kSlowestRetry = 30s;
constexpr Duration kProbeEvery = 500ms;
// A password that is wrong stays wrong for a while, and some providers lock out those who insist.
constexpr Duration kLoginRetry = 5s;
// A server that is lost so soon after its login is one that never was of use.
constexpr Duration kTrial = 5s;
// Accidents that lie further apart have nothing to do with each other. More than the slowest retry and a
// first use.
constexpr Duration kApart = 60s;

}  // namespace

TimePoint ServerHealth::probe_at(bool clients_wait) const {
  if (!clients_wait) return retry_at_;
  return std::min(retry_at_, last_started_ + (refuses_login() ? kLoginRetry : kProbeEvery));
}

void ServerHealth::dial_started(TimePoint now) {
  last_started_ = now;
  retry_at_ = TimePoint::max();
}

std::optional<Health::Event> ServerHealth::dial_failed(DialFailure kind, const base::Error& error,
                                                       TimePoint began, bool has_connections, TimePoint now) {
  if (!failing_) {
    failing_ = true;
    failures_ = 1;
  } else if (began >= last_failed_) {
    ++failures_;
  }
  fails_by_loss_ = false;
  trial_ends_at_ = TimePoint::max();
  kind_ = kind;
  error_ = error;
  last_failed_ = now;
  const Duration first = kind == DialFailure::LoginRefused ? kLoginRetry : kFirstRetry;
  const Duration delay = std::min(first * (1 << std::min(failures_ - 1, 5)), kSlowestRetry);
  retry_at_ = now + scaled(delay, jitter_.between(0.9, 1.1));

  if (down_since_ || (kind == DialFailure::TooMany && has_connections)) return std::nullopt;
  down_since_ = now;
  gave_up_ = false;
  return Health::Event::WentDown;
}

std::optional<Health::Event> ServerHealth::dial_succeeded(TimePoint now) {
  if (failing_ && fails_by_loss_) {
    if (trial_ends_at_ == TimePoint::max()) trial_ends_at_ = now + kTrial;
    return std::nullopt;
  }
  return is_well();
}

std::optional<Health::Event> ServerHealth::lost_untried(const base::Error& error, TimePoint opened,
                                                        bool has_connections, TimePoint now) {
  if (now - opened >= kTrial) return std::nullopt;
  if (now - last_lost_ >= kApart) lost_in_a_row_ = 0;
  last_lost_ = now;
  if (++lost_in_a_row_ < 2) return std::nullopt;
  const auto event = dial_failed(DialFailure::Unreachable, error, opened, has_connections, now);
  fails_by_loss_ = true;
  return event;
}

std::optional<Health::Event> ServerHealth::is_of_use() {
  lost_in_a_row_ = 0;
  trial_ends_at_ = TimePoint::max();
  return failing_ && fails_by_loss_ ? is_well() : std::nullopt;
}

std::optional<Health::Event> ServerHealth::is_well() {
  failing_ = false;
  if (!down_since_) return std::nullopt;
  down_since_.reset();
  return Health::Event::CameBack;
}

TimePoint ServerHealth::gives_up_at(Duration patience) const {
  if (!down_since_ || gave_up_) return TimePoint::max();
  return *down_since_ + patience;
}

}  // namespace tidepool::pool
