// Appends whole messages to a string of bytes that is to be sent.
// https://www.postgresql.org/docs/current/protocol-message-formats.html
// A string field ends at its first NUL byte, whatever follows in the view: a name with a NUL in it cannot
// shift the fields behind it.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include "lib/base/bytes.h"
#include "lib/base/result.h"

namespace tidepool::wire {

// One message while it is written: the type first, the length when it goes out of scope. For messages that
// have no function below.
class MessageFrame {
 public:
  MessageFrame(std::string& out, char type) : out_(out), length_at_(out.size() + 1) {
    out_.push_back(type);
    base::append_u32(out_, 0);
  }
  ~MessageFrame() {
    const auto length = static_cast<uint32_t>(out_.size() - length_at_);
    for (int i = 0; i < 4; ++i)
      out_[length_at_ + static_cast<size_t>(i)] = static_cast<char>(length >> (24 - 8 * i));
  }
  MessageFrame(const MessageFrame&) = delete;
  MessageFrame& operator=(const MessageFrame&) = delete;

 private:
  std::string& out_;
  size_t length_at_;
};

// The string field: up to its first NUL byte, then a NUL byte.
void append_cstring(std::string& out, std::string_view text);

// What the server says.

void append_authentication_ok(std::string& out);
void append_authentication_cleartext(std::string& out);
void append_authentication_md5(std::string& out, base::Bytes salt);  // 4 bytes
void append_authentication_sasl(std::string& out, std::initializer_list<std::string_view> mechanisms);
void append_authentication_sasl_continue(std::string& out, base::Bytes data);
void append_authentication_sasl_final(std::string& out, base::Bytes data);
// Tells the newest minor version of protocol 3 that is spoken here, and what was not understood.
void append_negotiate_protocol_version(std::string& out, int minor,
                                       std::span<const std::string> unknown_options);
void append_parameter_status(std::string& out, std::string_view name, std::string_view value);
void append_backend_key_data(std::string& out, uint32_t process_id,
                             base::Bytes secret);            // 4 bytes; 3.2: 4 to 256
void append_ready_for_query(std::string& out, char status);  // 'I', 'T', 'E'

// Severity is "ERROR", "FATAL", "PANIC"; for a notice "NOTICE", "WARNING", ... Empty fields are left out.
void append_error_response(std::string& out, std::string_view severity, const base::Error& error);
void append_notice_response(std::string& out, std::string_view severity, const base::Error& notice);

struct Column {
  std::string_view name;
  uint32_t type_oid = 25;  // text
  int16_t type_size = -1;  // pg_type.typlen
};
using Value = std::optional<std::string_view>;  // nothing: NULL

void append_row_description(std::string& out, std::span<const Column> columns);  // all of them in text format
void append_row_description(std::string& out, std::initializer_list<Column> columns);
void append_data_row(std::string& out, std::span<const Value> values);
void append_data_row(std::string& out, std::initializer_list<Value> values);
void append_command_complete(std::string& out, std::string_view tag);
void append_empty_query_response(std::string& out);
void append_parse_complete(std::string& out);
void append_bind_complete(std::string& out);
void append_close_complete(std::string& out);
void append_no_data(std::string& out);
void append_parameter_description(std::string& out, std::span<const uint32_t> type_oids);

// What the client says.

using StartupParameter = std::pair<std::string_view, std::string_view>;

void append_ssl_request(std::string& out);
void append_gssenc_request(std::string& out);
void append_cancel_request(std::string& out, uint32_t process_id, base::Bytes secret);
// Protocol 3.<minor>; the parameters' names and values in order.
void append_startup(std::string& out, int minor, std::span<const StartupParameter> parameters);
void append_startup(std::string& out, int minor, std::initializer_list<StartupParameter> parameters);
void append_password(std::string& out, std::string_view password);  // in the clear, or "md5..."
void append_sasl_initial_response(std::string& out, std::string_view mechanism, base::Bytes data);
void append_sasl_response(std::string& out, base::Bytes data);

void append_query(std::string& out, std::string_view sql);
void append_parse(std::string& out, std::string_view statement, std::string_view sql,
                  std::span<const uint32_t> parameter_oids = {});
void append_bind(std::string& out, std::string_view portal, std::string_view statement,
                 std::span<const Value> parameters = {});  // parameters and results in text format
void append_bind(std::string& out, std::string_view portal, std::string_view statement,
                 std::initializer_list<Value> parameters);
void append_describe(std::string& out, char kind, std::string_view name);  // 'S' a statement, 'P' a portal
void append_execute(std::string& out, std::string_view portal, uint32_t max_rows = 0);
void append_close(std::string& out, char kind, std::string_view name);
void append_sync(std::string& out);
void append_flush(std::string& out);
void append_copy_data(std::string& out, base::Bytes data);  // either side
void append_copy_done(std::string& out);                    // either side
void append_copy_fail(std::string& out, std::string_view reason);
void append_terminate(std::string& out);

}  // namespace tidepool::wire
