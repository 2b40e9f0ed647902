#include "lib/session/session_trace.h"

#include <algorithm>
#include <iterator>

namespace tidepool::session {

// Commands as such; what a SELECT calls is not seen here. CREATE TABLE may have made a temporary one.
bool SessionTrace::leaves_nothing(base::Bytes tag) {
  static constexpr std::string_view kHarmless[] = {
      "SELECT",         "INSERT",    "UPDATE", "DELETE",  "BEGIN",   "COMMIT",
      "ROLLBACK",       "FETCH",     "MERGE",  "COPY",    "SHOW",    "CLOSE CURSOR",
      "DECLARE CURSOR", "SAVEPOINT", "VACUUM", "ANALYZE", "RELEASE", "START TRANSACTION",
      "TRUNCATE TABLE"};
  return std::any_of(std::begin(kHarmless), std::end(kHarmless),
                     [tag](std::string_view harmless) { return tag.starts_with(harmless); });
}

}  // namespace tidepool::session
