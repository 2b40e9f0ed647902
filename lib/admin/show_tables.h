// The SHOW commands that answer with a table: a row for each, with its columns and what fills them from a
// snapshot. Names, order and types are PgBouncer's, since exporters and dashboards read them; POOL_STATS and
// PINS are ours, and so is the last column of CLIENTS.
#pragma once

#include <span>
#include <string_view>

#include "lib/admin/result_rows.h"
#include "lib/stats/snapshot.h"

namespace tidepool::admin {

struct ShowTable {
  std::string_view name;  // in lower case
  std::span<const wire::Column> columns;
  Rows (*rows)(const stats::Snapshot&);
};

std::span<const ShowTable> show_tables();
const ShowTable* find_show_table(std::string_view name);  // in lower case; null: there is none

}  // namespace tidepool::admin
