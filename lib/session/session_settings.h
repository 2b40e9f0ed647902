// The settings of a session in transaction mode, which follow it to every server: what it has SET, and its
// application_name. (What its startup packet asked for, its servers were dialed with.) And what a server has
// of them, which the last client left there. All names in lower case.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "lib/session/greeting_book.h"
#include "lib/session/parameter_map.h"
#include "lib/session/session_watch.h"
#include "lib/session/settings_statement.h"

namespace tidepool::session {

// What a session has SET, as the server told it. Never changed once it is shared.
using CarriedSettings = std::shared_ptr<const ParameterMap>;  // null: nothing

struct WantedSettings {
  const Greeting& greeting;
  const std::string& application_name;
  const ParameterMap* carried;  // or null

  // What has to be changed on a server that has `applied` over its own `base` (what it reports without them).
  // `applied` becomes what the server has then.
  SettingChanges changes_on(ParameterMap& applied, const ParameterMap& base) const;
  // The same for two sessions whose statements mean the same when they are parsed. application_name is not in
  // it, nor are custom settings: PostgreSQL's parser looks at neither, and who sets app.user_id for each of
  // its users would share nothing.
  std::string fingerprint() const;
  // Of its custom settings, which plans may hold all the same (functions wrongly declared IMMUTABLE).
  std::string custom() const;

 private:
  ParameterMap all() const;
  void add_identity(const ParameterMap& applied, const ParameterMap& wanted, SettingChanges& changes) const;
};

// Whether PostgreSQL parses again by itself what was parsed under `from`: another search_path.
bool is_parsed_again(std::string_view from, std::string_view to);
// That part of a fingerprint that decides what the literals of a text mean whenever it is parsed.
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

// What `before` becomes by the server's answer to what `watch` asked. `applied`, what the server was brought
// to for this session, becomes what it has now: a setting that went back to the server's own value is not
// there any more. Of what the server does not tell where it comes from, `flavour` says what its own value is.
CarriedSettings carried_after(const CarriedSettings& before, const StartupFlavour& flavour,
                              const SessionWatch& watch, const SessionState& state, const ParameterMap& base,
                              ParameterMap& applied);

// `carried` without the settings that `text` takes back, if that is all that it does: RESET x, SET x, RESET ALL,
// DISCARD ALL. Else `carried` itself.
CarriedSettings without_what_is_reset(const CarriedSettings& carried, std::string_view text,
                                      const sql::Options& options);

}  // namespace tidepool::session
