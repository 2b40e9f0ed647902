// The flavours of one pool (which sets of startup settings its clients have, each under a number), and what
// clients of each are greeted with (ParameterStatus), without asking a server: what the last server that was
// dialed with the same settings reported. Bounded. Not thread-safe; SharedPool guards it. application_name is
// in none of it: it differs from client to client.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <unordered_map>

#include "lib/session/parameter_map.h"
#include "lib/session/parse_settings.h"
#include "lib/session/startup_settings.h"

namespace tidepool::session {

struct StartupFlavour {
  uint32_t number = 0;       // 0: no settings
  StartupSettings settings;  // without application_name

  // Null: it has none of that name.
  const std::string* find(std::string_view name) const;
};
using FlavourPtr = std::shared_ptr<const StartupFlavour>;

// Shared by all clients that log in alike.
struct Greeting {
  FlavourPtr flavour;
  ParameterMap told;
  std::string bytes;  // `told` as ParameterStatus messages
  // What of it is asked for whenever a client comes.
  ParseSettingsPtr parse_settings;
  sql::Options options;
  std::string server_version, server_encoding = "UTF8";
};
using GreetingPtr = std::shared_ptr<const Greeting>;

class GreetingBook {
 public:
  // `most`: so many flavours that nobody uses any more are remembered.
  explicit GreetingBook(size_t most = 1000);

  // The same for all who ask for the same, however they ordered it; remembered at least as long as somebody
  // has it. The number is never used for others.
  FlavourPtr flavour_of(const StartupSettings& settings);
  // Null: forgotten.
  FlavourPtr find(uint32_t number) const;

  // A server that was dialed with these settings reports this.
  GreetingPtr learn(const FlavourPtr& flavour, const ParameterMap& reported);
  // A server has told of another value by itself: it was promoted, or PostgreSQL's files were
  // read again. So do all that were told the value before, but for clients who ask for one of their own.
  void change(std::string_view name, std::string_view before, std::string_view now);
  // Clients are told that they reach a standby.
  bool tells_of_standby() const;
  // Null: unknown yet; a server is to be dialed.
  GreetingPtr greeting_for(const FlavourPtr& flavour) const;
  // PostgreSQL does not take these settings any more.
  void forget(const FlavourPtr& flavour);
  // After a change of the conninfo: everything is to be learnt again.
  void forget_greetings();

 private:
  struct Entry {
    FlavourPtr flavour;
    GreetingPtr greeting;
    std::string key;
    uint64_t last_use = 0;
    bool is_used() const;
  };
  Entry* entry_of(const FlavourPtr& flavour);
  void make_room();

  size_t most_;
  FlavourPtr plain_;                                      // without settings
  std::map<std::string, uint32_t, std::less<>> numbers_;  // by all that it has
  std::unordered_map<uint32_t, Entry> entries_;
  uint32_t last_number_ = 0;
  uint64_t uses_ = 0;
};

}  // namespace tidepool::session
