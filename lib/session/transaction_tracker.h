// Follows one server's conversation by message types and says what is still owed: which answers are outstanding, whether a
// batch is open, whether COPY data is expected, the transaction status. ReadyForQuery('I') alone is not enough with a
// pipeline in flight; this counts what was asked and what was answered.
// https://www.postgresql.org/docs/current/protocol-flow.html
//
// Rules that broke poolers: a Sync (or Flush) that the server reads while in COPY IN is ignored and gets no ReadyForQuery,
// so when CopyInResponse arrives, Syncs already sent after it and before CopyDone/CopyFail are taken off the account (a
// COPY that failed before CopyInResponse answers them); after an error in COPY IN by simple Query the late
// CopyData/CopyDone/CopyFail mean nothing; after an error in a batch everything up to its Sync goes unanswered; Terminate
// is never passed to a server. Where what the server will do cannot be known, in_doubt() says so and the server is closed
// rather than reused.
// Steady use allocates nothing.
#pragma once

#include <cstdint>
#include <vector>

#include "lib/base/bytes.h"

namespace tidepool::session {

class TransactionTracker {
 public:
  // A message of this type is passed on to the server (its header at least).
  void client_sent(char type);
  // A message came from the server. `body` is needed for ReadyForQuery only.
  void server_sent(char type, base::Bytes body);

  // Nothing asked is unanswered, no batch is open, no COPY runs: the client may be silent for ever.
  bool is_quiet() const;
  // is_quiet() and outside a transaction block: the server may go to another client.
  bool server_is_free() const { return is_quiet() && status_ == 'I' && !in_doubt_; }

  // ReadyForQuery messages that will come without anything further being sent.
  uint32_t ready_owed() const;
  // Extended-query messages were sent after the last Sync: the server waits for one (and may hold back answers).
  bool batch_is_open() const;
  // The server waits for CopyData.
  bool copy_in() const;
  // That COPY was started by Execute, so that a Sync must follow its end.
  bool copy_in_extended() const;
  // The last ReadyForQuery's: 'I', 'T' or 'E'.
  char status() const { return status_; }
  bool in_doubt() const { return in_doubt_; }

 private:
  // The representation is the implementation's to choose.
  struct Asked {
    char type;
    bool operator==(const Asked&) const = default;
  };
  std::vector<Asked> asked_;
  char status_ = 'I';
  bool in_doubt_ = false;
};

}  // namespace tidepool::session
