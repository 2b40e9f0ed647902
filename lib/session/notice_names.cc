#include "lib/session/notice_names.h"

#include <algorithm>
#include <charconv>

#include "lib/wire/message_writer.h"

namespace tidepool::session {

namespace {

// Of statements that are made and closed within a batch.
constexpr std::string_view kOfOurs[] = {"tidepool restores settings", "tidepool sets what a text means",
                                        "tidepool: "};

}  // namespace

NoticeNames rename_in_notice(base::Bytes body, std::string_view prefix,
                             const std::function<std::optional<std::string>(uint32_t)>& client_name,
                             std::string& out) {
  for (std::string_view ours : kOfOurs)
    if (body.find(ours) != base::Bytes::npos) return NoticeNames::NotIts;
  if (body.find(prefix) == base::Bytes::npos) return NoticeNames::None;

  std::string renamed;
  for (size_t at = 0; at < body.size();) {
    const size_t found = std::min(body.find(prefix, at), body.size());
    renamed.append(body.substr(at, found - at));
    at = found;
    if (found == body.size()) break;
    uint32_t number = 0;
    const char* const digits = body.data() + found + prefix.size();
    const auto read = std::from_chars(digits, body.data() + body.size(), number);
    const std::optional<std::string> name =
        read.ec == std::errc() ? client_name(number) : std::optional<std::string>();
    if (!name) return NoticeNames::NotIts;
    renamed += *name;
    at = static_cast<size_t>(read.ptr - body.data());
  }
  const wire::MessageFrame frame(out, 'N');
  out += renamed;
  return NoticeNames::Renamed;
}

}  // namespace tidepool::session
