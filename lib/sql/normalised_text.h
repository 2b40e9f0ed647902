// A statement's text as others may see it, in logs and on the console: constants are "?", comments are gone,
// and where it cannot be told for certain what is a constant, the text ends with "...". Of a text that was
// cut anywhere it hides no less. Names stay, quoted ones too.
#pragma once

#include <string>
#include <string_view>

namespace tidepool::sql {

// Whichever way standard_conforming_strings stood, and whatever stands now, when this is asked.
std::string normalised_text(std::string_view text);

}  // namespace tidepool::sql
