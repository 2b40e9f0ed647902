// How servers are brought from one session's settings to the next one's, and what a session carries on.
#include "lib/session/session_settings.h"

#include <doctest/doctest.h>

namespace tidepool::session {
namespace {

using Entries = std::vector<ParameterMap::Entry>;

ParameterMap map(const Entries& entries) {
  ParameterMap made;
  for (const auto& [name, value] : entries) made.set(name, value);
  return made;
}

// "name=value" for each change, "name" for one that is reset; in order.
std::string words(const SettingChanges& changes) {
  std::string text;
  for (const auto& change : changes)
    text += (text.empty() ? "" : "; ") + change.name + (change.value ? "=" + *change.value : "");
  return text;
}

struct Session {
  // `reported`: the server reports it.
  Session& wishes(std::string_view name, std::string_view value, std::string_view reported_name = "",
                  std::string_view reported = "") {
    greeting.wishes.push_back(
        {{std::string(name), std::string(value)}, std::string(reported_name), std::string(reported)});
    return *this;
  }
  Session& carries(const Entries& entries) {
    carried = std::make_shared<const ParameterMap>(map(entries));
    return *this;
  }
  WantedSettings wanted() const { return {greeting, application_name, carried.get()}; }
  std::string brings(ParameterMap& applied, const ParameterMap& base) const {
    return words(wanted().changes_on(applied, base));
  }

