#include "lib/session/function_call.h"

#include <algorithm>
#include <array>
#include <cstdint>
#include <string_view>

#include "lib/base/ascii.h"
#include "lib/wire/message_reader.h"

namespace tidepool::session {

namespace {

constexpr uint32_t kSetConfig = 2078, kSetSeed = 1599;
// Those of large objects, which is what drivers use this message for: their descriptors end with the
// transaction. The numbers are those of every version of PostgreSQL.
constexpr std::array<uint32_t, 20> kLeaveNothing{715, 764, 765,  767,  952,  953,  954,  955,  956,  957,
                                                 958, 964, 1004, 3170, 3171, 3172, 3457, 3458, 3459, 3460};
constexpr std::string_view kShown = "a FunctionCall message";

// set_config(name, value, is_local). False: it cannot be read.
bool note_set_config(wire::FieldReader& fields, SessionWatch& watch) {
  for (uint16_t formats = fields.u16(); formats > 0 && fields.ok(); --formats) fields.u16();
  if (fields.u16() != 3) return false;
  std::array<base::Bytes, 3> arguments;
  for (auto& argument : arguments) {
    const auto size = static_cast<int32_t>(fields.u32());
    if (size >= 0) argument = fields.bytes(static_cast<size_t>(size));
  }
  if (!fields.ok()) return false;
  watch.note_setting(base::lower(arguments[0]), kShown);
  return true;
}

}  // namespace

bool is_enough_of_function_call(base::Bytes body, size_t body_size, size_t most) {
  if (body.size() >= body_size) return true;
  if (body.size() < sizeof(uint32_t)) return false;
  return base::read_u32(body.data()) != kSetConfig || body.size() >= most;
}

void note_function_call(base::Bytes body, SessionWatch& watch) {
  wire::FieldReader fields(body);
  const uint32_t function = fields.u32();
  if (fields.ok() && std::find(kLeaveNothing.begin(), kLeaveNothing.end(), function) != kLeaveNothing.end())
    return;
  if (fields.ok() && function == kSetConfig && note_set_config(fields, watch)) return;
  if (fields.ok() && function == kSetSeed) watch.note_pin(Pin::Function, kShown);
  watch.note_everything(kShown);
}

}  // namespace tidepool::session
