#include "lib/session/row_shape.h"

namespace tidepool::session {

void RowShape::read(base::Bytes piece) {
  // Behind the name: table 4, column 2, type 4, its size 2, type modifier 4, format 2.
  constexpr int kBehindName = 18;
  const auto counts = [](int at) { return (at >= 6 && at < 10) || (at >= 12 && at < 16); };
  for (const char byte : piece) {
    if (count_left_ > 0) {
      --count_left_;
    } else if (behind_name_ < 0) {
      add(byte);
      if (byte == '\0') behind_name_ = 0;
    } else {
      if (counts(behind_name_)) add(byte);
      if (++behind_name_ == kBehindName) behind_name_ = -1;
    }
  }
}

}  // namespace tidepool::session
