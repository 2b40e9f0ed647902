// Bodies of messages are read and shown within their bounds, whatever is in them.
#include <cstddef>
#include <cstdint>
#include <string>

#include "lib/wire/message_reader.h"
#include "lib/wire/message_writer.h"
#include "lib/wire/trace.h"
#include "tests/fuzz/expect.h"

using namespace tidepool;
using namespace tidepool::wire;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const base::Bytes bytes(reinterpret_cast<const char*>(data), size);
  trace_server(bytes);
  trace_client(bytes);
  read_severity(bytes);

  // An error that was read is written and read again the same.
  const base::Error error = read_error(bytes);
  std::string message;
  append_error_response(message, "ERROR", error);
  EXPECT(read_error(base::Bytes(message).substr(5)) == error);

  if (const auto status = read_parameter_status(bytes)) {
    message.clear();
    append_parameter_status(message, status->name, status->value);
    EXPECT(base::Bytes(message).substr(5) == bytes);
  }
  return 0;
}
