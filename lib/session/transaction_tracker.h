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
//            Execute, a Flush with a body  up to the next Sync
//   Query, Function, Sync                  ReadyForQuery
//   CopyEnd  CopyDone, CopyFail            the CommandComplete of its COPY; outside of COPY it means nothing
//   Fake     nothing: an answer of ours    its place has been reached
//
// A Request or Query may be marked, and a Fake always is: last() says what became of the marked ones, in the
// order in which they were asked, so that the caller can keep what it knows of them in a queue of its own
// (StatementRelay does).
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
#include "lib/wire/frame_cursor.h"

namespace tidepool::session {

class TransactionTracker {
 public:
  // A message of this type is passed on to the server (its header at least).
  void client_sent(char type) {
    if (type != 'd') note_request(type, false);  // CopyData, in bulk
  }
  // A client's own message, which may be wrong: PostgreSQL answers a Flush that has a body by an error.
  void client_sent(const wire::Message& message) {
    const bool is_wrong_flush = message.type == 'H' && message.size != wire::kHeaderSize;
    client_sent(is_wrong_flush ? kWrongFlush : message.type);
  }
  // The same for a Parse, Bind, Describe, Execute, Close or Query of which last() is to tell. False: the
  // server will ignore it.
  bool client_sent_marked(char type) { return note_request(type, true); }
  // An answer of ours has its place behind what was asked so far. False: as above.
  bool note_fake();
  // DataRow and CopyData are answers to what was asked, and change nothing: server_sent() need not hear of
  // them.
  bool owes_rows() const { return !asked_.is_empty() && !asked_.front_is(Asked::Fake); }
  // A message came from the server. `body` is needed for ReadyForQuery only.
  void server_sent(char type, base::Bytes body) {
    last_ = {};
    if ((type == 'D' || type == 'd') && owes_rows()) return;
    note_answer(type, body);
  }
  // What the last message from the server meant for marked requests, in this order.
  struct Last {
    uint32_t fakes_before = 0;         // their place is in front of this message
    bool is_answer_of_marked = false;  // the message belongs to a marked request
    bool ended_marked = false;         // ... and is the last one that does
    uint32_t dropped = 0;      // marked ones (fakes too) behind it that the server skips after this error
    uint32_t fakes_after = 0;  // their place is behind this message
  };
  const Last& last() const { return last_; }
  // Those whose place is reached already: with nothing more to come from the server, they may be told now.
  uint32_t take_due_fakes();

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
  // The open batch has failed: the server ignores everything up to its Sync.
  bool skips_to_sync() const { return skips_to_sync_; }
  // The server waits for CopyData.
  bool copy_in() const { return copy_ != Copy::None && !copy_end_was_sent_; }
  // That COPY was started by Execute, so that a Sync must follow its end.
  bool copy_in_extended() const { return copy_in() && copy_ == Copy::ByExecute; }
  // The last ReadyForQuery's: 'I', 'T' or 'E'.
  char status() const { return status_; }
  bool in_doubt() const { return in_doubt_; }
  // What the server owes turned out: nothing, outside a transaction.
  void settle_doubt();

 private:
  enum class Asked : uint8_t { Request, MarkedRequest, Query, MarkedQuery, Function, Sync, CopyEnd, Fake };
  enum class Copy : uint8_t { None, ByQuery, ByExecute };

  static constexpr char kWrongFlush = 'h';

  bool note_request(char type, bool marked);
  void note_answer(char type, base::Bytes body);
  void note_owed_answer(char type, base::Bytes body);
  void ask(Asked what);
  void request_answered();
  bool front_is_request() const {
    return asked_.front_is(Asked::Request) || asked_.front_is(Asked::MarkedRequest);
  }
  bool front_is_query() const { return asked_.front_is(Asked::Query) || asked_.front_is(Asked::MarkedQuery); }
  bool front_is_marked() const {
    return asked_.front_is(Asked::MarkedRequest) || asked_.front_is(Asked::MarkedQuery);
  }
  void pop_front_run_as_dropped();
  void ready_for_query(base::Bytes body);
  void failed();
  void copy_in_begins();
  void copy_in_completed();
  void skip_to_sync();
  void drop_to_ready_owner();
  void forget_useless_copy_ends();
  void doubt_unless(bool as_expected) { in_doubt_ = in_doubt_ || !as_expected; }

  RunQueue<Asked> asked_;
  Last last_;
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
