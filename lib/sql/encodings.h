// Client encodings in which a text is not what its bytes look like.
#pragma once

#include <string_view>

namespace tidepool::sql {

// Whether a letter of `client_encoding` may hold a quote, a backslash or another symbol, or become one when
// PostgreSQL converts it, which it does before it reads the text. In either case.
bool has_doubtful_letters(std::string_view client_encoding);

}  // namespace tidepool::sql
