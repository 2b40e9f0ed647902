// What a session's settings are to its statements: PostgreSQL looks at some when it parses a text, at others
// whenever it reads a literal or makes a plan.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "lib/session/parameter_map.h"
#include "lib/session/settings_statement.h"
#include "lib/session/startup_settings.h"
#include "lib/sql/classifier.h"

namespace tidepool::session {

struct ParseSettings {
  // The same for two sessions whose statements mean the same when they are parsed. application_name is not in
  // it, nor are custom settings: PostgreSQL's parser looks at neither, and who sets app.user_id for each of
  // its users would share nothing.
  std::string fingerprint;
  std::string literals;  // that part of it that decides what literals mean whenever a text is parsed
  std::string
      custom;  // custom settings, which plans may hold all the same (functions wrongly declared IMMUTABLE)
  bool hears_debug = false;  // PostgreSQL tells of each Parse, by a DEBUG line
};
using ParseSettingsPtr = std::shared_ptr<const ParseSettings>;

// Of a session that has set nothing.
const ParseSettingsPtr& no_parse_settings();
// Of a session that began with `startup`, was told `told` by its server then, and has SET `carried` (or
// null).
ParseSettingsPtr parse_settings_of(const StartupSettings& startup, const ParameterMap& told,
                                   const ParameterMap* carried);

// What the server reports of how it reads texts. False: the parameter says nothing about that.
bool read_option(std::string_view parameter, std::string_view value, sql::Options& options);

// Whether PostgreSQL parses again by itself what was parsed under `from`: another search_path.
bool is_parsed_again(std::string_view from, std::string_view to);
// ParseSettings::literals.
std::string literals_in(std::string_view fingerprint);
// `now`, but for what decides what a text's letters mean, which is as it was when it was first parsed.
std::string with_letters_of(std::string_view parsed_under, std::string_view now);
// Makes it that of nobody else: of settings that are not known.
void make_private(std::string_view id, std::string& fingerprint);
bool is_private(std::string_view fingerprint);
// What has to be set so that a text means what it does in a session of another fingerprint: the settings that
// PostgreSQL's parser and built-in types look at (lib/sql/settings_of_texts.h). Without a value: to
// the server's own. `from` without storage: from whatever it is.
SettingChanges parse_settings_between(std::string_view from, std::string_view to);

}  // namespace tidepool::session