  Greeting greeting;
  std::string application_name = "shop";
  CarriedSettings carried;
};

const ParameterMap kBase =
    map({{"application_name", "shop"}, {"DateStyle", "ISO, MDY"}, {"TimeZone", "UTC"}});

// -- Bringing a server to a session's settings

TEST_CASE("a server that has all by itself needs nothing") {
  Session session;
  session.wishes("DateStyle", "iso", "DateStyle", "ISO, MDY").wishes("timezone", "utc", "TimeZone", "UTC");
  ParameterMap applied;
  CHECK(session.brings(applied, kBase) == "");
  CHECK(applied.entries().empty());
}

TEST_CASE("what is missing is set once, and not again for the same session") {
  Session session;
  session.wishes("search_path", "a, b").wishes("TimeZone", "Asia/Tokyo", "TimeZone", "Asia/Tokyo");
  session.application_name = "mine";
  session.carries({{"app.user", "5"}});
  ParameterMap applied;
  CHECK(session.brings(applied, kBase) ==
        "app.user=5; application_name=mine; search_path=a, b; timezone=Asia/Tokyo");
  CHECK(session.brings(applied, kBase) == "");
}

TEST_CASE("from one session to the next: the fewest changes") {
  Session one, two;
  one.carries({{"app.user", "1"}, {"work_mem", "1MB"}, {"timezone", "Asia/Tokyo"}});
  two.carries({{"app.user", "2"}, {"work_mem", "1MB"}, {"search_path", "b"}});
  ParameterMap applied;
  one.brings(applied, kBase);
  CHECK(two.brings(applied, kBase) == "timezone; app.user=2; search_path=b");
  CHECK(one.brings(applied, kBase) == "search_path; app.user=1; timezone=Asia/Tokyo");
  CHECK(Session().brings(applied, kBase) == "app.user; timezone; work_mem");
  CHECK(applied.entries().empty());
}

TEST_CASE("what a server has is never taken for what it had before, by its version") {
  Session plain, one, two;
  one.carries({{"search_path", "a"}});
  two.carries({{"search_path", "a"}, {"work_mem", "1MB"}});
  ParameterMap applied;
  one.brings(applied, kBase);
  applied.erase("search_path");  // the client has RESET it
  const uint64_t empty = applied.version();
  CHECK(plain.brings(applied, kBase) == "");
  CHECK(applied.version() == empty);
  two.brings(applied, kBase);
  CHECK(applied.version() > empty);
}

TEST_CASE("half a value is set as the server completed it") {
  Session half, dmy;
  half.wishes("datestyle", "ISO", "DateStyle", "ISO, MDY");
  dmy.carries({{"datestyle", "SQL, DMY"}});
  ParameterMap applied;
  dmy.brings(applied, kBase);
  CHECK(half.brings(applied, kBase) == "datestyle=ISO, MDY");
  CHECK(words(parse_settings_between(dmy.wanted().fingerprint(), half.wanted().fingerprint())) ==
        "datestyle=ISO, MDY");
}

TEST_CASE("what a session carries stands for its wish of the same name") {
  Session session;
  session.wishes("DateStyle", "German", "DateStyle", "German, DMY").carries({{"datestyle", "ISO, MDY"}});
  ParameterMap applied;
  CHECK(session.brings(applied, kBase) == "datestyle=ISO, MDY");
  session.wishes("Application_Name", "x")
      .carries({{"application_name", "by SET"}, {"datestyle", "ISO, MDY"}});
  CHECK(session.brings(applied, kBase) == "application_name=by SET");
}

TEST_CASE("a role ends before anything is set, and begins when all is") {
  Session plain, worker, other, both;
  plain.carries({{"work_mem", "1MB"}});
  worker.carries({{"role", "worker"}, {"work_mem", "2MB"}});
  other.carries({{"role", "other"}, {"work_mem", "2MB"}});
  both.carries({{"role", "worker"}, {"session_authorization", "other"}, {"work_mem", "2MB"}});
  ParameterMap applied;
  CHECK(worker.brings(applied, kBase) == "role=worker; work_mem=2MB");
  CHECK(other.brings(applied, kBase) == "role; role=other");
  CHECK(plain.brings(applied, kBase) == "role; work_mem=1MB");
  CHECK(both.brings(applied, kBase) == "role=worker; session_authorization=other; work_mem=2MB");
  // The session authorization takes the role back: both begin anew.
  CHECK(worker.brings(applied, kBase) == "session_authorization; role; role=worker");
  const auto order = [](const SettingChanges& changes) {
    std::string all;
    for (const auto& statement : statements_that_change(changes))
      for (size_t i = 0; i < statement.parameters.size(); i += 2)
        all += std::string(*statement.parameters[i]) + (statement.parameters[i + 1] ? "+ " : "- ");
    return all;
  };
  ParameterMap again;
  CHECK(order(both.wanted().changes_on(again, kBase)) == "work_mem+ session_authorization+ role+ ");
  CHECK(order(plain.wanted().changes_on(again, kBase)) == "session_authorization- role- work_mem+ ");
}

TEST_CASE("values that the client gave are UTF-8 if they can be; those that a server told are") {
  Session session;
  session.application_name = "shop";
  session.wishes("app.a", "\xc3\xa4")
      .wishes("app.b", "\xe4")
      .wishes("app.c", "\xc3")
      .carries({{"app.d", "\xe4"}});
  ParameterMap applied;
  std::string utf8;
  for (const auto& change : session.wanted().changes_on(applied, kBase))
    if (change.is_utf8) utf8 += change.name + " ";
  CHECK(utf8 == "app.a app.d ");
}

// -- What a text means

TEST_CASE("a fingerprint is of what PostgreSQL's parser may look at") {
  Session session, same;
  session.wishes("DateStyle", "ISO", "DateStyle", "ISO, MDY")
      .carries({{"app.user", "5"}, {"search_path", "a"}});
  same.wishes("datestyle", "ISO", "DateStyle", "ISO, MDY").carries({{"app.user", "6"}, {"search_path", "a"}});
  same.application_name = "other";
  CHECK(session.wanted().fingerprint() == same.wanted().fingerprint());
  same.carries({{"search_path", "b"}});
  CHECK(session.wanted().fingerprint() != same.wanted().fingerprint());
  CHECK(Session().wanted().fingerprint() == "");
  Session joined, apart;
  joined.carries({{"a", "b"}, {"c", "d"}});
  apart.carries({{"a", std::string("b\0c\0d", 5)}});
  CHECK(joined.wanted().fingerprint() == std::string("a\0b\0c\0d\0", 8));
}

TEST_CASE("between two fingerprints only what changes the meaning of a text is set, the encoding last") {
  Session one, two;
  one.carries({{"datestyle", "SQL, DMY"}, {"work_mem", "1MB"}, {"client_encoding", "LATIN1"}});
  two.carries({{"timezone", "Asia/Tokyo"}, {"work_mem", "2MB"}, {"client_encoding", "UTF8"}});
  const auto between = [](const Session& from, const Session& to) {
    return words(parse_settings_between(from.wanted().fingerprint(), to.wanted().fingerprint()));
  };
  CHECK(between(one, two) == "datestyle; timezone=Asia/Tokyo; client_encoding=UTF8");
  CHECK(between(two, one) == "datestyle=SQL, DMY; timezone; client_encoding=LATIN1");
  CHECK(between(one, one) == "");
  CHECK(between(Session(), Session()) == "");
  // From whatever it is: all of them.
  CHECK(parse_settings_between({}, one.wanted().fingerprint()).size() == 11);
}

// -- What a session has SET

struct Asked {
  explicit Asked(std::string_view sql) { REQUIRE_FALSE(watch.note(sql::classify(sql, {}), sql, {})); }
  Asked& has(std::string_view name, std::string_view value) {
    state.settings.push_back({std::string(name), std::string(value)});
    return *this;
  }
  Asked& told(std::string_view name, std::optional<std::string> value) {
    state.asked.push_back({std::string(name), std::move(value)});
    return *this;
  }
  // "name=value; ..." of what the session carries then.
  std::string leaves(Session& session, ParameterMap& applied, const ParameterMap& base = kBase) {
    session.carried = carried_after(session.carried, session.greeting, watch, state, base, applied);
    if (!session.carried) return "";
    std::string text;
    for (const auto& [name, value] : session.carried->entries())
      text += (text.empty() ? "" : "; ") + name + "=" + value;
    return text;
  }

