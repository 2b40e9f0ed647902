#include "tests/unit/sql/reading.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cctype>
#include <utility>
#include <vector>

using namespace tidepool::sql;

namespace {

constexpr std::pair<Trait, std::string_view> kNames[] = {
    {Trait::Settings, "Settings"},
    {Trait::AnySetting, "AnySetting"},
    {Trait::NamelessSetting, "NamelessSetting"},
    {Trait::ResetsSetting, "ResetsSetting"},
    {Trait::SetsName, "SetsName"},
    {Trait::ResetsName, "ResetsName"},
    {Trait::Listen, "Listen"},
    {Trait::TemporaryObject, "TemporaryObject"},
    {Trait::Creates, "Creates"},
    {Trait::AdvisoryLock, "AdvisoryLock"},
    {Trait::HoldCursor, "HoldCursor"},
    {Trait::PreparedStatement, "PreparedStatement"},
    {Trait::Load, "Load"},
    {Trait::Unaskable, "Unaskable"},
    {Trait::NamesCurrentValue, "NamesCurrentValue"},
    {Trait::MayAdvance, "MayAdvance"},
    {Trait::RemovesState, "RemovesState"},
    {Trait::DeallocateAll, "DeallocateAll"},
    {Trait::DiscardAll, "DiscardAll"},
    {Trait::BeginsTransaction, "BeginsTransaction"},
    {Trait::Executes, "Executes"},
    {Trait::Dynamic, "Dynamic"},
    {Trait::Unreadable, "Unreadable"},
    {Trait::DiscardPlans, "DiscardPlans"},
    {Trait::Calls, "Calls"},
};

std::string in_brackets(const std::vector<std::string>& words) {
  std::string text;
  for (const std::string& word : words) text += (text.empty() ? "(" : " ") + word;
  return text.empty() ? text : text + ")";
}

std::string settings_of(const StatementTraits& traits) {
  std::vector<std::string> words = traits.settings;
  for (uint16_t number : traits.setting_parameters) words.push_back("$" + std::to_string(number));
  return in_brackets(words);
}

std::string statements_of(const StatementTraits& traits) {
  std::vector<std::string> words;
  for (const auto& named : traits.named_statements)
    words.push_back(named.name + "@" + std::to_string(named.at));
  return in_brackets(words);
}

std::string in_upper_case(std::string_view text) {
  std::string upper(text);
  for (char& c : upper)
    if (c >= 'a' && c <= 'z') c = static_cast<char>(c - 'a' + 'A');
  return upper;
}

void check_beginnings(std::string_view text, const Options& options) {
  for (size_t size = 0; size < text.size(); ++size) {
    const std::vector<char> copy(text.begin(), text.begin() + static_cast<long>(size));  // ends where it ends
    const StatementTraits traits = classify({copy.data(), copy.size()}, options);
    for (const auto& named : traits.named_statements) CHECK(named.at + named.size <= size);
  }
}

}  // namespace

std::string reading_of(std::string_view text, const Options& options) {
  const StatementTraits traits = classify(text, options);
  std::string reading;
  for (const auto& [trait, name] : kNames) {
    if (!traits.has(trait)) continue;
    if (!reading.empty()) reading += ' ';
    reading += name;
    if (trait == Trait::Settings) reading += settings_of(traits);
    if (trait == Trait::Executes || (trait == Trait::RemovesState && !traits.has(Trait::Executes)))
      reading += statements_of(traits);
  }
  return reading;
}

void check_readings(std::initializer_list<Row> rows, const Options& options) {
  for (const Row& row : rows) {
    CAPTURE(row.text);
    CHECK(reading_of(row.text, options) == row.reading);
    const uint32_t bits = classify(row.text, options).bits;
    const std::string text(row.text);
    CHECK(classify("select 1; " + text, options).bits == bits);
    CHECK(classify("/* ' */" + text + "\n;select 1", options).bits == bits);
    CHECK((classify(text + "\n;listen a", options).bits == (bits | static_cast<uint32_t>(Trait::Listen)) ||
           (bits & static_cast<uint32_t>(Trait::Unreadable)) != 0));
    if (text.find_first_of("'\"$\\") == text.npos) CHECK(classify(in_upper_case(text), options).bits == bits);
    check_beginnings(row.text, options);
  }
}

void check_harmless(std::initializer_list<std::string_view> texts, const Options& options) {
  for (std::string_view text : texts) check_readings({{text, ""}}, options);
}
