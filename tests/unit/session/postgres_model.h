// A model of PostgreSQL's main loop (PostgresMain, CopyGetData) as far as it decides which messages are
// answered with what. It reads one request at a time, each of which carries its fate: what it will turn out
// to be when it is run.
#pragma once

#include <deque>
#include <string>

#include "lib/wire/frame_cursor.h"

namespace tidepool::session {

struct Request {
  char type;
  // Query: one character a statement; Execute: exactly one; other types: 'e' if it fails.
  //   r rows   u no rows   z empty   o COPY OUT   i COPY IN   f COPY IN that fails before it reads anything
  //   e error b BEGIN  c COMMIT    s rows up to the limit (Execute only)
  std::string fate;

  // How it looks to a relay: a Flush fails by having a body.
  wire::Message message() const {
    return {type, 0, wire::kHeaderSize + (type == 'H' && fate == "e" ? 1 : 0), {}};
  }
};
struct Answer {
  char type;
  char status = '\0';  // ReadyForQuery only
};

class PostgresModel {
 public:
  // A request arrives at the socket. The server does nothing yet.
  void receive(Request request) { inbox_.push_back(std::move(request)); }
  bool has_work() const { return !is_dead_ && !inbox_.empty(); }
  // Reads one request and does what follows from it.
  void step() {
    Request request = std::move(inbox_.front());
    inbox_.pop_front();
    if (copies_) return in_copy(request);
    if (skips_to_sync_ && request.type != 'S') return;
    switch (request.type) {
      case 'Q':
        batch_is_open_ = false;
        statements_ = request.fate;
        return run_statements();
      case 'F':
        batch_is_open_ = false;
        if (request.fate == "e")
          fail_statement();
        else
          say('V');
        return ready();
      case 'S':
        batch_is_open_ = skips_to_sync_ = false;
        if (request.fate == "e") fail_statement();
        return ready();
      case 'P':
      case 'B':
      case 'C':
      case 'D':
        batch_is_open_ = true;
        if (request.fate == "e") return fail_batch();
        if (request.type == 'D') {
          if (request.fate == "t") say('t');
          return say(request.fate == "n" ? 'n' : 'T');
        }
        return say(request.type == 'P' ? '1' : request.type == 'B' ? '2' : '3');
      case 'E':
        batch_is_open_ = true;
        return execute(request.fate.front());
      case 'H':
        if (request.fate != "e") return;
        batch_is_open_ = true;
        return fail_batch();
      default:  // CopyData, CopyDone and CopyFail of a COPY that has failed
        return;
    }
  }

  bool has_answer() const { return !outbox_.empty(); }
  Answer take_answer() {
    const Answer answer = outbox_.front();
    outbox_.pop_front();
    return answer;
  }

  // Whether it waits for a client that may be silent for ever, and what else it waits for.
  bool is_idle() const { return !copies_ && !batch_is_open_; }
  bool batch_is_open() const { return batch_is_open_; }
  bool copies() const { return copies_; }
  bool copies_for_execute() const { return copies_ && copies_for_execute_; }
  bool is_dead() const { return is_dead_; }
  char told_status() const { return told_status_; }  // by the last ReadyForQuery

 private:
  void say(char type, char status = '\0') { outbox_.push_back({type, status}); }
  void ready() { say('Z', told_status_ = status_); }
  void fail_statement() {
    say('E');
    if (status_ == 'T') status_ = 'E';
  }
  void fail_batch() {
    fail_statement();
    skips_to_sync_ = true;
  }
  void rows() {
    for (int i = 0; i < 2; ++i) say('D');
  }

  void run_statements() {
    while (!statements_.empty()) {
      const char fate = statements_.front();
      statements_.erase(0, 1);
      switch (fate) {
        case 'r':
          say('T');
          rows();
          say('C');
          break;
        case 'z':
          say('I');
          break;
        case 'o':
          copy_out();
          break;
        case 'i':
          return begin_copy(false);
        case 'f':
          say('G');
          [[fallthrough]];
        case 'e':
          fail_statement();
          return ready();
        default:
          change_status(fate);
          say('C');
      }
    }
    ready();
  }

  void execute(char fate) {
    switch (fate) {
      case 'r':
        rows();
        return say('C');
      case 's':
        rows();
        return say('s');
      case 'z':
        return say('I');
      case 'o':
        return copy_out();
      case 'i':
        return begin_copy(true);
      case 'f':
        say('G');
        return fail_batch();
      case 'e':
        return fail_batch();
      default:
        change_status(fate);
        return say('C');
    }
  }

  void change_status(char fate) {
    if (fate == 'b' && status_ == 'I') status_ = 'T';
    if (fate == 'c') status_ = 'I';
  }
  void copy_out() {
    say('H');
    say('d');
    say('c');
    say('C');
  }
  void begin_copy(bool for_execute) {
    say('G');
    copies_ = true;
    copies_for_execute_ = for_execute;
  }
  void in_copy(const Request& request) {
    switch (request.type) {
      case 'S':
      case 'H':
        return;  // "for the convenience of client libraries"
      case 'd':
        if (request.fate != "e") return;
        break;
      case 'c':
        copies_ = false;
        say('C');
        if (!copies_for_execute_) run_statements();
        return;
      case 'f':
        break;
      default:  // "protocol synchronization was lost"
        say('E');
        is_dead_ = true;
        return;
    }
    copies_ = false;
    if (copies_for_execute_) return fail_batch();
    fail_statement();
    ready();
  }

  std::deque<Request> inbox_;
  std::deque<Answer> outbox_;
  std::string statements_;  // of the Query that runs, those not yet run
  char status_ = 'I';
  char told_status_ = 'I';
  bool batch_is_open_ = false;
  bool skips_to_sync_ = false;
  bool copies_ = false;
  bool copies_for_execute_ = false;
  bool is_dead_ = false;
};

}  // namespace tidepool::session
