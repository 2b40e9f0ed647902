// What a client says in a test: whole messages, one a function, joined by +.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <string>
#include <string_view>

#include "lib/wire/message_writer.h"

namespace tidepool::session {

inline std::string parse(std::string_view name, std::string_view sql,
                         std::initializer_list<uint32_t> types = {}) {
  std::string bytes;
  wire::append_parse(bytes, name, sql, {types.begin(), types.size()});
  return bytes;
}
inline std::string bind_to(std::string_view statement, std::initializer_list<wire::Value> parameters = {},
                           std::string_view portal = "") {
  std::string bytes;
  wire::append_bind(bytes, portal, statement, parameters);
  return bytes;
}
inline std::string describe(std::string_view statement) {
  std::string bytes;
  wire::append_describe(bytes, 'S', statement);
  return bytes;
}
inline std::string describe_portal(std::string_view portal = "") {
  std::string bytes;
  wire::append_describe(bytes, 'P', portal);
  return bytes;
}
inline std::string execute(std::string_view portal = "") {
  std::string bytes;
  wire::append_execute(bytes, portal);
  return bytes;
}
inline std::string close(std::string_view statement) {
  std::string bytes;
  wire::append_close(bytes, 'S', statement);
  return bytes;
}
inline std::string close_portal(std::string_view portal = "") {
  std::string bytes;
  wire::append_close(bytes, 'P', portal);
  return bytes;
}
inline std::string query(std::string_view sql) {
  std::string bytes;
  wire::append_query(bytes, sql);
  return bytes;
}
inline std::string sync() {
  std::string bytes;
  wire::append_sync(bytes);
  return bytes;
}
inline std::string flush() {
  std::string bytes;
  wire::append_flush(bytes);
  return bytes;
}
// Bind, Execute, Sync.
inline std::string run(std::string_view statement) {
  return bind_to(statement) + execute() + sync();
}

}  // namespace tidepool::session
