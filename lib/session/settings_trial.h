// Tries a set of startup settings once on an idle server, in a transaction that is rolled back, so that a bad
// one is refused at login in PostgreSQL's own words and the greeting reports PostgreSQL's own spelling. The
// server is as clean afterwards as before, but that a custom setting is then '' instead of NULL
// (docs/decisions.md, "What a reset leaves").
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "lib/base/result.h"
#include "lib/session/parameter_map.h"
#include "lib/session/server_prelude.h"
#include "lib/session/startup_settings.h"
#include "lib/wire/frame_cursor.h"

namespace tidepool::session {

class SettingsTrial {
 public:
  enum class Step { More, Done, CloseServer };

  // Appends what is to be sent.
  void start(const StartupSettings& settings, std::string& out);
  // Feed it every message from the server with its whole body (ParameterStatus too); may append more to send.
  Step server_sent(const wire::Message& message, std::string& out);

  // After Done: what is wrong with the settings, if anything ...
  const std::optional<base::Error>& error() const { return error_; }
  // ... or what the server reported that differs from what it had reported before: put over its map, this is
  // what a client with these settings is greeted with.
  const ParameterMap& reported() const { return reported_; }

 private:
  // Set: or failed to; its ReadyForQuery is awaited.
  enum class Phase : uint8_t { Beginning, Setting, Set, RollingBack, RolledBack, Finished };
  Step setting_failed(base::Bytes body);

  Phase phase_ = Phase::Finished;
  size_t begin_answers_ = 0;
  ServerPrelude settings_;
  std::optional<base::Error> error_;
  ParameterMap reported_;
};

}  // namespace tidepool::session
