// Whether a session is known to have left something on its server that another must not meet: settings,
// prepared statements, temporary tables, LISTEN, locks, ... A guess at when to clean, never at whether: one
// that shows no trace is cleaned as well, only later, in front of the next client's first message. What is
// known is cleaned at once, because it can be felt by others (locks, LISTEN) and could disturb the cleaning
// itself (statement_timeout).
#pragma once

#include <algorithm>

#include "lib/base/bytes.h"

namespace tidepool::session {

class SessionTrace {
 public:
  // A message is passed on to the server; as much of its body as is there.
  void client_sent(char type, base::Bytes body) {
    if (type == 'P') is_found_ |= body.empty() || body.front() != '\0';  // a statement with a name
    if (type == 'F') is_found_ = may_have_temporary_ = true;             // any function
    if (type == 'Q') see_text(base::until_nul(body));
    if (type == 'P') see_text(base::until_nul(body.substr(std::min(body.size(), body.find('\0') + 1))));
  }
  // The body of a CommandComplete: the tag says what was done.
  void command_completed(base::Bytes body) {
    is_found_ = is_found_ || !leaves_nothing(body);
    may_have_temporary_ = may_have_temporary_ || !runs_nothing_unseen(body);
    lasts_ = lasts_ || body.starts_with("LOAD");
  }
  // A ParameterStatus that tells the client something new.
  void parameter_changed() { is_found_ = true; }

  bool is_found() const { return is_found_; }
  // What no statement undoes: the state of random(), connections of dblink, a library. The server is closed.
  bool lasts() const { return lasts_; }
  // A function, a trigger or a text that names pg_temp or TEMP has run, or may have: PostgreSQL knows whether
  // there is a temporary schema now.
  bool may_have_temporary() const { return may_have_temporary_; }

 private:
  static bool leaves_nothing(base::Bytes tag);
  static bool runs_nothing_unseen(base::Bytes tag);
  void see_text(base::Bytes body);

  bool is_found_ = false;
  bool lasts_ = false;
  bool may_have_temporary_ = false;
};

}  // namespace tidepool::session
