#include "lib/wire/trace.h"

#include <cstdio>
#include <string_view>

#include "lib/wire/frame_cursor.h"
#include "lib/wire/message_reader.h"

namespace tidepool::wire {

namespace {

// How a message's fields are shown:
//   1 2 4  an integer of so many bytes   c  a character   s  a string   v  a value: its length and bytes   r
//   all that is left e      the fields of an error        (...)  a counted list, its count an Int16; <...>
//   the same with an Int32
struct Shape {
  char type;
  const char* name;
  const char* fields;
};

constexpr Shape kServerShapes[] = {
    {'1', "ParseComplete", ""},
    {'2', "BindComplete", ""},
    {'3', "CloseComplete", ""},
    {'A', "NotificationResponse", "4ss"},
    {'C', "CommandComplete", "s"},
    {'D', "DataRow", "(v)"},
    {'E', "ErrorResponse", "e"},
    {'G', "CopyInResponse", "1(2)"},
    {'H', "CopyOutResponse", "1(2)"},
    {'I', "EmptyQueryResponse", ""},
    {'K', "BackendKeyData", "4r"},
    {'N', "NoticeResponse", "e"},
    {'R', "Authentication", "4r"},
    {'S', "ParameterStatus", "ss"},
    {'T', "RowDescription", "(s424242)"},
    {'V', "FunctionCallResponse", "v"},
    {'W', "CopyBothResponse", "1(2)"},
    {'Z', "ReadyForQuery", "c"},
    {'c', "CopyDone", ""},
    {'d', "CopyData", "r"},
    {'n', "NoData", ""},
    {'s', "PortalSuspended", ""},
    {'t', "ParameterDescription", "(4)"},
    {'v', "NegotiateProtocolVersion", "4<s>"},
};

constexpr Shape kClientShapes[] = {
    {'B', "Bind", "ss(2)(v)(2)"},
    {'C', "Close", "cs"},
    {'D', "Describe", "cs"},
    {'E', "Execute", "s4"},
    {'F', "FunctionCall", "4(2)(v)2"},
    {'H', "Flush", ""},
    {'P', "Parse", "ss(4)"},
    {'Q', "Query", "s"},
    {'S', "Sync", ""},
    {'X', "Terminate", ""},
    {'c', "CopyDone", ""},
    {'d', "CopyData", "r"},
    {'f', "CopyFail", "s"},
    {'p', "PasswordMessage", "r"},
};

void append_quoted(std::string& out, base::Bytes bytes) {
  out += " \"";
  for (const char c : bytes) {
    if (c == '"' || c == '\\') {
      out += '\\';
      out += c;
    } else if (c >= ' ' && c <= '~') {
      out += c;
    } else {
      char hex[5];
      std::snprintf(hex, sizeof hex, "\\x%02x", static_cast<unsigned>(static_cast<unsigned char>(c)));
      out += hex;
    }
  }
  out += '"';
}

void append_number(std::string& out, int64_t number) {
  out += ' ' + std::to_string(number);
}

// One pass over `shape`, up to its end or to the end of the list that it stands in.

void append_fields(std::string& out, const char* shape, FieldReader& fields) {
  for (; *shape != '\0' && *shape != ')' && *shape != '>'; ++shape) {
    switch (*shape) {
      case '1':
        append_number(out, static_cast<signed char>(fields.byte()));
        break;
      case '2':
        append_number(out, static_cast<int16_t>(fields.u16()));
        break;
      case '4':
        append_number(out, static_cast<int32_t>(fields.u32()));
        break;
      case 'c':
        (out += ' ') += fields.byte();
        break;
      case 's':
        append_quoted(out, fields.cstring());
        break;
      case 'r':
        if (!fields.at_end()) append_quoted(out, fields.rest());
        break;
      case 'v': {
        const uint32_t size = fields.u32();
        if (size == 0xffffffffu) {
          out += " NULL";
        } else {
          append_quoted(out, fields.bytes(size));
        }
        break;
      }
      case 'e':
        while (const char code = fields.byte()) {
          (out += ' ') += code;
          append_quoted(out, fields.cstring());
        }
        break;
      default: {  // a list
        const uint32_t count = *shape == '(' ? fields.u16() : fields.u32();
        append_number(out, count);
        const char* const element = shape + 1;
        for (uint32_t i = 0; i < count && fields.ok(); ++i) append_fields(out, element, fields);
        while (*shape != ')' && *shape != '>') ++shape;
      }
    }
  }
}

template <size_t N>
const Shape* shape_of(char type, const Shape (&shapes)[N]) {
  for (const Shape& shape : shapes) {
    if (shape.type == type) return &shape;
  }
  return nullptr;
}

template <size_t N>
std::string trace(base::Bytes bytes, const Shape (&shapes)[N]) {
  std::string out;
  FieldReader stream(bytes);
  while (!stream.at_end()) {
    const size_t left = stream.left();
    const char type = stream.byte();
    const uint32_t length = stream.u32();
    if (stream.ok() && (length < 4 || length > kMaxMessageLength)) return out + "(broken stream)\n";
    const base::Bytes body = stream.bytes(length < 4 ? 0 : length - 4);
    if (!stream.ok()) return out + "(incomplete: " + std::to_string(left) + " bytes)\n";
    const Shape* const shape = shape_of(type, shapes);
    FieldReader fields(body);
    if (shape == nullptr) {
      out += "Unknown";
      append_quoted(out, base::Bytes(&type, 1));
      append_fields(out, "r", fields);
    } else {
      out += shape->name;
      append_fields(out, shape->fields, fields);
    }
    if (!fields.ok_and_at_end()) out += " (broken)";
    out += '\n';
  }
  return out;
}

}  // namespace

std::string trace_server(base::Bytes bytes) {
  return trace(bytes, kServerShapes);
}
std::string trace_client(base::Bytes bytes) {
  return trace(bytes, kClientShapes);
}

}  // namespace tidepool::wire
