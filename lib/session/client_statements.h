// The prepared statements of one client's session, by the names that the client gave them. What each stands
// for is the client's alone to change: no server event does.
#pragma once

#include <algorithm>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>

#include "lib/session/parse_settings.h"
#include "lib/session/prepared_statement.h"
#include "lib/session/row_shape.h"

namespace tidepool::session {

class ClientStatements {
 public:
  struct Entry {
    StatementPtr statement;
    uint32_t era = 0;
    uint64_t number = 0;     // of no other Parse of this client
    uint64_t settings = 0;   // the version() of those that `statement` is right for
    bool is_own = false;     // it stands on the client's server under the client's own name, and nowhere else
    bool is_unsure = false;  // parsed when nobody knew what the session had SET before
    std::shared_ptr<const std::string> parsed_under = nullptr;  // ... and what turned out (a fingerprint)
    std::shared_ptr<const std::string> rows = nullptr;  // has_rows_of_its_parse: how it was described then
    // It stood there for sure when Parses had this number: its own, or one since. The unnamed one is never
    // deallocated with all.
    uint64_t there_at = UINT64_MAX;
  };

  // Null: there is none of that name (any more).
  Entry* find(std::string_view name) {
    const auto found = entries_.find(name);
    return found != entries_.end() && found->second.era >= eras_.now() ? &found->second : nullptr;
  }
  Entry& set(std::string_view name, StatementPtr statement) {
    Entry& fresh = put(name, {std::move(statement), eras_.now(), ++last_number_, settings_version_});
    fresh.there_at = fresh.number;
    return fresh;
  }
  // The one that has this number, whether it is about to end or not. Null: it stands under that name no more.
  Entry* find(std::string_view name, uint64_t number) {
    const auto found = entries_.find(name);
    return found != entries_.end() && found->second.number == number ? &found->second : nullptr;
  }
  // Takes the name away. What it stood for can be put back.
  std::optional<Entry> take(std::string_view name) {
    const auto found = entries_.find(name);
    if (found == entries_.end()) return std::nullopt;
    bytes_ -= bytes_of(name, found->second);
    Entry taken = std::move(found->second);
    entries_.erase(found);
    return taken;
  }
  Entry& put(std::string_view name, Entry entry) {
    const auto [place, is_new] = entries_.try_emplace(std::string(name));
    if (!is_new) bytes_ -= bytes_of(name, place->second);
    has_own_ = has_own_ || entry.is_own;
    place->second = std::move(entry);
    bytes_ += bytes_of(name, place->second);
    return place->second;
  }
  // What its statement turned out to be.
  void becomes(std::string_view name, Entry& entry, StatementPtr statement) {
    const bool counts = !name.empty();  // the unnamed one does not
    if (counts) bytes_ -= bytes_of(name, entry);
    entry.statement = std::move(statement);
    if (counts) bytes_ += bytes_of(name, entry);
  }
  void note_own() { has_own_ = true; }
  // It stands there now, as if it had been parsed just now.
  void is_there(Entry& entry) {
    if (entry.number != 0) entry.there_at = ++last_number_;
  }
  // Of the latest Parse.
  uint64_t last_number() const { return last_number_; }
  size_t size() const { return entries_.size(); }
  // Of names and texts, the unnamed one's too; a text that others have as well counts whole for each.
  size_t bytes() const { return bytes_ + unnamed.size(); }
  // All are gone.
  void forget_all() {
    entries_.clear();
    bytes_ = 0;
    has_own_ = false;
    unnamed.clear();
    unnamed_changed();
  }
  // Those that stood under the client's own names are gone with the server that had them.
  void forget_own() {
    if (!std::exchange(has_own_, false)) return;
    forget_if([](const Entry& entry) { return entry.is_own; });
  }
  // Some need not be on the server that the client has.
  bool has_shared() const {
    return std::any_of(entries_.begin(), entries_.end(),
                       [](const auto& each) { return !each.second.is_own; });
  }
  template <class Condition>
  void forget_if(Condition&& condition) {
    std::erase_if(entries_, [&](const auto& entry) {
      if (!condition(entry.second)) return false;
      bytes_ -= bytes_of(entry.first, entry.second);
      return true;
    });
  }
  // A name that stands for it.
  std::optional<std::string> name_of(const PreparedStatement* statement) const {
    for (const auto& [name, entry] : entries_)
      if (entry.era >= eras_.now() && entry.statement.get() == statement) return name;
    return std::nullopt;
  }

