// Answers a client's request with an error of ours and keeps its session, as PostgreSQL would: a simple Query
// or a FunctionCall gets ErrorResponse and ReadyForQuery; of an extended batch everything up to its Sync is
// skipped. https://www.postgresql.org/docs/current/protocol-flow.html#PROTOCOL-FLOW-EXT-QUERY
#pragma once

#include <cstddef>
#include <string>

#include "lib/base/bytes.h"
#include "lib/base/result.h"
#include "lib/wire/frame_cursor.h"

namespace tidepool::session {

class RequestRefusal {
 public:
  // The request begins at the next message that is given to skip(). The error itself is sent with its first
  // message.
  explicit RequestRefusal(base::Error error) : error_(std::move(error)) {}

  struct Result {
    size_t consumed = 0;      // an unfinished header at the end is presented again
    bool finished = false;    // what follows is a new request
    bool terminated = false;  // the client said Terminate
    bool broken = false;      // the stream cannot be followed any more
  };
  // Skips what belongs to the request, and appends to `out` what the client is to be told. `cursor` is the
  // client's stream.
  Result skip(base::Bytes bytes, wire::FrameCursor& cursor, std::string& out);

 private:
  void tell(std::string& out);

  base::Error error_;
  bool told_ = false;
  bool last_message_ = false;  // its body is still to come, then ReadyForQuery
};

}  // namespace tidepool::session
