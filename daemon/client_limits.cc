// Where a client's session meets its limits: a request that is refused and keeps the session, and the time
// limits of its pool.
#include <utility>

#include "daemon/client_pooled.h"
#include "daemon/client_session.h"
#include "daemon/log.h"
#include "daemon/server_connection.h"
#include "daemon/worker.h"
#include "lib/pool/refusals.h"

namespace tidepool::daemon {

namespace {

// A query that its time limit has cancelled gets so long to end.
constexpr base::Duration kCancelGrace{5'000'000};

}  // namespace

// --- a request that is refused

// The session stays: what belongs to the request is skipped, what follows is a new one.
void ClientSession::refuse_request(const base::Error& error) {
  set_state(State::Refusing);
  refusal_.emplace(error);
  if (pooled_) {
    pooled_->waits = false;
    forget_place();
  }
  from_client_ = {};
  travelled_ = 0;
  request_runs_ = false;
  replay(pending_.take());
}

void ClientSession::skip_request(base::Bytes bytes) {
  bytes = worker_.read_buffer().join(pending_.tail(), bytes);
  std::string out;
  const auto result = refusal_->skip(bytes, from_client_, out);
  socket_.write(out);
  if (result.broken) return protocol_violation();
  if (result.terminated) return leave(session::ServerCleanup::Leave::Terminated);
  const base::Bytes rest = bytes.substr(result.consumed);
  if (!result.finished) {
    pending_.assign(rest);
    return;
  }
  refusal_.reset();
  set_state(State::Idle);
  if (!rest.empty()) on_request(rest);
}

// --- time limits

// Whether anything of a client that has a server is to be looked at by the clock.
bool ClientSession::keeps_time() const {
  const auto& limits = *pool_->settings;
  return limits.client_idle.count() + limits.idle_in_transaction.count() + limits.transaction.count() +
             limits.query.count() >
         0;
}

bool ClientSession::tick_linked(base::TimePoint now) {
  const auto& limits = *pool_->settings;
  const bool paused = !socket_.is_reading();
  if (prelude_runs()) {
    if (now - extras_->prelude_since >= pool_->cleanup.timeout) return prelude_timed_out();
    return true;
  }
  if (!gone_ && paused && socket_.peer_has_left() && !socket_.is_congested()) {
    leave(session::ServerCleanup::Leave::Vanished);
    return false;
  }
  if (question_runs()) {
    if (now - pooled_->asked_at < pool_->cleanup.timeout) return true;
    end({"08006", "the server did not answer within reset_timeout what the session has left there"});
    return false;
  }
  // A client that has prepared something and said no more than Flush, as asyncpg's prepare() does, need not
  // keep the server from others: its batch ends by a Sync of ours, of which it does not hear.
  if (pooled_ && pooled_->mode != config::PoolMode::Session && pending_.empty() &&
      from_client_.between_messages() && server_->relay.has_only_prepared()) {
    std::string out;
    auto client = relay_client();
    server_->relay.end_prepared_batch(client, out);
    server_->send(out);
    return true;
  }
  const auto& tracker = server_->tracker;
  const bool in_transaction = !tracker.is_quiet() || tracker.status() != 'I';
  if (limits.transaction.count() > 0 && in_transaction && now - transaction_since_ >= limits.transaction) {
    end({"25P04", "terminating connection due to the transaction time limit of pool \"" + database_ + "\""});
    return false;
  }
  if (!tracker.is_quiet()) {
    if (limits.query.count() > 0 && request_runs_ && now - requested_at_ >= limits.query) {
      if (!std::exchange(cancel_sent_, true)) {
        log::info(shown() + " query cancelled by its time limit");
        worker_.send_cancel(*server_, {});
      } else if (now - requested_at_ >= limits.query + kCancelGrace) {
        end({"57014", "canceling statement due to the query time limit of pool \"" + database_ + "\""});
        return false;
      }
    }
  } else if (tracker.status() == 'I') {
    if (limits.client_idle.count() > 0 && now - quiet_since_ >= limits.client_idle) {
      end({"57P05", "terminating connection due to client_idle of pool \"" + database_ + "\""});
      return false;
    }
  } else if (limits.idle_in_transaction.count() > 0 && now - quiet_since_ >= limits.idle_in_transaction) {
    end({"25P03", "terminating connection due to idle_in_transaction of pool \"" + database_ + "\""});
    return false;
  }
  return paused || keeps_time();
}

bool ClientSession::tick_idle(base::TimePoint now) {
  if (pool_->is_removed) {
    end(pool::pool_removed(database_));
    return false;
  }
  if (!pooled_) return false;
  const auto limit = pool_->settings->client_idle;
  if (limit.count() == 0) return false;
  if (now - state_since_ < limit) return true;
  end({"57P05", "terminating connection due to client_idle of pool \"" + database_ + "\""});
  return false;
}

}  // namespace tidepool::daemon