  // It was parsed behind a SET of the same transaction.
  void is_unsure_of(Entry& entry) { has_unsure_ = entry.is_unsure = true; }
  // What the session has SET is known now: so is what was parsed since.
  void settings_are(ParseSettingsPtr known) {
    if (known == settings_ && !has_unsure_ && !unnamed_is_unsure) return;
    if (known->literals != settings_->literals || known->custom != settings_->custom) ++settings_version_;
    settings_ = std::move(known);
    if (std::exchange(unnamed_is_unsure, false)) unnamed_fingerprint = settings_->fingerprint;
    if (!std::exchange(has_unsure_, false)) return;
    const std::shared_ptr<const std::string> fingerprint(settings_, &settings_->fingerprint);
    for (auto& [name, entry] : entries_)
      if (std::exchange(entry.is_unsure, false)) entry.parsed_under = fingerprint;
  }
  // Those that the client has now.
  const ParseSettings& settings() const { return *settings_; }

  // Another one than at any time when literals meant something else.
  uint64_t settings_version() const { return settings_version_; }

  // DEALLOCATE ALL is on its way: what comes behind it finds no names of before.
  Era begin_era() { return eras_.begin(); }
  // It did happen, or did not.
  void end_era(Era ended) {
    forget_if([ended](const Entry& entry) { return entry.era < ended.number; });
  }
  void undo_era(Era undone) { eras_.undo(undone); }

  // Of the unnamed statement: the body of the Parse message that made it, whole. Empty: there is none, or
  // `unnamed_is_long`.
  std::string unnamed;
  sql::StatementTraits unnamed_traits;
  std::string unnamed_fingerprint;  // of the settings that it was parsed under
  // What PostgreSQL made of it, once that is known (PreparedStatement).
  std::string unnamed_parameters;
  uint64_t unnamed_shape = RowShape::kUnknown;
  std::shared_ptr<const std::string> unnamed_rows;
  std::string_view text_of_unnamed() const {
    return unnamed.empty() ? std::string_view("an unnamed statement") : std::string_view(unnamed.data() + 1);
  }
  // Other than that of any other unnamed statement of this client: a server may have an earlier one.
  uint64_t unnamed_version = 0;
  void unnamed_changed() {
    unnamed_version = ++last_unnamed_version_;
    unnamed_shape = RowShape::kUnknown;
    unnamed_parameters.clear();
    unnamed_rows = nullptr;
    unnamed_elsewhere.reset();
  }
  // As it is used on servers that have not got it as their unnamed one: under a name of ours, as others are.
  std::unique_ptr<Entry> unnamed_elsewhere;
  bool unnamed_is_unsure = false;  // as in Entry
  bool unnamed_is_long = false;    // too long to be kept: it lives on its server only
  // Temporary objects that lasted longer than a transaction.
  bool has_had_temporary_objects = false;
  // `unnamed_traits` are what sql::classify() says of `unnamed` by the options of now.
  bool unnamed_is_read = false;

 private:
  struct Hash {
    using is_transparent = void;
    size_t operator()(std::string_view name) const { return std::hash<std::string_view>()(name); }
  };
  static size_t bytes_of(std::string_view name, const Entry& entry) {
    const TextPtr& text = entry.statement->text;
    return name.size() + sizeof(Entry) + (text != nullptr ? text->bytes() : 0);
  }

  std::unordered_map<std::string, Entry, Hash, std::equal_to<>> entries_;
  size_t bytes_ = 0;
  ParseSettingsPtr settings_ = no_parse_settings();
  uint64_t last_number_ = 0;
  uint64_t settings_version_ = 0;
  uint64_t last_unnamed_version_ = 0;
  Eras eras_;
  bool has_unsure_ = false;
  bool has_own_ = false;
};

}  // namespace tidepool::session
