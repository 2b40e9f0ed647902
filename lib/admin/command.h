// What a client of the console wants: one statement, understood.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "lib/admin/fixed_answers.h"
#include "lib/admin/show_tables.h"
#include "lib/base/result.h"

namespace tidepool::admin {

struct NoCommand {};  // an empty query
struct ShowTheTable {
  const ShowTable* table;
};
struct ShowHelp {};
struct ShowVariable {
  const ClientVariable* variable;
};
struct Answer {
  const FixedAnswer* answer;
};
struct IgnoreSetting {};  // SET and RESET of a client variable
struct Reload {};
struct Reconnect {
  std::string pool;
};  // empty: all of them
struct Shutdown {
  bool drain = false;  // WAIT_FOR_CLIENTS
};
struct Begin {};
struct Commit {};
struct Rollback {};
struct SetSavepoint {
  std::string name;
};
struct ReleaseSavepoint {
  std::string name;
};
struct RollbackToSavepoint {
  std::string name;
};
struct Deallocate {
  std::string name;
};  // empty: all of them
struct DiscardAll {};

struct Command {
  using Action = std::variant<NoCommand, ShowTheTable, ShowHelp, ShowVariable, Answer, IgnoreSetting, Reload,
                              Reconnect, Shutdown, Begin, Commit, Rollback, SetSavepoint, ReleaseSavepoint,
                              RollbackToSavepoint, Deallocate, DiscardAll>;
  Action action;
  std::string_view tag;        // of its CommandComplete
  size_t parameter_count = 0;  // the greatest n of its $n

  // Empty if it answers without a table.
  std::span<const wire::Column> columns() const;
  bool may_end_failed_transaction() const;
};

// The statements of `sql`, in order; none if there is nothing but blanks, comments and semicolons. An error
// if any of them is no command of the console: then none is to be run.
base::Result<std::vector<Command>> parse_commands(std::string_view sql);

}  // namespace tidepool::admin
