// LOG and DEBUG messages that PostgreSQL sends to who has asked for them (client_min_messages) name the
// prepared statements that they are about: those are names of ours.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "lib/base/bytes.h"

namespace tidepool::session {

enum class NoticeNames : uint8_t {
  None,     // it may pass
  Renamed,  // `out` has it with the client's names in place of ours
  NotIts    // it is about a statement that is not the client's: ours, or another's
};

// `body`: of a NoticeResponse, whole. `prefix`: what names of ours begin with, a number behind it.
// `client_name`: what the client calls the statement of a number.
NoticeNames rename_in_notice(base::Bytes body, std::string_view prefix,
                             const std::function<std::optional<std::string>(uint32_t)>& client_name,
                             std::string& out);

}  // namespace tidepool::session
