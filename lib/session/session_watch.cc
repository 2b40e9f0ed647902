#include "lib/session/session_watch.h"

#include <algorithm>
#include <array>
#include <utility>

#include "lib/base/ascii.h"
#include "lib/sql/settings_of_texts.h"

namespace tidepool::session {

using sql::StatementTraits;
using sql::Trait;

namespace {

constexpr size_t kMostOfSuspect = 200;
constexpr size_t kMostSettings = 1000;
constexpr size_t kMostCustomSettings = 100;

struct Row {
  Pin pin;
  Trait trait;
  const char* words;
};
constexpr std::array kRows{
    Row{Pin::Listen, Trait::Listen, "LISTEN"},
    Row{Pin::Temporary, Trait::TemporaryObject, "temporary objects"},
    Row{Pin::AdvisoryLock, Trait::AdvisoryLock, "advisory locks"},
    Row{Pin::HoldCursor, Trait::HoldCursor, "cursors WITH HOLD"},
    Row{Pin::Prepared, Trait::PreparedStatement, "prepared statements of its own"},
    Row{Pin::Load, Trait::Load, "LOAD"},
    Row{Pin::Function, Trait::Unaskable, "a function that leaves state"},
    Row{Pin::Setting, Trait::NamelessSetting, "a setting whose name is computed"},
};

Pins pins_of(const StatementTraits& traits) {
  Pins pins = 0;
  for (const Row& row : kRows)
    if (traits.has(row.trait)) pins |= bit(row.pin);
  return pins;
}

base::Error refused_state(Pins pins, const SessionWatch::Policy& policy) {
  return {"0A000",
          words_of(pins) + " would leave state in the session, and pool \"" + std::string(policy.pool) +
              "\" gives its servers back after each transaction",
          "The pool's on_session_state is error.",
          "Use a pool in session mode for this, or set on_session_state: pin."};
}

base::Error refused_pin(Pins pins, const SessionWatch::Policy& policy) {
  return {"53400",
          words_of(pins) + " would keep a server of pool \"" + std::string(policy.pool) +
              "\" for this session, and max_pinned of them are kept already",
          "",
          "SHOW PINS on the console says who keeps them; raise max_pinned, or use a pool in session mode."};
}

base::Error refused_transaction(const SessionWatch::Policy& policy) {
  return {"0A000",
          "transaction blocks are not possible in pool \"" + std::string(policy.pool) +
              "\", which is in statement mode",
          "", "Use a pool in transaction mode for this."};
}

}  // namespace

std::string words_of(Pins pins) {
  std::string words;
  const auto add = [&](Pin pin, const char* name) {
    if ((pins & bit(pin)) != 0) words += (words.empty() ? "" : ", ") + std::string(name);
  };
  for (const Row& row : kRows) add(row.pin, row.words);
  add(Pin::Sequence, "currval or lastval");
  add(Pin::Unknown, "its state could not be asked for");
  return words;
}

base::Error waited_for_pin(std::string_view pool, std::string_view waited) {
  return {"53400",
          "the session would keep a server of pool \"" + std::string(pool) +
              "\", and max_pinned of them were kept by others for " + std::string(waited) + " (timeout)",
          "",
          "SHOW PINS on the console says who keeps them; raise max_pinned, or use a pool in session mode."};
}

bool SessionWatch::would_pin(const StatementTraits& traits, OnState on_state) const {
  return on_state == OnState::Pin && pins_ == 0 && pins_of(traits) != 0;
}

std::optional<base::Error> SessionWatch::note(const StatementTraits& traits, std::string_view text,
                                              const Policy& policy) {
  if (traits.is_empty()) return std::nullopt;
  if (policy.one_statement_only && traits.has(Trait::BeginsTransaction)) return refused_transaction(policy);

  const Pins pins = policy.on_state == OnState::Allow ? Pins{0} : pins_of(traits);
  if (pins != 0) {
    if (policy.on_state == OnState::Error) return refuse(refused_state(pins, policy));
    if (!policy.may_pin && pins_ == 0) return refuse(refused_pin(pins, policy));
    wishes_to_pin_ = true;
    suspect(pins & kAskablePins, text);
    prepares_ = prepares_ || (pins & bit(Pin::Prepared)) != 0;
    for (Pin pin : {Pin::Load, Pin::Function, Pin::Setting})
      if ((pins & bit(pin)) != 0) note_pin(pin, text);
  }
  // What EXECUTE runs was read when it was prepared.
  if (traits.has_any({Trait::Dynamic, Trait::Unreadable, Trait::Executes})) {
    note_everything(text);
    may_be_gone_ = may_be_gone_ || !traits.has(Trait::Executes);
  }
  // What PostgreSQL lists of settings, a function sets unseen: that costs more than all the rest of the
  // question together, and the server is undone before it is another's.
  if (traits.has(Trait::Calls)) {
    doubt();
    note_identity(text);
    suspect(kAskablePins, text);
    may_be_gone_ = true;
  }
  if (policy.on_state == OnState::Allow &&
      traits.has_any({Trait::Dynamic, Trait::Unreadable, Trait::Executes, Trait::Calls}))
    suspected_ = 0;
  if (traits.has(Trait::NamelessSetting)) doubt();
  if (traits.has(Trait::Settings)) {
    asks_settings_ = true;
    for (const std::string& name : traits.settings) note_setting(name, text);
  }
  if (traits.has(Trait::AnySetting) || traits.has(Trait::ResetsSetting)) asks_all_settings_ = true;
  // If pg_temp comes first in the search_path.
  if (traits.has(Trait::Creates) && policy.on_state != OnState::Allow) suspect(bit(Pin::Temporary), text);
  // Whatever is known to be there may be gone now.
  if (traits.has(Trait::RemovesState)) {
    suspected_ |= pins_ & kAskablePins;
    may_be_gone_ = true;
  }
  if (names_current_value_ && traits.has(Trait::MayAdvance) && policy.on_state == OnState::Pin &&
      (policy.may_pin || pins_ != 0))
    note_pin(Pin::Sequence, text);
  if (traits.has(Trait::NamesCurrentValue)) names_current_value_ = true;
  return std::nullopt;
}

base::Error SessionWatch::refuse(base::Error error) {
  refusal_ = std::make_unique<base::Error>(error);
  return error;
}

void SessionWatch::note_setting(std::string_view name, std::string_view text) {
  asks_settings_ = true;
  remember(text);
  if (name.find('.') != name.npos && custom_settings_.size() < kMostCustomSettings &&
      std::find(custom_settings_.begin(), custom_settings_.end(), name) == custom_settings_.end())
    custom_settings_.emplace_back(name);
  if (std::find(settings_.begin(), settings_.end(), name) != settings_.end()) return;
  if (base::same_letters(name, "session_authorization")) note_identity(text);  // takes the role along
  if (base::same_letters(name, "seed")) note_pin(Pin::Function, text);         // nobody can read it back
  sets_literals_ = sets_literals_ || sql::decides_literals(name);
  sets_texts_ = sets_texts_ || sets_literals_ || sql::decides_names(name) || sql::decides_letters(name);
  if (settings_.size() < kMostSettings) return static_cast<void>(settings_.emplace_back(name));
  asks_all_settings_ = true;
}

void SessionWatch::note_everything(std::string_view text) {
  asks_all_settings_ = asks_identity_ = true;
  doubt();
  suspect(kAskablePins, text);
}

void SessionWatch::note_identity(std::string_view text) {
  asks_identity_ = true;
  remember(text);
}

void SessionWatch::doubt() {
  has_doubt_ = asks_statements_ = true;
}

void SessionWatch::note_own_statement_closed() {
  if ((pins_ & bit(Pin::Prepared)) == 0) return;
  suspected_ |= bit(Pin::Prepared);
  may_be_gone_ = true;
}

void SessionWatch::note_pin(Pin pin, std::string_view text) {
  if (pins_ == 0) suspect_.clear();
  pins_ |= bit(pin);
  remember(text);
}

void SessionWatch::suspect(Pins pins, std::string_view text) {
  if (pins_ == 0 && suspected_ == 0) suspect_.clear();
  suspected_ |= pins;
  remember(text);
}

void SessionWatch::remember(std::string_view text) {
  if (suspect_.empty()) suspect_ = text.substr(0, kMostOfSuspect);
}

void SessionWatch::answered(const SessionState& state) {
  pins_ = static_cast<Pins>((pins_ & ~(suspected_ | bit(Pin::Unknown))) | (state.pins & suspected_));
  suspected_ = 0;
  asks_identity_ = asks_statements_ = false;
  asks_settings_ = asks_all_settings_ = sets_texts_ = sets_literals_ = prepares_ = may_be_gone_ = false;
  settings_.clear();
  if (pins_ == 0) suspect_.clear();
}

// What was suspected still is, and is asked about after the client's next transaction.
void SessionWatch::question_failed() {
  pins_ |= bit(Pin::Unknown);
}

}  // namespace tidepool::session
