#include "lib/sql/statement_traits.h"

#include <algorithm>
#include <utility>

namespace tidepool::sql {

namespace {

constexpr size_t kMostNames = 100;  // they are compared with each other

template <class T>
bool add(std::vector<T>& known, T one) {
  if (std::find(known.begin(), known.end(), one) != known.end()) return true;
  if (known.size() == kMostNames) return false;
  known.push_back(std::move(one));
  return true;
}

}  // namespace

void StatementTraits::add_setting(std::string name) {
  raise(Trait::Settings);
  if (!add(settings, std::move(name))) raise(Trait::AnySetting);
}

void StatementTraits::add_setting_parameter(uint16_t number) {
  raise(Trait::Settings);
  if (!add(setting_parameters, number)) raise(Trait::AnySetting);
}

std::string_view to_string(Trait trait) {
  switch (trait) {
    case Trait::Settings:
      return "SET";
    case Trait::AnySetting:
      return "any setting";
    case Trait::ResetsSetting:
      return "RESET";
    case Trait::Listen:
      return "LISTEN";
    case Trait::TemporaryObject:
      return "a temporary object";
    case Trait::Creates:
      return "CREATE";
    case Trait::AdvisoryLock:
      return "an advisory lock";
    case Trait::HoldCursor:
      return "a cursor WITH HOLD";
    case Trait::PreparedStatement:
      return "PREPARE";
    case Trait::Load:
      return "LOAD";
    case Trait::Unaskable:
      return "something that cannot be asked about";
    case Trait::NamesCurrentValue:
      return "currval or lastval";
    case Trait::MayAdvance:
      return "perhaps nextval";
    case Trait::RemovesState:
      return "the end of state";
    case Trait::DeallocateAll:
      return "DEALLOCATE ALL";
    case Trait::DiscardAll:
      return "DISCARD ALL";
    case Trait::BeginsTransaction:
      return "BEGIN";
    case Trait::Executes:
      return "EXECUTE";
    case Trait::Dynamic:
      return "dynamic SQL";
    case Trait::Unreadable:
      return "an unreadable text";
    case Trait::SetsLocally:
      return "SET LOCAL";
    case Trait::SetsLiteralsLocally:
      return "SET LOCAL of what literals mean";
    case Trait::DiscardPlans:
      return "DISCARD PLANS";
    case Trait::ChangesObjects:
      return "ALTER or DROP";
    case Trait::SetsCustomLocally:
      return "SET LOCAL of a custom setting";
    case Trait::SetsName:
      return "SET of the application_name";
    case Trait::ResetsName:
      return "RESET of the application_name";
    case Trait::Calls:
      return "a function";
    case Trait::NamelessSetting:
      return "a setting whose name is computed";
  }
  return "?";
}

}  // namespace tidepool::sql
