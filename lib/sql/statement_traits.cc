#include "lib/sql/statement_traits.h"

#include <algorithm>
#include <utility>

namespace tidepool::sql {

void StatementTraits::add_setting(std::string name) {
  raise(Trait::Settings);
  if (std::find(settings.begin(), settings.end(), name) == settings.end())
    settings.push_back(std::move(name));
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
      return "a function that leaves what cannot be asked about";
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
  }
  return "?";
}

}  // namespace tidepool::sql
