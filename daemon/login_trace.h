// Reads what PQtrace wrote during a login: what libpq itself does not tell, the secret key for cancels and
// the names of all reported parameters (PQparameterStatus answers only by name). Knows no libpq: text in,
// values out. https://www.postgresql.org/docs/current/libpq-control.html#LIBPQ-PQTRACE
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "lib/base/bytes.h"

namespace tidepool::daemon {

struct LoginTrace {
  struct Key {
    int32_t process_id;
    std::string secret;  // as it came: 4 bytes in protocol 3.0, up to 256 in 3.2
    bool operator==(const Key&) const = default;
  };
  std::vector<std::string> parameter_names;  // in the order of their first ParameterStatus, each once
  std::optional<Key> key;                    // of the first BackendKeyData
};

// `trace` is of one login, with PQTRACE_SUPPRESS_TIMESTAMPS. What cannot be read is passed over.
LoginTrace read_login_trace(base::Bytes trace);

}  // namespace tidepool::daemon
