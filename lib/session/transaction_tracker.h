// Follows one server's conversation by message types and says what is still owed: which answers are
// outstanding, whether a batch is open, whether COPY data is expected, the transaction status.
// ReadyForQuery('I') alone is not enough with a pipeline in flight; this counts what was asked and what was
// answered. https://www.postgresql.org/docs/current/protocol-flow.html
//
// What was asked stands in a queue, in the order in which the server reads it, and each answer takes
// something from its front:
//
//   asked                                  taken by
//   Request  Parse Bind Describe Close     its one answer: 1 2 T n 3, for Execute C I s; an ErrorResponse
//   takes everything
//            Execute                       up to the next Sync
//   Query, Function, Sync                  ReadyForQuery
//   CopyEnd  CopyDone, CopyFail            the CommandComplete of its COPY; outside of COPY it means nothing
//
// Rules that broke poolers: a Sync (or Flush) that the server reads while in COPY IN is ignored and gets no
// ReadyForQuery, so when CopyInResponse arrives, Syncs already sent after it and before CopyDone/CopyFail are
// taken off the account (a COPY that failed before CopyInResponse answers them); after an error in COPY IN by
// simple Query the late CopyData/CopyDone/CopyFail mean nothing; after an error in a batch everything up to
// its Sync goes unanswered, a simple Query included; Terminate is never passed to a server. Where what the
// server will do cannot be known (such a Sync, and then an error instead of CommandComplete: did it come
// before or after the Sync was read?), in_doubt() says so and the server is closed rather than reused. Steady
// use allocates nothing.
#pragma once

#include <cstdint>

#include "lib/base/bytes.h"
#include "lib/session/run_queue.h"

namespace tidepool::session {

class TransactionTracker {
 public:
  // A message of this type is passed on to the server (its header at least).
  void client_sent(char type) {
    if (type != 'd') note_request(type);  // CopyData, in bulk
  }
  // A message came from the server. `body` is needed for ReadyForQuery only.
  void server_sent(char type, base::Bytes body) {
    if ((type == 'D' || type == 'd') && !asked_.is_empty()) return;  // rows, in bulk
    note_answer(type, body);
  }

  // Nothing asked is unanswered, no batch is open, no COPY runs: the client may be silent for ever.
  bool is_quiet() const { return asked_.is_empty() && !batch_is_open_; }
  // is_quiet() and outside a transaction block: the server may go to another client.
  bool server_is_free() const { return is_quiet() && status_ == 'I' && !in_doubt_; }

  // ReadyForQuery messages that will come without anything further being sent.
  uint32_t ready_owed() const { return copy_in() ? 0 : ready_owed_; }
  // Something was asked that is not answered in full: the server may be at work on it.
  bool is_answering() const { return !asked_.is_empty(); }
  // Extended-query messages were sent after the last Sync: the server waits for one (and may hold back
  // answers).
  bool batch_is_open() const { return batch_is_open_; }
  // The server waits for CopyData.
  bool copy_in() const { return copy_ != Copy::None && !copy_end_was_sent_; }
  // That COPY was started by Execute, so that a Sync must follow its end.
  bool copy_in_extended() const { return copy_in() && copy_ == Copy::ByExecute; }
  // The last ReadyForQuery's: 'I', 'T' or 'E'.
  char status() const { return status_; }
  bool in_doubt() const { return in_doubt_; }

 private:
  enum class Asked : uint8_t { Request, Query, Function, Sync, CopyEnd };
  enum class Copy : uint8_t { None, ByQuery, ByExecute };

  void note_request(char type);
  void note_answer(char type, base::Bytes body);
  void ask(Asked what);
  void request_answered();
  void ready_for_query(base::Bytes body);
  void failed();
  void copy_in_begins();
  void copy_in_completed();
  void skip_to_sync();
  void drop_to_ready_owner();
  void forget_useless_copy_ends();
  void doubt_unless(bool as_expected) { in_doubt_ = in_doubt_ || !as_expected; }

  RunQueue<Asked> asked_;
  uint32_t ready_owed_ = 0;       // Query, Function and Sync in asked_
  uint32_t swallowed_syncs_ = 0;  // that the COPY that runs has read, or will have if it does not fail before
  Copy copy_ = Copy::None;        // a COPY IN between its CopyInResponse and its end
  bool copy_end_was_sent_ = false;  // ... whose CopyDone or CopyFail is on its way
  bool batch_is_open_ = false;
  bool skips_to_sync_ = false;  // a batch failed and no Sync has been sent yet; then batch_is_open_ too
  bool in_doubt_ = false;
  char status_ = 'I';
};

}  // namespace tidepool::session
