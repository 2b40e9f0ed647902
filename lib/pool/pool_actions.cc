#include "lib/pool/pool_actions.h"

namespace tidepool::pool {

const char* name_of(RefuseReason reason) {
  switch (reason) {
    case RefuseReason::TimedOut:
      return "timed out";
    case RefuseReason::QueueFull:
      return "queue full";
    case RefuseReason::ServerDown:
      return "server down";
    case RefuseReason::LoginRefused:
      return "login refused";
    case RefuseReason::SettingsRefused:
      return "startup settings refused";
    case RefuseReason::PoolRemoved:
      return "pool removed";
  }
  return "unknown";
}

const char* name_of(CloseReason reason) {
  switch (reason) {
    case CloseReason::MaxLifetime:
      return "max_lifetime reached";
    case CloseReason::MaxIdle:
      return "not needed for max_idle";
    case CloseReason::CheckFailed:
      return "check failed";
    case CloseReason::Lost:
      return "lost";
    case CloseReason::Shrunk:
      return "max_size lowered";
    case CloseReason::Replaced:
      return "replaced";
    case CloseReason::Outgrown:
      return "its clients want another application_name than it was dialed with";
    case CloseReason::GaveWay:
      return "its place is needed for a server with other startup settings";
    case CloseReason::OtherRole:
      return "it is not any more what target_session_attrs asks for";
    case CloseReason::PoolRemoved:
      return "pool removed";
    case CloseReason::Draining:
      return "not needed any more, tidepool is shutting down";
    case CloseReason::Bad:
      return "bad";
  }
  return "unknown";
}

}  // namespace tidepool::pool
