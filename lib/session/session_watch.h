// What one client's session may have left on its server that the next client must not meet, and that the
// session must find again: in transaction mode a server is given back only when this is known. What the
// client runs raises a suspicion (by its text, by what the server reports); before the server would go back
// it is asked once (StateQuestion), and the answer decides: settings are carried to the next server
// (CarriedSettings), everything else keeps the session on this one until it is gone. Knows no bytes of the
// protocol.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "lib/base/result.h"
#include "lib/session/server_statements.h"
#include "lib/sql/normalised_text.h"
#include "lib/sql/statement_traits.h"

namespace tidepool::session {

// State that cannot travel. A set of them is an OR of bits.
enum class Pin : uint16_t {
  Listen = 1 << 0,
  Temporary = 1 << 1,
  AdvisoryLock = 1 << 2,
  HoldCursor = 1 << 3,
  Prepared = 1 << 4,  // by SQL's PREPARE, or by a Parse that is not shared
  // From here on, until the client leaves: there is nothing to ask.
  Load = 1 << 5,
  Function = 1 << 6,
  Sequence = 1 << 7,  // currval, lastval
  Unknown = 1 << 9,   // the question failed: until the next one is answered
  Setting = 1 << 10,  // set by set_config() under a computed name: custom settings are asked for by name
};
using Pins = uint16_t;
constexpr Pins operator|(Pin a, Pin b) {
  return static_cast<Pins>(static_cast<Pins>(a) | static_cast<Pins>(b));
}
constexpr Pins bit(Pin pin) {
  return static_cast<Pins>(pin);
}
inline constexpr Pins kAskablePins = bit(Pin::Listen) | bit(Pin::Temporary) | bit(Pin::AdvisoryLock) |
                                     bit(Pin::HoldCursor) | bit(Pin::Prepared);
// "LISTEN, advisory locks": for logs, the console and errors.
std::string words_of(Pins pins);
// What a session is told that has waited in vain for `waited` until fewer keep servers of `pool`.
base::Error waited_for_pin(std::string_view pool, std::string_view waited);

// What the server answered.
struct SessionState {
  struct Setting {
    std::string name;  // in lower case
    std::optional<std::string> value;
  };
  std::vector<Setting> settings;  // those that the session has set
  std::vector<Setting>
      asked;  // custom ones, role, session_authorization: as they are now; nothing: not there
  Pins pins = 0;
  // The prepared statements under names of ours, if they were asked for.
  struct Statements {
    ServerStatements::Census ours;
    uint64_t forged = 0;  // by SQL
  };
  std::optional<Statements> statements;
};

class SessionWatch {
 public:
  enum class OnState : uint8_t { Pin, Error, Allow };
  struct Policy {
    OnState on_state = OnState::Pin;
    bool one_statement_only = false;  // statement mode: no transaction blocks
    bool may_pin = true;              // max_pinned is not reached
    std::string_view pool = {};       // its name, for errors
  };

  // The client is about to run this. An error: it must not.
  std::optional<base::Error> note(const sql::StatementTraits& traits, std::string_view text,
                                  const Policy& policy);
  // It would keep a server that the session does not keep yet. Such a session may wait for its turn in front
  // of its transaction.
  bool would_pin(const sql::StatementTraits& traits, OnState on_state) const;
  // note() has let something pass that is to keep the server: its place is taken at once.
  bool take_wish_to_pin() { return std::exchange(wishes_to_pin_, false); }
  // What note() refused last, for logs: without the statement, whose literals are nobody's business.
  std::unique_ptr<base::Error> take_refusal() { return std::exchange(refusal_, nullptr); }
  // It sets a setting whose name is not in the text (a parameter of set_config, or reported by the server).
  void note_setting(std::string_view name, std::string_view text);
  // It may have done anything.
  void note_everything(std::string_view text);
  // Its role or session authorization may be another.
  void note_identity(std::string_view text);
  void note_pin(Pin pin, std::string_view text);
  // A Parse goes to the server under the client's own name; a Close does.
  void note_own_statement(std::string_view text) {
    suspect(bit(Pin::Prepared), text);
    prepares_ = true;
  }
  void note_own_statement_closed();

  // It has prepared a statement by SQL or under its own name; that anything may have happened is not enough.
  bool has_own_statements() const { return prepares_ || (pins_ & bit(Pin::Prepared)) != 0; }

  // The next nextval keeps the server.
  bool names_current_value() const { return names_current_value_; }

  // There is something to ask before the server may go back.
  bool is_suspicious() const { return asks_settings() || asks_statements_ || suspected_ != 0; }
  bool asks_settings() const { return asks_settings_ || asks_all_settings_ || asks_identity_; }
  // Of those that PostgreSQL lists.
  bool asks_listed_settings() const { return asks_settings_ || asks_all_settings_; }
  bool asks_identity() const { return asks_identity_; }
  // Whether the statements of the pool are still there.
  bool asks_statements() const { return asks_statements_; }
  // It may have left what the question cannot find: custom settings whose names nobody knows. That stays so
  // when it is answered: the server is to be undone before another session gets it.
  bool has_doubt() const { return has_doubt_; }
  bool take_doubt() { return std::exchange(has_doubt_, false); }
  // Of those that decide what a text means when it is parsed, and of those that decide what its literals mean
  // (lib/sql/settings_of_texts.h): until the answer, what the session has is not known.
  bool asks_settings_of_texts() const { return sets_texts_ || asks_all_settings_; }
  bool asks_settings_of_literals() const { return sets_literals_ || asks_all_settings_; }
  // Of custom settings the names are needed; others are found by themselves.
  const std::vector<std::string>& settings() const { return settings_; }
  // Custom ones that it has ever named: what it may have done again by a text that cannot be read.
  const std::vector<std::string>& custom_settings() const { return custom_settings_; }
  bool asks_all_settings() const { return asks_all_settings_; }
  // It is pinned, and nothing that it ran since can have changed that: there is no need to ask yet.
  bool stays() const {
    return (pins_ & ~bit(Pin::Unknown)) != 0 &&
           ((pins_ & ~kAskablePins & ~bit(Pin::Unknown)) != 0 || !may_be_gone_);
  }
  Pins asked_pins() const { return suspected_; }
  void answered(const SessionState& state);
  void question_failed();

  // Non-zero: the server stays with the client.
  Pins pins() const { return pins_; }
  // The statement that was the first to raise the suspicion, clipped, and without its constants: it is shown
  // to others.
  std::string suspect() const { return sql::normalised_text(suspect_); }

 private:
  base::Error refuse(base::Error error);
  void suspect(Pins pins, std::string_view text);
  void doubt();
  void remember(std::string_view text);

  Pins suspected_ = 0;  // to be asked about
  Pins pins_ = 0;
  bool asks_settings_ = false;
  bool asks_all_settings_ = false;
  bool asks_identity_ = false;
  bool asks_statements_ = false;
  bool has_doubt_ = false;
  bool sets_texts_ = false, sets_literals_ = false;
  std::unique_ptr<base::Error> refusal_;
  bool wishes_to_pin_ = false;
  bool prepares_ = false;
  bool may_be_gone_ = false;          // what it is pinned by
  bool names_current_value_ = false;  // currval or lastval was named
  std::vector<std::string> settings_;
  std::vector<std::string> custom_settings_;
  std::string suspect_;
};

}  // namespace tidepool::session
