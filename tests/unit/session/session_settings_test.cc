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
  // In its startup packet. `reported`: the server says so, by the name that is in it.
  Session& begins_with(std::string_view name, std::string_view value, std::string_view reported_name = "",
                       std::string_view reported = "") {
    auto more = std::make_shared<StartupFlavour>(*greeting.flavour);
    more->settings.add(name, value);
    greeting.flavour = std::move(more);
    if (!reported_name.empty()) greeting.told.set(reported_name, reported);
    return *this;
  }
  Session& carries(const Entries& entries) {
    carried = std::make_shared<const ParameterMap>(map(entries));
    return *this;
  }
  static Greeting plain() {
    Greeting greeting;
    greeting.flavour = std::make_shared<StartupFlavour>();
    return greeting;
  }
  WantedSettings wanted() const { return {greeting, application_name, carried.get()}; }
  std::string brings(ParameterMap& applied, const ParameterMap& base) const {
    return words(wanted().changes_on(applied, base));
  }

  Greeting greeting = plain();
  std::string application_name = "shop";
  CarriedSettings carried;
};

const ParameterMap kBase =
    map({{"application_name", "shop"}, {"DateStyle", "ISO, MDY"}, {"TimeZone", "UTC"}});

// -- Bringing a server to a session's settings

TEST_CASE("a server that was dialed with a session's settings needs nothing") {
  Session session;
  session.begins_with("DateStyle", "iso", "DateStyle", "ISO, MDY").begins_with("search_path", "a");
  ParameterMap applied;
  CHECK(session.brings(applied, kBase) == "");
  CHECK(applied.entries().empty());
}

