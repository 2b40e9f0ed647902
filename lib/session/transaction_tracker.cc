#include "lib/session/transaction_tracker.h"

namespace tidepool::session {

void TransactionTracker::ask(Asked what) {
  asked_.push(what);
  if (what == Asked::Query || what == Asked::MarkedQuery || what == Asked::Function || what == Asked::Sync)
    ++ready_owed_;
}

bool TransactionTracker::note_fake() {
  if (skips_to_sync_) return false;
  batch_is_open_ = true;
  ask(Asked::Fake);
  return true;
}

void TransactionTracker::settle_doubt() {
  while (!asked_.is_empty()) asked_.pop_run();
  ready_owed_ = swallowed_syncs_ = 0;
  copy_ = Copy::None;
  copy_end_was_sent_ = batch_is_open_ = skips_to_sync_ = in_doubt_ = false;
  status_ = 'I';
}

uint32_t TransactionTracker::take_due_fakes() {
  return asked_.front_is(Asked::Fake) ? asked_.pop_run() : 0;
}

// True: an answer is owed for it.
bool TransactionTracker::note_request(char type, bool marked) {
  if (skips_to_sync_ && type != 'S') return false;
  // A COPY that is still on swallows Syncs, ignores Flush, and takes anything but data and its end for a
  // broken client; unless it has failed meanwhile, which cannot be known here.
  if (copy_in()) {
    if (type == 'S') {
      ++swallowed_syncs_;
      return false;
    }
    doubt_unless(type == 'c' || type == 'f' || type == 'H');
  }

  switch (type) {
    case 'P':
    case 'B':
    case 'D':
    case 'E':
    case 'C':
    case kWrongFlush:
      batch_is_open_ = true;
      ask(marked ? Asked::MarkedRequest : Asked::Request);
      return true;
    case 'S':
      batch_is_open_ = false;
      skips_to_sync_ = false;
      ask(Asked::Sync);
      return true;
    case 'Q':  // ends a batch as a Sync does
      batch_is_open_ = false;
      ask(marked ? Asked::MarkedQuery : Asked::Query);
      return true;
    case 'F':
      batch_is_open_ = false;
      ask(Asked::Function);
      return true;
    case 'c':
    case 'f':
      if (asked_.is_empty()) return false;  // no COPY can be there for it to end
      copy_end_was_sent_ = copy_ != Copy::None;
      ask(Asked::CopyEnd);
      return true;
    case 'd':
    case 'H':
      return false;
    default:
      in_doubt_ = true;
      return false;
  }
}

void TransactionTracker::note_answer(char type, base::Bytes body) {
  last_.fakes_before = take_due_fakes();
  if (type == 'N' || type == 'A' || type == 'S')
    return;  // NoticeResponse, NotificationResponse, ParameterStatus: at any time
  last_.is_answer_of_marked = front_is_marked();
  note_owed_answer(type, body);
}

void TransactionTracker::note_owed_answer(char type, base::Bytes body) {
  switch (type) {
    case 'Z':
      return ready_for_query(body);
    case 'E':
      return failed();
    case '1':
    case '2':
    case '3':
    case 'n':
    case 's':
      doubt_unless(front_is_request());
      return request_answered();
    case 'C':
      doubt_unless(front_is_request() || front_is_query());
      if (copy_ != Copy::None) copy_in_completed();
      return request_answered();
    case 'T':  // one statement of a simple Query may give any number of these
    case 'I':
      doubt_unless(front_is_request() || front_is_query());
      return request_answered();
    case 't':  // RowDescription or NoData follows
      return doubt_unless(front_is_request());
    case 'G':
      return copy_in_begins();
    case 'D':
    case 'd':
    case 'c':
    case 'H':  // COPY OUT
      return doubt_unless(front_is_request() || front_is_query());
    case 'V':
      return doubt_unless(asked_.front_is(Asked::Function));
    default:  // CopyBothResponse (replication) too
      in_doubt_ = true;
  }
}

void TransactionTracker::request_answered() {
  doubt_unless(copy_ == Copy::None);
  if (!front_is_request()) return;
  last_.ended_marked = front_is_marked();
  asked_.pop_one();
  forget_useless_copy_ends();
}

void TransactionTracker::ready_for_query(base::Bytes body) {
  const char status = body.empty() ? '\0' : body.front();
  doubt_unless(status == 'I' || status == 'T' || status == 'E');
  status_ = status;

  const bool is_owed = front_is_query() || asked_.front_is(Asked::Function) || asked_.front_is(Asked::Sync);
  doubt_unless(is_owed && copy_ == Copy::None);
  copy_ = Copy::None;
  if (!is_owed) drop_to_ready_owner();
  if (asked_.is_empty()) return;
  last_.ended_marked = front_is_marked();
  asked_.pop_one();
  --ready_owed_;
  forget_useless_copy_ends();
}

// In doubt anyway: the count goes on as well as it can, and the queue does not grow for ever.
void TransactionTracker::drop_to_ready_owner() {
  while (front_is_request() || asked_.front_is(Asked::CopyEnd) || asked_.front_is(Asked::Fake))
    pop_front_run_as_dropped();
}

void TransactionTracker::failed() {
  doubt_unless(!asked_.is_empty());
  if (copy_ != Copy::None) {
    doubt_unless(swallowed_syncs_ == 0);
    copy_ = Copy::None;
    swallowed_syncs_ = 0;
  }
  // Else it was a Query, a function call or a Sync that failed: its ReadyForQuery follows.
  if (front_is_request()) skip_to_sync();
}

void TransactionTracker::pop_front_run_as_dropped() {
  const Asked what = asked_.front().thing;
  const uint32_t count = asked_.pop_run();
  if (what == Asked::Query || what == Asked::MarkedQuery || what == Asked::Function) ready_owed_ -= count;
  if (what == Asked::MarkedRequest || what == Asked::MarkedQuery || what == Asked::Fake)
    last_.dropped += count;
}

void TransactionTracker::skip_to_sync() {
  last_.ended_marked = front_is_marked();
  asked_.pop_one();
  while (!asked_.is_empty() && !asked_.front_is(Asked::Sync)) pop_front_run_as_dropped();
  if (!asked_.is_empty()) return;
  skips_to_sync_ = true;
  batch_is_open_ = true;  // also if a Query seemed to have ended it
}

// The front is a Query or an Execute that is a COPY. Its end is the first CopyEnd behind it, if that has been
// sent already.
void TransactionTracker::copy_in_begins() {
  const bool by_query = front_is_query();
  doubt_unless(copy_ == Copy::None && (by_query || front_is_request()));
  if (asked_.is_empty()) return;
  copy_ = by_query ? Copy::ByQuery : Copy::ByExecute;

  const auto* next = asked_.second();
  if (next && next->thing == Asked::Sync) {
    const uint32_t count = asked_.pop_run_behind_front();
    ready_owed_ -= count;
    swallowed_syncs_ += count;
    next = asked_.second();
  }
  copy_end_was_sent_ = next && next->thing == Asked::CopyEnd;
  // What else stands there will be taken for a message in the middle of COPY.
  doubt_unless(asked_.front().count == 1 && (!next || copy_end_was_sent_));
  if (copy_ == Copy::ByExecute && ready_owed_ == 0) batch_is_open_ = true;  // its Sync was swallowed
}

void TransactionTracker::copy_in_completed() {
  copy_ = Copy::None;
  swallowed_syncs_ = 0;
  const auto* next = asked_.second();
  const bool was_ended = next && next->thing == Asked::CopyEnd;
  doubt_unless(was_ended);
  if (was_ended) asked_.pop_one_behind_front();
}

void TransactionTracker::forget_useless_copy_ends() {
  if (asked_.front_is(Asked::CopyEnd)) asked_.pop_run();
}

}  // namespace tidepool::session
