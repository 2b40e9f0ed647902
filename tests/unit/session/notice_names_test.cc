// LOG and DEBUG messages about prepared statements.
#include "lib/session/notice_names.h"

#include <doctest/doctest.h>

#include <string>

namespace tidepool::session {
namespace {

std::string notice(std::string_view text) {
  return std::string("SDEBUG\0VDEBUG\0C00000\0M", 23) + std::string(text) + std::string("\0\0", 2);
}

std::optional<std::string> client_name(uint32_t number) {
  if (number == 7) return "mine";
  return std::nullopt;
}

TEST_CASE(
    "what names a statement of the client's gets the client's name, and what names another is not its") {
  std::string out;
  CHECK(rename_in_notice(notice("StartTransaction(1)"), "tidepool_", client_name, out) == NoticeNames::None);
  CHECK(out.empty());
  CHECK(rename_in_notice(notice("parse tidepool_7: select 1, tidepool_7"), "tidepool_", client_name, out) ==
        NoticeNames::Renamed);
  CHECK(out.substr(5) == notice("parse mine: select 1, mine"));
  CHECK(out.front() == 'N');
  out.clear();
  for (std::string_view text : {"parse tidepool_8: select 1", "bind <unnamed> to tidepool_",
                                "tidepool_7 tidepool_77", "parse tidepool restores settings: SELECT 1"})
    CHECK(rename_in_notice(notice(text), "tidepool_", client_name, out) == NoticeNames::NotIts);
  CHECK(out.empty());
}

}  // namespace
}  // namespace tidepool::session
