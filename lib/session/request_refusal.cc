#include "lib/session/request_refusal.h"

#include "lib/wire/message_writer.h"

namespace tidepool::session {

RequestRefusal::Result RequestRefusal::skip(base::Bytes bytes, wire::FrameCursor& cursor, std::string& out) {
  Result result;
  if (last_message_) {
    const auto walked =
        cursor.walk(bytes.substr(0, cursor.body_left()), {}, [](const auto&) { return wire::Walk::Go; });
    result.consumed = walked.consumed;
  } else {
    const auto walked = cursor.walk(bytes, {}, [&](const wire::Message& message) {
      if (message.type == 'X') {
        result.terminated = true;
        return wire::Walk::StopBefore;
      }
      tell(out);
      if (message.type != 'Q' && message.type != 'F' && message.type != 'S') return wire::Walk::Go;
      last_message_ = true;
      return wire::Walk::StopAfter;
    });
    result.consumed = walked.consumed;
    result.broken = walked.broken;
  }
  if (last_message_ && cursor.between_messages() && !result.terminated && !result.broken) {
    wire::append_ready_for_query(out, 'I');
    result.finished = true;
  }
  return result;
}

void RequestRefusal::tell(std::string& out) {
  if (told_) return;
  told_ = true;
  wire::append_error_response(out, "ERROR", error_);
}

}  // namespace tidepool::session
