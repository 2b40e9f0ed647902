// Tables of texts and what is read in them.
#pragma once

#include <initializer_list>
#include <string>
#include <string_view>

#include "lib/sql/statement_traits.h"

// "Settings(timezone $1) MayAdvance Executes(p@8)": the traits in the order of their bits; behind Settings
// the names and parameters, behind Executes or RemovesState the statements that are named and where.
std::string reading_of(std::string_view text, const tidepool::sql::Options& options = {});

struct Row {
  std::string_view text;
  std::string_view reading;
};

// Each row's text is read so; so it is behind another statement and in front of one, and in upper case if it
// has no quotes; and every beginning of it is read somehow.
void check_readings(std::initializer_list<Row> rows, const tidepool::sql::Options& options = {});
// The same for texts that raise nothing.
void check_harmless(std::initializer_list<std::string_view> texts,
                    const tidepool::sql::Options& options = {});
