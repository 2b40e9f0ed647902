#include "lib/session/server_cleanup.h"

#include <array>
#include <charconv>
#include <span>

#include "lib/wire/message_reader.h"
#include "lib/wire/message_writer.h"

namespace tidepool::session {

namespace {

// Nobody prepares a statement of this name. (Who does, commits his own orphaned batches.)
constexpr std::string_view kNoStatement = "tidepool: no statement has this name 5b1f0c9e7a42d386";

// A row, if there is one.
constexpr std::string_view kAskTemporary =
    "SELECT WHERE pg_catalog.pg_my_temp_schema() OPERATOR(pg_catalog.<>) 0";

bool is_fatal(const wire::Message& message) {
  if (message.type != 'E') return false;
  const std::string_view severity = wire::read_severity(message.body);
  return severity == "FATAL" || severity == "PANIC";
}

// "15.4 (Debian 15.4-1)": of each major version from `first_major` on, the first minor one.
bool is_at_least(std::string_view server_version, unsigned first_major,
                 std::span<const unsigned> first_minor) {
  unsigned major = 0, minor = 0;
  const char* end = server_version.data() + server_version.size();
  const auto [dot, error] = std::from_chars(server_version.data(), end, major);
  if (error != std::errc{} || major < first_major) return false;
  if (dot != end && *dot == '.') std::from_chars(dot + 1, end, minor);
  return major - first_major >= first_minor.size() || minor >= first_minor[major - first_major];
}

}  // namespace

ServerCleanup::ServerCleanup(const CleanupPolicy& policy, TransactionTracker& tracker, Leave leave,
                             bool half_sent, Reset reset, bool asks_temporary)
    : policy_(policy),
      tracker_(tracker),
      leave_(leave),
      half_sent_(half_sent),
      reset_may_wait_(reset == Reset::MayWait),
      asks_temporary_(asks_temporary && policy.reset == CleanupPolicy::Reset::DiscardAll) {}

// 10.22, 11.17, 12.12, 13.8, 14.5 and later commit it at once within a pipeline.
bool ServerCleanup::may_wait_on(std::string_view server_version) {
  constexpr std::array<unsigned, 5> kFirstMinor{22, 17, 12, 8, 5};
  return is_at_least(server_version, 10, kFirstMinor);
}

bool ServerCleanup::keeps_startup_role(std::string_view server_version) {
  constexpr std::array<unsigned, 6> kFirstMinor{22, 18, 15, 10, 6, 2};
  return is_at_least(server_version, 12, kFirstMinor);
}

bool ServerCleanup::wants_body(char type) {
  return type == 'Z';
}

ServerCleanup::Step ServerCleanup::start(base::TimePoint now, std::string& out) {
  if (half_sent_) return close("a message was passed on by half");
  const bool cancels = leave_ == Leave::Vanished && policy_.cancel_orphans && tracker_.is_answering();
  if (!cancels || tracker_.in_doubt()) return drain(now, out);

  was_cancelled_ = true;
  const Step step = drain(now, out);
  if (step != Step::Wait) return step;
  phase_ = Phase::Cancelling;
  deadline_ = now + policy_.timeout;
  return Step::SendCancel;
}

ServerCleanup::Step ServerCleanup::cancel_sent(base::TimePoint now, std::string& out) {
  if (phase_ != Phase::Cancelling) return Step::Wait;
  phase_ = Phase::Draining;
  deadline_ = now + policy_.timeout;
  return drain(now, out);
}

ServerCleanup::Step ServerCleanup::tick(base::TimePoint now, std::string&) {
  if (!deadline_ || now < *deadline_) return Step::Wait;
  switch (phase_) {
    case Phase::Draining:
      return close("what the client left did not end in time");
    case Phase::Cancelling:
      return close("the cancel request of what the client left timed out");
    case Phase::RollingBack:
      return blame("rollback timed out");
    case Phase::Resetting:
    case Phase::Asking:
      return blame("reset timed out");
    case Phase::Finished:
      break;
  }
  return Step::Wait;
}

ServerCleanup::Step ServerCleanup::server_sent(const wire::Message& message, base::TimePoint now,
                                               std::string& out) {
  tracker_.server_sent(message.type, message.body);
  switch (phase_) {
    case Phase::Draining:
      if (is_fatal(message)) return blame("the server ended the connection");
      return drain(now, out);
    case Phase::Cancelling:  // until the cancel is through, it could hit what would be sent next
      if (is_fatal(message)) return blame("the server ended the connection");
      return Step::Wait;
    case Phase::RollingBack:
    case Phase::Resetting:
    case Phase::Asking:
      return statement_answered(message, now, out);
    case Phase::Finished:
      break;
  }
  return blame("the server spoke after it had been cleaned");
}

ServerCleanup::Step ServerCleanup::drain(base::TimePoint now, std::string& out) {
  if (tracker_.in_doubt()) return close("what the server still owes is in doubt");

  // Requests in front of an open batch are finished first, in their own time, unless they have been
  // cancelled.
  if (tracker_.copy_in() && !tracker_.copy_in_extended()) {
    fail_copy(out);
    deadline_ = now + policy_.timeout;
  } else if (tracker_.batch_is_open() && (tracker_.ready_owed() == 0 || was_cancelled_)) {
    fail_batch(out);
    deadline_ = now + policy_.timeout;
  }
  return tracker_.is_quiet() ? drained(now, out) : Step::Wait;
}

// Both fail what was begun. A Bind that cannot succeed keeps the Sync from committing; a CopyFail in front of
// it ends the COPY IN that the batch may contain, and means nothing if it does not.
void ServerCleanup::fail_copy(std::string& out) {
  wire::append_copy_fail(out, "the client left");
  tracker_.client_sent('f');
}

void ServerCleanup::fail_batch(std::string& out) {
  fail_copy(out);
  wire::append_bind(out, "", kNoStatement);
  tracker_.client_sent('B');
  wire::append_sync(out);
  tracker_.client_sent('S');
}

ServerCleanup::Step ServerCleanup::drained(base::TimePoint now, std::string& out) {
  if (policy_.reset == CleanupPolicy::Reset::Close)
    return close("the pool closes a server after each client");
  if (tracker_.status() == 'I') return reset(now, out);

  phase_ = Phase::RollingBack;
  is_completed_ = false;
  deadline_ = now + policy_.timeout;
  query("ROLLBACK", out);
  // If the ROLLBACK failed, this would fail in the transaction that is left: the two may share a write.
  reset_rides_along_ = policy_.reset == CleanupPolicy::Reset::DiscardAll;
  if (reset_rides_along_) discard(out);
  return Step::Wait;
}

ServerCleanup::Step ServerCleanup::reset(base::TimePoint now, std::string& out) {
  const bool by_sql = policy_.reset == CleanupPolicy::Reset::Sql && !policy_.reset_sql.empty();
  if (!by_sql && policy_.reset != CleanupPolicy::Reset::DiscardAll) return clean();
  if (!by_sql && reset_may_wait_ && phase_ == Phase::Draining && !was_cancelled_) {
    const Step step = clean();
    return step == Step::Clean ? Step::CleanLater : step;
  }

  phase_ = Phase::Resetting;
  is_completed_ = false;
  deadline_ = now + policy_.timeout;
  if (by_sql)
    query(policy_.reset_sql, out);
  else if (!reset_rides_along_)
    discard(out);
  return Step::Wait;
}

// Where the DISCARD ALL fails the server is closed, whatever the answer to the question is.
void ServerCleanup::discard(std::string& out) {
  query("DISCARD ALL", out);
  if (asks_temporary_) query(kAskTemporary, out);
}

// ROLLBACK and DISCARD ALL are answered by CommandComplete and ReadyForQuery; the pool's own SQL may have
// several results.
ServerCleanup::Step ServerCleanup::statement_answered(const wire::Message& message, base::TimePoint now,
                                                      std::string& out) {
  const bool rolls_back = phase_ == Phase::RollingBack;
  const bool has_results =
      phase_ == Phase::Asking || (!rolls_back && policy_.reset == CleanupPolicy::Reset::Sql);
  switch (message.type) {
    case 'N':
    case 'A':
    case 'S':
      return Step::Wait;
    case 'C':
      if (is_completed_ && !has_results) break;
      is_completed_ = true;
      return Step::Wait;
    case 'D':
      if (phase_ == Phase::Asking) return close("its temporary schema would stay");
      [[fallthrough]];
    case 'T':
    case 'I':
      if (!has_results) break;
      is_completed_ = true;
      return Step::Wait;
    case 'E':
      return blame(rolls_back ? "rollback failed" : "reset failed");
    case 'Z':
      if (!is_completed_ || tracker_.in_doubt()) break;
      if (tracker_.status() != 'I')
        return blame(rolls_back ? "rollback left a transaction" : "reset left a transaction");
      if (rolls_back) return reset(now, out);
      if (phase_ == Phase::Asking || !asks_temporary_) return clean();
      phase_ = Phase::Asking;
      is_completed_ = false;
      return Step::Wait;
  }
  return blame(rolls_back ? "unexpected answer to rollback" : "unexpected answer to reset");
}

void ServerCleanup::query(std::string_view sql, std::string& out) {
  wire::append_query(out, sql);
  tracker_.client_sent('Q');
}

ServerCleanup::Step ServerCleanup::clean() {
  if (!tracker_.server_is_free()) return close("what the server still owes is in doubt");
  phase_ = Phase::Finished;
  deadline_.reset();
  return Step::Clean;
}

ServerCleanup::Step ServerCleanup::blame(const char* reason) {
  is_servers_fault_ = true;
  return close(reason);
}

ServerCleanup::Step ServerCleanup::close(const char* reason) {
  phase_ = Phase::Finished;
  deadline_.reset();
  reason_ = reason;
  return Step::Close;
}

}  // namespace tidepool::session
