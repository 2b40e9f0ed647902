// The settings that decide what a text means when PostgreSQL parses it. (That of a literal: when it is
// parsed, 'x'::date becomes the date.)
#pragma once

#include <array>
#include <string_view>

namespace tidepool::sql {

// What its letters and quotes mean. PostgreSQL reads those once: what it parses again later, it has in words.
// The encoding last: where all are set by one text, what follows it is in another.
inline constexpr std::array<std::string_view, 3> kSettingsOfLetters{"standard_conforming_strings",
                                                                    "backslash_quote", "client_encoding"};
// What its literals mean.
inline constexpr std::array<std::string_view, 8> kSettingsOfLiterals{
    "datestyle",   "intervalstyle", "timezone",   "timezone_abbreviations", "transform_null_equals",
    "array_nulls", "xmloption",     "lc_monetary"};
// What its names mean. If they change PostgreSQL parses again by itself.
inline constexpr std::array<std::string_view, 3> kSettingsOfNames{"search_path", "role",
                                                                  "session_authorization"};

// `name` in either case.
bool decides_letters(std::string_view name);
bool decides_literals(std::string_view name);
bool decides_names(std::string_view name);

}  // namespace tidepool::sql
