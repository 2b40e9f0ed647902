// What a pool's clients are greeted with (ParameterStatus), without asking a server: what the last server
// login reported, and for each set of startup settings what a trial on a server made of it. Bounded. Not
// thread-safe; SharedPool guards it. application_name is in none of it: it needs no trial and differs from
// client to client.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "lib/session/parameter_map.h"
#include "lib/session/startup_settings.h"

namespace tidepool::session {

// Shared by all clients that log in alike.
struct Greeting {
  struct Wish {
    StartupSettings::Entry setting;  // as the client gave it
    // As the server reports it ("TimeZone", "Etc/UTC"), if it does: a server that reports this already need
    // not be told.
    std::string reported_name, reported_value;
  };
  std::vector<Wish> wishes;
  ParameterMap told;
  std::string bytes;  // `told` as ParameterStatus messages

  // The settings that must be set on a server that reports `current`.
  std::vector<StartupSettings::Entry> missing_on(const ParameterMap& current) const;
  // All of them.
  std::vector<StartupSettings::Entry> settings() const;
};

class GreetingBook {
 public:
  explicit GreetingBook(size_t most_sets = 1000) : most_sets_(most_sets) {}

  // A server has been logged in to and reports this.
  void learn_base(const ParameterMap& reported);
  bool knows_base() const { return base_ != nullptr; }
  // Null: unknown yet; a server is to be asked (its login, or a trial of the settings).
  std::shared_ptr<const Greeting> find(const StartupSettings& settings);
  // A trial of `settings` on a server that reported `server` made it report `changed` besides.
  std::shared_ptr<const Greeting> learn(const StartupSettings& settings, const ParameterMap& server,
                                        const ParameterMap& changed);
  // After a change of the conninfo: everything is to be learnt again.
  void forget();

 private:
  std::shared_ptr<const Greeting> make(const StartupSettings& settings, const ParameterMap& changed) const;

  struct Set {
    StartupSettings settings;
    ParameterMap changed;
    std::shared_ptr<const Greeting> greeting;  // null: to be made anew from a new base
  };
  size_t most_sets_;
  std::shared_ptr<const Greeting> base_;  // for clients that set nothing
  std::map<std::string, Set, std::less<>> sets_;
};

}  // namespace tidepool::session
