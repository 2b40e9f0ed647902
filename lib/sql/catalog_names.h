// Names that may stand in front of an opening bracket without anything of a user's being called: functions of
// PostgreSQL's own, and words that are no functions. That a schema in front of pg_catalog in the search_path,
// or a function of the same name and other arguments, may be meant cannot be seen.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

namespace tidepool::sql {

struct CatalogNames {
  uint8_t since;  // a major version
  bool are_keywords;
  std::string_view names;  // each followed by a blank
};
std::span<const CatalogNames> catalog_names();

enum class KnownName : uint8_t { None, Function, Keyword };
// `name` as it stands in the text, without its quotes.
KnownName find_known_name(std::string_view name, bool is_quoted, unsigned server_major);

}  // namespace tidepool::sql
