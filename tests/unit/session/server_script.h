// What a server says in a test: messages written as their types, heard whole or in pieces.
#pragma once

#include <string>
#include <string_view>

#include "lib/wire/frame_cursor.h"
#include "lib/wire/message_writer.h"

namespace tidepool::session {

// 'Z' is followed by its status, 'E' is an ErrorResponse 57014, 'F' one that says FATAL; messages whose
// contents do not matter are empty.
inline std::string messages(std::string_view types) {
  std::string bytes;
  for (size_t i = 0; i < types.size(); ++i) {
    switch (types[i]) {
      case 'Z':
        wire::append_ready_for_query(bytes, types[++i]);
        break;
      case 'C':
        wire::append_command_complete(bytes, "DISCARD ALL");
        break;
      case 'E':
        wire::append_error_response(bytes, "ERROR", {"57014", "canceling statement"});
        break;
      case 'F':
        wire::append_error_response(bytes, "FATAL", {"57P01", "terminating connection"});
        break;
      case 'S':
        wire::append_parameter_status(bytes, "TimeZone", "UTC");
        break;
      case 'D':
        wire::append_data_row(bytes, {"Z looks like more"});
        break;
      default: {
        const wire::MessageFrame frame(bytes, types[i]);
      }
    }
  }
  return bytes;
}

inline constexpr size_t kWhole = 1000000;

// Calls hear(message) for each message of `bytes`, which come in pieces of that size.
template <class Hear>
void hear_in_pieces(std::string_view bytes, size_t piece, const wire::TypeSet& wanted, Hear&& hear) {
  wire::FrameCursor cursor;
  std::string kept;
  for (size_t at = 0; at < bytes.size(); at += piece) {
    kept += bytes.substr(at, piece);
    const auto result = cursor.walk(kept, wanted, [&](const wire::Message& message) {
      hear(message);
      return wire::Walk::Go;
    });
    kept.erase(0, result.consumed);
  }
}

}  // namespace tidepool::session
