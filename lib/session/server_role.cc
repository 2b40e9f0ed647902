#include "lib/session/server_role.h"

namespace tidepool::session {

bool has_session_attributes(const ParameterMap& reported, std::string_view attributes) {
  const std::string* standby = reported.find(kInHotStandby);
  const std::string* reads_only = reported.find("default_transaction_read_only");
  if (standby == nullptr || reads_only == nullptr) return true;  // it does not say
  const bool is_standby = *standby == "on";
  const bool is_read_only = is_standby || *reads_only == "on";
  if (attributes == "read-write") return !is_read_only;
  if (attributes == "read-only") return is_read_only;
  if (attributes == "primary") return !is_standby;
  if (attributes == "standby") return is_standby;
  return true;
}

}  // namespace tidepool::session
