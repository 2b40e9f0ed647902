#include "lib/wire/message_writer.h"

#include "lib/wire/startup_codes.h"

namespace tidepool::wire {

using base::append_u16;
using base::append_u32;

namespace {

template <class T>
std::span<const T> span_of(std::initializer_list<T> list) {
  return {list.begin(), list.size()};
}

void append_bare(std::string& out, char type) {
  MessageFrame frame(out, type);
}

void append_text(std::string& out, char type, std::string_view text) {
  MessageFrame frame(out, type);
  append_cstring(out, text);
}

void append_named(std::string& out, char type, char kind, std::string_view name) {
  MessageFrame frame(out, type);
  out.push_back(kind);
  append_cstring(out, name);
}

void append_authentication(std::string& out, uint32_t code, base::Bytes data) {
  MessageFrame frame(out, 'R');
  append_u32(out, code);
  out.append(data);
}

void append_field(std::string& out, char code, std::string_view text) {
  if (text.empty()) return;
  out.push_back(code);
  append_cstring(out, text);
}

void append_report(std::string& out, char type, std::string_view severity, const base::Error& error) {
  MessageFrame frame(out, type);
  append_field(out, 'S', severity);
  append_field(out, 'V', severity);
  append_field(out, 'C', error.sqlstate);
  append_field(out, 'M', error.message);
  append_field(out, 'D', error.detail);
  append_field(out, 'H', error.hint);
  out.push_back('\0');
}

void append_values(std::string& out, std::span<const Value> values) {
  append_u16(out, static_cast<uint16_t>(values.size()));
  for (const Value& value : values) {
    append_u32(out, value ? static_cast<uint32_t>(value->size()) : 0xffffffffu);
    if (value) out.append(*value);
  }
}

// A packet without a type: only those that open a connection have none.
template <class Body>
void append_untyped(std::string& out, uint32_t code, Body&& body) {
  std::string packet;
  append_u32(packet, code);
  body(packet);
  append_u32(out, static_cast<uint32_t>(packet.size() + 4));
  out += packet;
}

}  // namespace

void append_cstring(std::string& out, std::string_view text) {
  out.append(text.substr(0, text.find('\0')));
  out.push_back('\0');
}

void append_authentication_ok(std::string& out) {
  append_authentication(out, 0, {});
}
void append_authentication_cleartext(std::string& out) {
  append_authentication(out, 3, {});
}
void append_authentication_md5(std::string& out, base::Bytes salt) {
  append_authentication(out, 5, salt);
}
void append_authentication_sasl(std::string& out, std::initializer_list<std::string_view> mechanisms) {
  MessageFrame frame(out, 'R');
  append_u32(out, 10);
  for (std::string_view mechanism : mechanisms) append_cstring(out, mechanism);
  out.push_back('\0');
}
void append_authentication_sasl_continue(std::string& out, base::Bytes data) {
  append_authentication(out, 11, data);
}
void append_authentication_sasl_final(std::string& out, base::Bytes data) {
  append_authentication(out, 12, data);
}

void append_negotiate_protocol_version(std::string& out, int minor,
                                       std::span<const std::string> unknown_options) {
  MessageFrame frame(out, 'v');
  append_u32(out,
             protocol_version(3, minor));  // the documentation says the minor version, PostgreSQL sends both
  append_u32(out, static_cast<uint32_t>(unknown_options.size()));
  for (const std::string& option : unknown_options) append_cstring(out, option);
}
void append_parameter_status(std::string& out, std::string_view name, std::string_view value) {
  MessageFrame frame(out, 'S');
  append_cstring(out, name);
  append_cstring(out, value);
}
void append_backend_key_data(std::string& out, uint32_t process_id, base::Bytes secret) {
  MessageFrame frame(out, 'K');
  append_u32(out, process_id);
  out.append(secret);
}
void append_ready_for_query(std::string& out, char status) {
  MessageFrame frame(out, 'Z');
  out.push_back(status);
}

void append_error_response(std::string& out, std::string_view severity, const base::Error& error) {
  append_report(out, 'E', severity, error);
}
void append_notice_response(std::string& out, std::string_view severity, const base::Error& notice) {
  append_report(out, 'N', severity, notice);
}

void append_row_description(std::string& out, std::span<const Column> columns) {
  MessageFrame frame(out, 'T');
  append_u16(out, static_cast<uint16_t>(columns.size()));
  for (const Column& column : columns) {
    append_cstring(out, column.name);
    append_u32(out, 0);  // of no table
    append_u16(out, 0);
    append_u32(out, column.type_oid);
    append_u16(out, static_cast<uint16_t>(column.type_size));
    append_u32(out, 0xffffffffu);  // no type modifier
    append_u16(out, 0);            // text
  }
}
void append_row_description(std::string& out, std::initializer_list<Column> columns) {
  append_row_description(out, span_of(columns));
}
void append_data_row(std::string& out, std::span<const Value> values) {
  MessageFrame frame(out, 'D');
  append_values(out, values);
}
void append_data_row(std::string& out, std::initializer_list<Value> values) {
  append_data_row(out, span_of(values));
}
void append_command_complete(std::string& out, std::string_view tag) {
  append_text(out, 'C', tag);
}
void append_empty_query_response(std::string& out) {
  append_bare(out, 'I');
}
void append_parse_complete(std::string& out) {
  append_bare(out, '1');
}
void append_bind_complete(std::string& out) {
  append_bare(out, '2');
}
void append_close_complete(std::string& out) {
  append_bare(out, '3');
}
void append_no_data(std::string& out) {
  append_bare(out, 'n');
}
void append_parameter_description(std::string& out, std::span<const uint32_t> type_oids) {
  MessageFrame frame(out, 't');
  append_u16(out, static_cast<uint16_t>(type_oids.size()));
  for (uint32_t oid : type_oids) append_u32(out, oid);
}

void append_ssl_request(std::string& out) {
  append_untyped(out, kSslRequestCode, [](std::string&) {});
}
void append_gssenc_request(std::string& out) {
  append_untyped(out, kGssEncRequestCode, [](std::string&) {});
}
void append_cancel_request(std::string& out, uint32_t process_id, base::Bytes secret) {
  append_untyped(out, kCancelRequestCode, [&](std::string& packet) {
    append_u32(packet, process_id);
    packet.append(secret);
  });
}
void append_startup(std::string& out, int minor, std::span<const StartupParameter> parameters) {
  append_untyped(out, protocol_version(3, minor), [&](std::string& packet) {
    for (const auto& [name, value] : parameters) {
      append_cstring(packet, name);
      append_cstring(packet, value);
    }
    packet.push_back('\0');
  });
}
void append_startup(std::string& out, int minor, std::initializer_list<StartupParameter> parameters) {
  append_startup(out, minor, span_of(parameters));
}
void append_password(std::string& out, std::string_view password) {
  append_text(out, 'p', password);
}
void append_sasl_initial_response(std::string& out, std::string_view mechanism, base::Bytes data) {
  MessageFrame frame(out, 'p');
  append_cstring(out, mechanism);
  append_u32(out, static_cast<uint32_t>(data.size()));
  out.append(data);
}
void append_sasl_response(std::string& out, base::Bytes data) {
  MessageFrame frame(out, 'p');
  out.append(data);
}

void append_query(std::string& out, std::string_view sql) {
  append_text(out, 'Q', sql);
}
void append_parse(std::string& out, std::string_view statement, std::string_view sql,
                  std::span<const uint32_t> parameter_oids) {
  MessageFrame frame(out, 'P');
  append_cstring(out, statement);
  append_cstring(out, sql);
  append_u16(out, static_cast<uint16_t>(parameter_oids.size()));
  for (uint32_t oid : parameter_oids) append_u32(out, oid);
}
void append_bind(std::string& out, std::string_view portal, std::string_view statement,
                 std::span<const Value> parameters) {
  MessageFrame frame(out, 'B');
  append_cstring(out, portal);
  append_cstring(out, statement);
  append_u16(out, 0);  // every parameter in text format
  append_values(out, parameters);
  append_u16(out, 0);  // every result column too
}
void append_bind(std::string& out, std::string_view portal, std::string_view statement,
                 std::initializer_list<Value> parameters) {
  append_bind(out, portal, statement, span_of(parameters));
}
void append_describe(std::string& out, char kind, std::string_view name) {
  append_named(out, 'D', kind, name);
}
void append_execute(std::string& out, std::string_view portal, uint32_t max_rows) {
  MessageFrame frame(out, 'E');
  append_cstring(out, portal);
  append_u32(out, max_rows);
}
void append_close(std::string& out, char kind, std::string_view name) {
  append_named(out, 'C', kind, name);
}
void append_sync(std::string& out) {
  append_bare(out, 'S');
}
void append_flush(std::string& out) {
  append_bare(out, 'H');
}
void append_copy_data(std::string& out, base::Bytes data) {
  MessageFrame frame(out, 'd');
  out.append(data);
}
void append_copy_done(std::string& out) {
  append_bare(out, 'c');
}
void append_copy_fail(std::string& out, std::string_view reason) {
  append_text(out, 'f', reason);
}
void append_terminate(std::string& out) {
  append_bare(out, 'X');
}

}  // namespace tidepool::wire
