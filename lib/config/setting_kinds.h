// The kinds of settings: number<&PoolSettings::min_size, 0, 10>() is a Kind<PoolSettings> that reads and
// prints that member. Included by settings_table.cc alone.
#pragma once

#include <algorithm>
#include <array>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "lib/config/setting.h"

namespace tidepool::config {

template <class Member>
struct SectionOf;
template <class S, class T>
struct SectionOf<T S::*> {
  using type = S;
};
template <auto member>
using SectionOfMember = typename SectionOf<decltype(member)>::type;

template <auto member, uint32_t least, uint32_t most, class S = SectionOfMember<member>>
constexpr Kind<S> number() {
  return {[](const Value& value, S& section) -> Wrong {
            uint32_t read = 0;
            if (Wrong wrong = read_number(value, least, most, read)) return wrong;
            section.*member = static_cast<std::decay_t<decltype(section.*member)>>(read);
            return std::nullopt;
          },
          [](const S& section) { return std::to_string(section.*member); },
          [] { return "a number from " + std::to_string(least) + " to " + std::to_string(most); }};
}

// Limits in microseconds, since a template cannot take a Duration.
constexpr int64_t kMillisecond = 1'000, kSecond = 1'000'000, kYear = 365 * 86'400 * kSecond;

template <auto member, Zero zero, int64_t least = kMillisecond, int64_t most = kYear,
          class S = SectionOfMember<member>>
constexpr Kind<S> duration() {
  return {[](const Value& value, S& section) -> Wrong {
            return read_duration(value, {base::Duration(least), base::Duration(most), zero}, section.*member);
          },
          [](const S& section) { return print_duration(section.*member); },
          [] {
            return "a duration from " + print_duration(base::Duration(least)) + " to " +
                   print_duration(base::Duration(most)) + (zero == Zero::Allowed ? ", or 0" : "");
          }};
}

template <auto member, uint64_t least, uint64_t most, class S = SectionOfMember<member>>
constexpr Kind<S> size() {
  return {
      [](const Value& value, S& section) -> Wrong { return read_size(value, least, most, section.*member); },
      [](const S& section) { return print_size(section.*member); },
      [] { return "a size from " + print_size(least) + " to " + print_size(most); }};
}

template <auto member, class S = SectionOfMember<member>>
constexpr Kind<S> text() {
  return {[](const Value& value, S& section) -> Wrong {
            section.*member = value.text;
            return std::nullopt;
          },
          [](const S& section) { return section.*member; }, [] { return std::string("text"); }};
}

inline std::string listed(const std::vector<std::string>& names) {
  std::string out;
  for (const std::string& name : names) out += (out.empty() ? "" : ", ") + name;
  return out;
}

template <auto member, class S = SectionOfMember<member>>
constexpr Kind<S> names() {
  return {[](const Value& value, S& section) -> Wrong {
            auto& list = section.*member;
            if (value.text.empty()) return "a name is empty; write it, or remove it";
            if (std::find(list.begin(), list.end(), value.text) != list.end()) {
              return value.shown + " is named twice; remove one";
            }
            list.push_back(value.text);
            return std::nullopt;
          },
          [](const S& section) { return listed(section.*member); },
          [] { return std::string("a list of names, as in [app, report]"); }, Shape::List};
}

// words<&PoolSettings::orphans, kOrphans>(): an enumeration, by an array of its words.
template <class E>
using Word = std::pair<std::string_view, E>;

template <const auto& words_array>
std::vector<std::string_view> all_words() {
  std::vector<std::string_view> out;
  for (const auto& word : words_array) out.push_back(word.first);
  return out;
}

template <auto member, const auto& words_array, class S = SectionOfMember<member>>
constexpr Kind<S> words() {
  return {[](const Value& value, S& section) -> Wrong {
            for (const auto& [word, meant] : words_array) {
              if (word == value.text) {
                section.*member = meant;
                return std::nullopt;
              }
            }
            return not_one_of(value, all_words<words_array>());
          },
          [](const S& section) {
            for (const auto& [word, meant] : words_array) {
              if (section.*member == meant) return std::string(word);
            }
            return std::string();
          },
          [] { return one_of(all_words<words_array>()); }};
}

}  // namespace tidepool::config
