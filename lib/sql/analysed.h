// Which texts PostgreSQL analyses when it parses them (parse_analyze: names, types, rows), and which it only
// takes for a command that is looked at when it runs.
// https://www.postgresql.org/docs/current/protocol-flow.html
#pragma once

#include <string_view>

namespace tidepool::sql {

// False: the text is one command of those that mean the same whenever they are parsed (transaction commands,
// SET, SHOW, DEALLOCATE, VACUUM, FETCH and the like), or it is empty. True in doubt.
bool is_analysed(std::string_view text);

// Such a command whose rows are, for as long as it is prepared, what they were in its session when it was
// parsed: FETCH from a cursor, SHOW of a custom setting, which may not be there.
bool has_rows_of_its_parse(std::string_view text);

// What of a text depends on settings when it is parsed.
bool has_literals(std::string_view text);     // a string of any kind, or NULL (transform_null_equals)
bool has_odd_letters(std::string_view text);  // other letters than ASCII's, or a backslash

}  // namespace tidepool::sql
