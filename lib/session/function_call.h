// Reads what a FunctionCall message may leave in its session.
// https://www.postgresql.org/docs/current/protocol-message-formats.html#PROTOCOL-MESSAGE-FORMATS-FUNCTIONCALL
#pragma once

#include <cstddef>

#include "lib/base/bytes.h"
#include "lib/session/session_watch.h"

namespace tidepool::session {

// Whether so much of its body is here that note_function_call() can decide. `most`: more is not waited for.
bool is_enough_of_function_call(base::Bytes body, size_t body_size, size_t most);
// `body`: what is here of it.
void note_function_call(base::Bytes body, SessionWatch& watch);

}  // namespace tidepool::session