  SessionWatch watch;
  SessionState state;
};

TEST_CASE("what is parsed again later is so by the settings of then, but for its letters") {
  const std::string before("client_encoding\0LATIN1\0datestyle\0ISO\0", 37),
      now("datestyle\0SQL\0work_mem\0001MB\0", 27);
  CHECK(with_letters_of(before, now) == std::string("client_encoding\0LATIN1\0", 23) + now);
  CHECK(with_letters_of(now, before) == std::string("datestyle\0ISO\0", 14));
  CHECK(literals_in(before) == std::string("datestyle\0ISO\0", 14));
  CHECK(literals_in(now) == std::string("datestyle\0SQL\0", 14));
}

TEST_CASE("what was SET is carried, and the server counts as having it") {
  Session session;
  ParameterMap applied;
  CHECK(Asked("set work_mem to '1MB'").has("work_mem", "1024").leaves(session, applied) == "work_mem=1024");
  CHECK(applied == map({{"work_mem", "1024"}}));
  CHECK(session.brings(applied, kBase) == "");
  CHECK(Asked("set app.user to '5'").has("work_mem", "1024").told("app.user", "5").leaves(session, applied) ==
        "app.user=5; work_mem=1024");
  CHECK(Asked("set work_mem to '2MB'").has("work_mem", "2048").leaves(session, applied) ==
        "app.user=5; work_mem=2048");
}

TEST_CASE(
    "what was not asked for is not carried: the server has it of this session's settings, or of nobody") {
  Session session;
  ParameterMap applied = map({{"search_path", "a"}});
  CHECK(Asked("set work_mem to '1MB'")
            .has("work_mem", "1024")
            .has("search_path", "a")
            .leaves(session, applied) == "work_mem=1024");
}

TEST_CASE("what a rollback took back is not carried") {
  Session session;
  ParameterMap applied;
  CHECK(Asked("set work_mem to '1MB'").leaves(session, applied) == "");
  session.carries({{"work_mem", "1024"}});
  applied = map({{"work_mem", "1024"}});
  CHECK(Asked("set work_mem to '2MB'").has("work_mem", "1024").leaves(session, applied) == "work_mem=1024");
}

TEST_CASE("RESET, and RESET ALL, leave the server's own value") {
  Session session;
  session.carries({{"app.user", "5"}, {"search_path", "a"}, {"work_mem", "1024"}});
  ParameterMap applied = *session.carried;
  CHECK(Asked("reset work_mem").has("search_path", "a").told("app.user", "5").leaves(session, applied) ==
        "app.user=5; search_path=a");
  CHECK(applied.find("work_mem") == nullptr);
  CHECK(Asked("reset all").told("app.user", "").leaves(session, applied) == "app.user=");
  CHECK(applied.find("search_path") == nullptr);
}

TEST_CASE("a wish comes back after a RESET, and stays away after a SET to the server's own value") {
  Session session;
  session.wishes("app.user", "42").wishes("role", "worker");
  ParameterMap applied = map({{"app.user", "42"}, {"role", "worker"}});
  SUBCASE("a RESET of a custom setting") {
    CHECK(Asked("reset app.user").told("app.user", "").told("role", "worker").leaves(session, applied) == "");
    CHECK(session.brings(applied, map({{"application_name", "shop"}})) == "app.user=42");
  }
  SUBCASE("a SET of a custom setting to nothing") {
    CHECK(Asked("set app.user to ''").told("app.user", "").told("role", "worker").leaves(session, applied) ==
          "app.user=");
    CHECK(session.brings(applied, kBase) == "");
  }
  SUBCASE("a RESET of the role") {
    CHECK(Asked("reset role").told("role", "none").leaves(session, applied) == "");
    CHECK(session.brings(applied, kBase) == "role=worker");
  }
  SUBCASE("RESET ALL leaves the role as it is") {
    CHECK(Asked("set role none").told("role", "none").leaves(session, applied) == "role=none");
    CHECK(Asked("reset all").told("role", "none").leaves(session, applied) == "role=none");
  }
  SUBCASE("DISCARD ALL does not") {
    CHECK(Asked("set role none").told("role", "none").leaves(session, applied) == "role=none");
    CHECK(Asked("discard all").told("app.user", "").told("role", "none").leaves(session, applied) == "");
    CHECK(session.brings(applied, kBase) == "app.user=42; role=worker");
  }
  SUBCASE("SET ROLE none") {
    CHECK(Asked("set role none").told("role", "none").leaves(session, applied) == "role=none");
    CHECK(session.brings(applied, kBase) == "");
  }
  SUBCASE("a SET to the wish itself") {
    CHECK(Asked("set app.user to '42'").told("app.user", "42").leaves(session, applied) == "");
  }
  SUBCASE("a SET to something else") {
    CHECK(Asked("set app.user to '43'").told("app.user", "43").leaves(session, applied) == "app.user=43");
    CHECK(session.brings(applied, kBase) == "");
  }
}

TEST_CASE("a role of one's own, and none again") {
  Session session;
  ParameterMap applied;
  CHECK(Asked("set role worker").told("role", "worker").leaves(session, applied) == "role=worker");
  CHECK(Asked("set role none").told("role", "none").leaves(session, applied) == "");
  CHECK(applied.entries().empty());
}

TEST_CASE("a session authorization, and the login's own again") {
  const ParameterMap base = map({{"session_authorization", "login"}, {"application_name", "shop"}});
  Session session;
  ParameterMap applied;
  CHECK(Asked("set session authorization worker")
            .told("role", "none")
            .told("session_authorization", "worker")
            .leaves(session, applied, base) == "session_authorization=worker");
  CHECK(Asked("reset session authorization")
            .told("role", "none")
            .told("session_authorization", "login")
            .leaves(session, applied, base) == "");
  CHECK(applied.entries().empty());
}

TEST_CASE("a custom setting that is not there any more") {
  Session session;
  session.carries({{"app.user", "5"}});
  ParameterMap applied = *session.carried;
  CHECK(Asked("set app.user to '6'").told("app.user", std::nullopt).leaves(session, applied) == "");
  CHECK(session.carried == nullptr);
}

TEST_CASE("names are compared ignoring case") {
  Session session;
  ParameterMap applied;
  CHECK(Asked("set \"App.User\" to '5'").told("app.user", "5").leaves(session, applied) == "app.user=5");
  CHECK(Asked("set DateStyle to 'ISO'").has("datestyle", "ISO, MDY").leaves(session, applied) ==
        "app.user=5; datestyle=ISO, MDY");
}

}  // namespace
}  // namespace tidepool::session
