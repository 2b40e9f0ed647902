#include "lib/session/session_trace.h"

namespace tidepool::session {

// Commands as such; what a SELECT calls is not seen here. CREATE TABLE may have made a temporary one.
bool SessionTrace::leaves_nothing(base::Bytes tag) {
  for (std::string_view harmless :
       {"SELECT", "INSERT", "UPDATE", "DELETE", "BEGIN", "COMMIT", "ROLLBACK", "FETCH", "CLOSE CURSOR",
        "DECLARE CURSOR", "MERGE", "COPY", "SHOW", "SAVEPOINT", "RELEASE", "START TRANSACTION",
        "TRUNCATE TABLE", "VACUUM", "ANALYZE"}) {
    if (tag.starts_with(harmless)) return true;
  }
  return false;
}

}  // namespace tidepool::session
