// Brings a server whose client has left to where the next client may have it, or says that it must be closed.
// What a client left: answers on their way, a running query, a batch without its Sync, an unfinished COPY, an
// open transaction, and all session state. Knows the conversation only; the shell sends, cancels and keeps
// the time.
//
//   drain    answers to what the client asked are read and thrown away; a COPY IN is failed (CopyFail); an
//   open batch is failed on
//            purpose (Bind of a statement that cannot exist), then Sync: a bare Sync would commit it
//   cancel   if the client vanished and `orphans` is Cancel, what the server may still be at work on is
//   cancelled rollback if the status is T or E reset    DISCARD ALL, or the pool's own SQL, or nothing; a
//   pool that closes its servers has them drained nevertheless,
//            so that what a client asked for before it said Terminate is done
//   ask      if there may be a temporary schema, which DISCARD ALL does not take: a server that has one is
//   closed.
//            The next client's first temporary object would make none, and change no search path, whereupon
//            PostgreSQL resolves the names in prepared statements again
//   later    a session of which nothing is known to have been left, and that ended in order, may be reset in
//   front of the next client's first message (ServerPrelude), or by a cleanup of its own a little later
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "lib/base/time.h"
#include "lib/session/transaction_tracker.h"
#include "lib/wire/frame_cursor.h"

namespace tidepool::session {

struct CleanupPolicy {
  enum class Reset : uint8_t { DiscardAll, Rollback, None, Close, Sql };
  Reset reset = Reset::DiscardAll;
  std::string reset_sql;
  bool cancel_orphans = true;
  base::Duration timeout{
      5000000};  // for each step of ours; a query that the client asked to be finished has none
};

class ServerCleanup {
 public:
  enum class Step {
    Wait,        // for the server, or the deadline
    SendCancel,  // a cancel request is to be sent to this server; cancel_sent() follows when the server
                 // closed its connection
    Clean,
    CleanLater,  // free, but for the DISCARD ALL that must come before anything of another client's
    Close        // reason() says why
  };
  enum class Leave { Terminated, Vanished };
  enum class Reset { AtOnce, MayWait };

  // `policy` outlives this. `tracker` goes on being fed by the shell with what the server says and with what
  // this sends (client_sent). `half_sent`: a message of the client's was passed on by half.
  // `asks_temporary`: behind a DISCARD ALL.
  ServerCleanup(const CleanupPolicy& policy, TransactionTracker& tracker, Leave leave, bool half_sent,
                Reset reset = Reset::AtOnce, bool asks_temporary = false);

  // Whether a server of this version lets DISCARD ALL travel in front of a client's message (facts.md 2).
  static bool may_wait_on(std::string_view server_version);
  // Whether DISCARD ALL there leaves, or brings back, the role of the startup packet. On older ones (before
  // 12.22, 13.18, 14.15, 15.10, 16.6, 17.2) the session is the login's user afterwards: such a server is
  // closed instead.
  static bool keeps_startup_role(std::string_view server_version);

  // Each appends to `out` what is to be sent now. server_sent() feeds the tracker itself.
  Step start(base::TimePoint now, std::string& out);
  Step server_sent(const wire::Message& message, base::TimePoint now, std::string& out);
  Step cancel_sent(base::TimePoint now, std::string& out);
  Step tick(base::TimePoint now, std::string& out);
  std::optional<base::TimePoint> deadline() const { return deadline_; }
  bool asks_temporary() const { return asks_temporary_; }
  // It was not what a client left, and not the policy.
  bool is_servers_fault() const { return is_servers_fault_; }
  const char* reason() const { return reason_; }  // static words: "reset timed out", ...
  // Whether the whole body of a message of this type is wanted by server_sent(). Not that of an
  // ErrorResponse, which may be as long as the last client liked: one that says FATAL is noticed by its
  // beginning, if that is there; else by the hang-up.
  static bool wants_body(char type);

 private:
  enum class Phase : uint8_t { Draining, Cancelling, RollingBack, Resetting, Asking, Finished };

  Step drain(base::TimePoint now, std::string& out);
  Step drained(base::TimePoint now, std::string& out);
  Step reset(base::TimePoint now, std::string& out);
  Step statement_answered(const wire::Message& message, base::TimePoint now, std::string& out);
  void fail_copy(std::string& out);
  void fail_batch(std::string& out);
  void query(std::string_view sql, std::string& out);
  void discard(std::string& out);
  Step clean();
  Step close(const char* reason);
  Step blame(const char* reason);

  const CleanupPolicy& policy_;
  TransactionTracker& tracker_;
  const Leave leave_;
  const bool half_sent_;
  const bool reset_may_wait_;
  const bool asks_temporary_;
  Phase phase_ = Phase::Draining;
  bool was_cancelled_ = false;
  bool reset_rides_along_ = false;  // behind the ROLLBACK
  bool is_completed_ = false;       // the statement that ROLLBACK or DISCARD ALL is
  std::optional<base::TimePoint> deadline_;
  const char* reason_ = "";
  bool is_servers_fault_ = false;
};

}  // namespace tidepool::session
