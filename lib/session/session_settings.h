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
#include "lib/session/parse_settings.h"
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
  // What they are to its statements.
  ParseSettingsPtr parse_settings() const;

 private:
  void add_identity(const ParameterMap& applied, const ParameterMap& wanted, SettingChanges& changes) const;
};

// What `before` becomes by the server's answer to what `watch` asked. `applied`, what the server was brought
// to for this session, becomes what it has now: a setting that went back to the server's own value is not
// there any more. Of what the server does not tell where it comes from, `flavour` says what its own value is.
CarriedSettings carried_after(const CarriedSettings& before, const StartupFlavour& flavour,
                              const SessionWatch& watch, const SessionState& state, const ParameterMap& base,
                              ParameterMap& applied);

// `carried` without the settings that `text` takes back, if that is all that it does: RESET x, SET x, RESET
// ALL, DISCARD ALL. Else `carried` itself.
CarriedSettings without_what_is_reset(const CarriedSettings& carried, std::string_view text,
                                      const sql::Options& options);

}  // namespace tidepool::session
