// Prints a conversation as readable lines, one message a line, in the spirit of libpq's PQtrace. For tests
// and for people.
//   RowDescription 1 "answer" 0 0 23 4 -1 0
//   DataRow 1 "42"
// https://www.postgresql.org/docs/current/libpq-control.html#LIBPQ-PQTRACE
#pragma once

#include <string>

#include "lib/base/bytes.h"

namespace tidepool::wire {

// Typed messages from a server, and from a client after its startup packet. A line ends in '\n'. What cannot
// be read is shown as far as it can, with "(broken)" behind it; what is not whole as "(incomplete: N bytes)".
std::string trace_server(base::Bytes bytes);
std::string trace_client(base::Bytes bytes);

}  // namespace tidepool::wire
