#include "lib/pool/refusals.h"

namespace tidepool::pool {

using base::Duration;
using base::Error;

namespace {

constexpr const char* kTooManyConnections = "53300";
constexpr const char* kAdminShutdown = "57P01";
constexpr const char* kConnectionFailure = "08006";

// Appends word by word: g++ 12 warns of operator+ here (PR105651).
template <class... Parts>
std::string joined(const Parts&... parts) {
  std::string text;
  (text.append(parts), ...);
  return text;
}

}  // namespace

std::string words_of(Duration duration) {
  const auto milliseconds = std::chrono::duration_cast<std::chrono::milliseconds>(duration).count();
  if (milliseconds < 1000) return joined(std::to_string(milliseconds), " ms");
  const auto tenths = milliseconds % 1000 / 100;
  const std::string fraction = tenths == 0 ? "" : joined(".", std::to_string(tenths));
  return joined(std::to_string(milliseconds / 1000), fraction, " s");
}

Error timed_out(const std::string& pool, const PoolLimits& limits, Duration waited, const Error* dial_error) {
  Error error{kTooManyConnections,
              joined("no server of pool \"", pool, "\" was free within ", words_of(waited), " (timeout ",
                     words_of(limits.timeout), ", max_size ", std::to_string(limits.max_size), ")")};
  if (dial_error != nullptr) {
    error.detail = joined("The last attempt to open a server failed: ", dial_error->message);
  }
  return error;
}

Error queue_full(const std::string& pool, const PoolLimits& limits, size_t waiting, Duration longest_wait) {
  return {kTooManyConnections,
          joined("pool \"", pool, "\" has ", std::to_string(waiting),
                 " clients waiting already (max_waiting ", std::to_string(limits.max_waiting), ", max_size ",
                 std::to_string(limits.max_size), "), the first of them for ", words_of(longest_wait))};
}

Error pool_removed(const std::string& pool) {
  return {kAdminShutdown, joined("pool \"", pool, "\" is being closed")};
}

Error server_down(const Error& dial_error) {
  Error error = dial_error;
  if (error.sqlstate.empty()) error.sqlstate = kConnectionFailure;
  return error;
}

Error login_refused(const std::string& pool, const Error& dial_error) {
  Error error = server_down(dial_error);
  const std::string whose =
      joined("This is about the login of pool \"", pool, "\" at PostgreSQL, not about the client's.");
  error.detail = error.detail.empty() ? whose : joined(error.detail, "\n", whose);
  return error;
}

}  // namespace tidepool::pool