TEST_CASE("what is missing is set once, and not again for the same session") {
  Session session;
  session.application_name = "mine";
  session.carries({{"app.user", "5"}, {"search_path", "a, b"}});
  ParameterMap applied;
  CHECK(session.brings(applied, kBase) == "app.user=5; application_name=mine; search_path=a, b");
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

TEST_CASE("half a value means what the server completed it to") {
  Session half, dmy;
  half.begins_with("datestyle", "ISO", "DateStyle", "ISO, MDY");
  dmy.carries({{"datestyle", "SQL, DMY"}});
  ParameterMap applied;
  dmy.brings(applied, kBase);
  CHECK(half.brings(applied, kBase) == "datestyle");
  CHECK(words(parse_settings_between(dmy.wanted().parse_settings()->fingerprint,
                                     half.wanted().parse_settings()->fingerprint)) == "datestyle=ISO, MDY");
}

TEST_CASE("an application_name that was SET stands for the session's own") {
  Session session;
  session.application_name = "mine";
  session.carries({{"application_name", "by SET"}});
  ParameterMap applied;
  CHECK(session.brings(applied, kBase) == "application_name=by SET");
}

TEST_CASE("a role ends before anything is set, and begins when all is") {
  Session plain, worker, other, both;
  plain.carries({{"work_mem", "1MB"}});
  worker.carries({{"role", "worker"}, {"work_mem", "2MB"}});
  other.carries({{"role", "other"}, {"work_mem", "2MB"}});
  both.carries({{"role", "worker"}, {"session_authorization", "other"}, {"work_mem", "2MB"}});
  ParameterMap applied;
  CHECK(worker.brings(applied, kBase) == "work_mem=2MB; role=worker");
  CHECK(other.brings(applied, kBase) == "role; role=other");
  CHECK(plain.brings(applied, kBase) == "role; work_mem=1MB");
  CHECK(both.brings(applied, kBase) == "work_mem=2MB; session_authorization=other; role=worker");
  // The session authorization takes the role back: both begin anew.
  CHECK(worker.brings(applied, kBase) == "session_authorization; role; role=worker");
  ParameterMap again;
  CHECK(both.brings(again, kBase) == "work_mem=2MB; session_authorization=other; role=worker");
  CHECK(plain.brings(again, kBase) == "session_authorization; role; work_mem=1MB");
}

TEST_CASE("a role that stays ends for the moment in which something is set, which it may not be allowed to") {
  Session one, two;
  one.carries({{"role", "worker"}, {"log_statement", "all"}});
  two.carries({{"role", "worker"}, {"log_statement", "none"}});
  ParameterMap applied;
  one.brings(applied, kBase);
  CHECK(two.brings(applied, kBase) == "role; log_statement=none; role=worker");
  CHECK(two.brings(applied, kBase) == "");
}

TEST_CASE("so does the role of the startup packet") {
  Session session;
  session.begins_with("role", "worker");
  ParameterMap applied;
  CHECK(session.brings(applied, kBase) == "");
  session.application_name = "mine";
  CHECK(session.brings(applied, kBase) == "application_name=mine");
  session.carries({{"work_mem", "1MB"}});
  CHECK(session.brings(applied, kBase) == "role=none; work_mem=1MB; role");
  CHECK(session.brings(applied, kBase) == "");
  session.carries({{"work_mem", "1MB"}, {"role", "none"}});
  CHECK(session.brings(applied, kBase) == "role=none");
  session.carries({{"work_mem", "2MB"}, {"role", "other"}});
  CHECK(session.brings(applied, kBase) == "role; role=none; work_mem=2MB; role=other");
  session.carries({{"work_mem", "2MB"}, {"role", "none"}, {"session_authorization", "other"}});
  CHECK(session.brings(applied, kBase) == "role; session_authorization=other; role=none");
  // A role that another user was not given, as RESET ROLE leaves it.
  session.carries({{"work_mem", "2MB"}, {"role", "worker"}, {"session_authorization", "other"}});
  CHECK(session.brings(applied, kBase) == "session_authorization; role; session_authorization=other; role");
  session.carries({{"work_mem", "2MB"}});
  CHECK(session.brings(applied, kBase) == "session_authorization; role");
}

TEST_CASE("an application_name is UTF-8 if it can be; what a server told is") {
  Session session;
  session.carries({{"app.d", "\xe4"}});
  for (const auto& [name, is_utf8] : {std::pair("\xc3\xa4", true), {"\xe4", false}, {"\xc3", false}}) {
    session.application_name = name;
    ParameterMap applied;
    std::string utf8;
    for (const auto& change : session.wanted().changes_on(applied, kBase))
      if (change.is_utf8) utf8 += change.name + " ";
    CHECK(utf8 == (is_utf8 ? "app.d application_name " : "app.d "));
  }
}

// -- What a text means

TEST_CASE("a fingerprint is of what PostgreSQL's parser may look at") {
  Session session, same;
  session.begins_with("DateStyle", "ISO", "DateStyle", "ISO, MDY")
      .carries({{"app.user", "5"}, {"search_path", "a"}});
  same.begins_with("datestyle", "ISO", "DateStyle", "ISO, MDY")
      .carries({{"app.user", "6"}, {"search_path", "a"}});
  same.application_name = "other";
  CHECK(session.wanted().parse_settings()->fingerprint == same.wanted().parse_settings()->fingerprint);
  same.carries({{"search_path", "b"}});
  CHECK(session.wanted().parse_settings()->fingerprint != same.wanted().parse_settings()->fingerprint);
  CHECK(Session().wanted().parse_settings()->fingerprint == "");
  Session joined, apart;
  joined.carries({{"a", "b"}, {"c", "d"}});
  apart.carries({{"a", std::string("b\0c\0d", 5)}});
  CHECK(joined.wanted().parse_settings()->fingerprint == std::string("a\0b\0c\0d\0", 8));
}

TEST_CASE("between two fingerprints only what changes the meaning of a text is set, the encoding last") {
  Session one, two;
  one.carries({{"datestyle", "SQL, DMY"}, {"work_mem", "1MB"}, {"client_encoding", "LATIN1"}});
  two.carries({{"timezone", "Asia/Tokyo"}, {"work_mem", "2MB"}, {"client_encoding", "UTF8"}});
  const auto between = [](const Session& from, const Session& to) {
    return words(parse_settings_between(from.wanted().parse_settings()->fingerprint,
                                        to.wanted().parse_settings()->fingerprint));
  };
  CHECK(between(one, two) == "datestyle; timezone=Asia/Tokyo; client_encoding=UTF8");
  CHECK(between(two, one) == "datestyle=SQL, DMY; timezone; client_encoding=LATIN1");
  CHECK(between(one, one) == "");
  CHECK(between(Session(), Session()) == "");
  // From whatever it is: all of them.
  CHECK(parse_settings_between({}, one.wanted().parse_settings()->fingerprint).size() == 11);
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
    session.carried = carried_after(session.carried, *session.greeting.flavour, watch, state, base, applied);
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

TEST_CASE("what a session began with is not carried, and anything else is") {
  Session session;
  session.begins_with("app.user", "42").begins_with("role", "worker");
  ParameterMap applied;
  SUBCASE("a RESET of a custom setting") {
    CHECK(Asked("set app.user to '43'").told("app.user", "43").leaves(session, applied) == "app.user=43");
    CHECK(Asked("reset app.user").told("app.user", "42").told("role", "worker").leaves(session, applied) ==
          "");
    CHECK(applied.entries().empty());
  }
  SUBCASE("a SET of a custom setting to nothing") {
    CHECK(Asked("set app.user to ''").told("app.user", "").told("role", "worker").leaves(session, applied) ==
          "app.user=");
    CHECK(session.brings(applied, kBase) == "");
  }
  SUBCASE("RESET ALL; RESET ROLE in one text") {
    CHECK(Asked("set role none").told("role", "none").leaves(session, applied) == "role=none");
    CHECK(Asked("reset all; reset role")
              .told("app.user", "42")
              .told("role", "worker")
              .leaves(session, applied) == "");
    CHECK(applied.entries().empty());
  }
  SUBCASE("RESET ALL leaves the role as it is") {
    CHECK(Asked("set role none").told("role", "none").leaves(session, applied) == "role=none");
    CHECK(Asked("reset all").told("app.user", "42").told("role", "none").leaves(session, applied) ==
          "role=none");
  }
  SUBCASE("SET ROLE none") {
    CHECK(Asked("set role none").told("role", "none").leaves(session, applied) == "role=none");
    CHECK(session.brings(applied, kBase) == "");
  }
  SUBCASE("another user has no role, which is carried beside it") {
    const ParameterMap base = map({{"session_authorization", "login"}, {"application_name", "shop"}});
    CHECK(Asked("set session authorization guest")
              .told("role", "none")
              .told("session_authorization", "guest")
              .leaves(session, applied, base) == "role=none; session_authorization=guest");
    CHECK(Asked("reset session authorization")
              .told("role", "worker")
              .told("session_authorization", "login")
              .leaves(session, applied, base) == "");
    CHECK(applied.entries().empty());
  }
  SUBCASE("a SET to what it began with") {
    CHECK(Asked("set app.user to '42'").told("app.user", "42").leaves(session, applied) == "");
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
            .leaves(session, applied, base) == "role=none; session_authorization=worker");
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
