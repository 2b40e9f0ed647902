// The statements that bring a server to a client's settings, with their bind parameters: name, value,
// name, value, ... Everything in them is schema-qualified, operators too: the search_path is the client's.
#pragma once

#include <list>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "lib/session/startup_settings.h"
#include "lib/wire/message_writer.h"

namespace tidepool::session {

struct SettingsStatement {
  std::string sql;
  std::vector<wire::Value> parameters;  // borrowed from the settings, or from `owned`
  std::list<std::string> owned = {};
};

// A startup packet holds more settings than one select list should.
inline constexpr size_t kSettingsPerStatement = 100;

// A setting as it is to be; without a value: as it would be after RESET.
struct SettingChange {
  std::string name;
  std::optional<std::string> value;
  bool is_utf8 =
      false;  // the value is, whatever the client's encoding: of those that a server has told (StateQuestion)
  bool operator==(const SettingChange&) const = default;
};
using SettingChanges = std::vector<SettingChange>;

// As a string constant, whatever standard_conforming_strings is: E'it''s'.
void append_literal(std::string_view value, std::string& sql);

// One row for each statement. In the order given.
std::vector<SettingsStatement> statements_that_change(const SettingChanges& changes);

}  // namespace tidepool::session
