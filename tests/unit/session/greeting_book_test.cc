// Which clients are of one flavour, and what they are greeted with.
#include "lib/session/greeting_book.h"

#include <doctest/doctest.h>

namespace tidepool::session {
namespace {

StartupSettings settings(const std::vector<StartupSettings::Entry>& entries) {
  StartupSettings made;
  for (const auto& [name, value] : entries) made.add(name, value);
  return made;
}

ParameterMap reported(std::string_view zone) {
  ParameterMap made;
  made.set("TimeZone", zone);
  made.set("application_name", "of the server");
  return made;
}

TEST_CASE("no settings are flavour 0, whatever the application_name") {
  GreetingBook book;
  CHECK(book.flavour_of({})->number == 0);
  CHECK(book.flavour_of(settings({{"application_name", "me"}}))->number == 0);
  CHECK(book.flavour_of(settings({{"work_mem", "1MB"}}))->number == 1);
}

TEST_CASE("who asks for the same is of one flavour, in whatever order and case") {
  GreetingBook book;
  const auto flavour = book.flavour_of(settings({{"TimeZone", "UTC"}, {"work_mem", "1MB"}}));
  CHECK(book.flavour_of(settings({{"WORK_MEM", "1MB"}, {"application_name", "x"}, {"timezone", "UTC"}})) ==
        flavour);
  CHECK(book.flavour_of(settings({{"TimeZone", "UTC"}, {"work_mem", "2MB"}})) != flavour);
  CHECK(book.flavour_of(settings({{"TimeZone", "UTC"}})) != flavour);
}

TEST_CASE("a setting that is given twice is set twice, in that order, and the last is what counts") {
  GreetingBook book;
  const auto flavour =
      book.flavour_of(settings({{"work_mem", "1MB"}, {"datestyle", "German"}, {"DateStyle", "ISO"}}));
  CHECK(flavour->settings.entries.size() == 3);
  CHECK(*flavour->find("datestyle") == "ISO");
  CHECK(flavour !=
        book.flavour_of(settings({{"work_mem", "1MB"}, {"DateStyle", "ISO"}, {"datestyle", "German"}})));
}

TEST_CASE("UTF-8 is one encoding, however drivers spell it") {
  GreetingBook book;
  const auto flavour = book.flavour_of(settings({{"client_encoding", "utf-8"}}));
  CHECK(*flavour->find("CLIENT_ENCODING") == "UTF8");
  for (const char* spelling : {"UTF8", "utf8", "'UTF-8'", "Unicode"})
    CHECK(book.flavour_of(settings({{"client_encoding", spelling}})) == flavour);
  CHECK(book.flavour_of(settings({{"client_encoding", "utf16"}})) != flavour);
  CHECK(book.flavour_of(settings({{"search_path", "utf-8"}}))->settings.entries.front().second == "utf-8");
}

TEST_CASE("a role and a session authorization come last, as they came: each takes back the other's effect") {
  GreetingBook book;
  const auto names = [&](const std::vector<StartupSettings::Entry>& entries) {
    std::string all;
    for (const auto& [name, value] : book.flavour_of(settings(entries))->settings.entries) all += name + " ";
    return all;
  };
  CHECK(names({{"role", "a"}, {"session_authorization", "b"}, {"work_mem", "1MB"}}) ==
        "work_mem role session_authorization ");
  CHECK(names({{"session_authorization", "b"}, {"work_mem", "1MB"}, {"role", "a"}}) ==
        "work_mem session_authorization role ");
}

TEST_CASE("a greeting is what the last server of the flavour reported, but for its application_name") {
  GreetingBook book;
  const auto neutral = book.flavour_of({}), other = book.flavour_of(settings({{"work_mem", "1MB"}}));
  CHECK(book.greeting_for(neutral) == nullptr);
  const auto first = book.learn(neutral, reported("UTC"));
  CHECK(book.greeting_for(neutral) == first);
  CHECK(book.greeting_for(other) == nullptr);
  CHECK(first->flavour == neutral);
  CHECK(*first->told.find("TimeZone") == "UTC");
  CHECK(first->told.find("application_name") == nullptr);
  CHECK(first->bytes == std::string("S\0\0\0\x11TimeZone\0UTC\0", 18));
  CHECK(book.learn(neutral, reported("UTC")) == first);
  CHECK(book.learn(neutral, reported("Asia/Tokyo")) != first);
  book.learn(other, reported("UTC"));
  book.forget(other);
  CHECK(book.greeting_for(other) == nullptr);
  CHECK(book.greeting_for(neutral) != nullptr);
  book.forget_greetings();
  CHECK(book.greeting_for(neutral) == nullptr);
  CHECK(book.flavour_of({}) == neutral);
}

TEST_CASE("flavours that nobody uses are forgotten, the one asked for longest ago first") {
  GreetingBook book(4);
  const auto number_of = [&](const std::string& value) {
    return book.flavour_of(settings({{"app.x", value}}))->number;
  };
  const auto used = book.flavour_of(settings({{"app.x", "used"}}));
  const uint32_t a = number_of("a"), b = number_of("b");
  book.learn(book.find(a), reported("UTC"));
  CHECK(number_of("a") == a);
  const uint32_t c = number_of("c");
  CHECK(book.find(b) == nullptr);
  CHECK(number_of("a") == a);
  CHECK(number_of("c") == c);
  CHECK(number_of("used") == used->number);
  CHECK(number_of("b") > c);
  CHECK(book.flavour_of({})->number == 0);
}

TEST_CASE("what is in use is kept, however much that is, and a greeting counts as use") {
  GreetingBook book(2);
  std::vector<GreetingPtr> greetings;
  greetings.reserve(10);
  for (int i = 0; i < 10; ++i)
    greetings.push_back(
        book.learn(book.flavour_of(settings({{"app.x", std::to_string(i)}})), reported("UTC")));
  for (int i = 0; i < 10; ++i) {
    const auto flavour = book.flavour_of(settings({{"app.x", std::to_string(i)}}));
    CHECK(flavour == greetings[static_cast<size_t>(i)]->flavour);
  }
}

TEST_CASE(
    "what a server tells of itself is told to all who were told otherwise, and ask for nothing of their "
    "own") {
  GreetingBook book;
  const auto plain = book.flavour_of({}), other = book.flavour_of(settings({{"app.x", "1"}}));
  const auto own = book.flavour_of(settings({{"timezone", "UTC"}}));
  for (const auto& flavour : {plain, other, own}) book.learn(flavour, reported("UTC"));
  const auto zone_of = [&](const FlavourPtr& flavour) {
    return *book.greeting_for(flavour)->told.find("TimeZone");
  };
  const auto before = book.greeting_for(plain);
  book.change("TimeZone", "Asia/Tokyo", "Europe/Berlin");
  CHECK(book.greeting_for(plain) == before);
  book.change("TimeZone", "UTC", "Europe/Berlin");
  CHECK(zone_of(plain) == "Europe/Berlin");
  CHECK(zone_of(other) == "Europe/Berlin");
  CHECK(zone_of(own) == "UTC");
  CHECK(*before->told.find("TimeZone") == "UTC");
}

TEST_CASE("a book knows whether clients are told that they reach a standby") {
  GreetingBook book;
  CHECK_FALSE(book.tells_of_standby());
  ParameterMap standby = reported("UTC");
  standby.set("in_hot_standby", "on");
  book.learn(book.flavour_of(settings({{"app.x", "1"}})), standby);
  CHECK(book.tells_of_standby());
  book.change("in_hot_standby", "on", "off");
  CHECK_FALSE(book.tells_of_standby());
}

}  // namespace
}  // namespace tidepool::session
