#include "daemon/conninfo.h"

#include <doctest/doctest.h>
#include <libpq-fe.h>
#include <pwd.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

namespace tidepool::daemon {
namespace {

DialPlan plan(const std::string& conninfo) {
  auto planned = plan_dial(conninfo);
  if (!planned) FAIL(planned.error().message);
  return *planned;
}

std::string mistake(const std::string& conninfo) {
  const auto summary = summarize_conninfo(conninfo);
  return summary ? "none" : summary.error().message;
}

std::string option(const DialPlan& of, const std::string& key) {
  for (const auto& [name, value] : of.options) {
    if (name == key) return value;
  }
  return "";
}

TEST_CASE("a conninfo and a URI are summarized alike") {
  for (const char* conninfo :
       {"host=a,b port=1,2 user=app dbname=orders", "postgresql://app@a:1,b:2/orders"}) {
    const auto summary = summarize_conninfo(conninfo);
    REQUIRE(summary);
    CHECK(summary->host == "a,b");
    CHECK(summary->port == "1,2");
    CHECK(summary->user == "app");
    CHECK(summary->database == "orders");
  }
}

TEST_CASE("the user is the operating system's if none is given, and the database is the user's") {
  const auto summary = summarize_conninfo("host=/tmp");
  REQUIRE(summary);
  CHECK(summary->user == getpwuid(geteuid())->pw_name);
  CHECK(summary->database == summary->user);
  CHECK(summarize_conninfo("user=app")->database == "app");
  CHECK(summarize_conninfo(""));
}

TEST_CASE("what a service file says counts where the conninfo says nothing") {
  std::string folder = "/tmp/tidepool-conninfo-XXXXXX";
  REQUIRE(mkdtemp(folder.data()));
  const std::string file = folder + "/services";
  std::ofstream(file) << "[ours]\nuser=app\ndbname=orders\nhost=a,b\ntarget_session_attrs=read-write\n"
                      << "[encrypted]\ngssencmode=nonsense\n";
  setenv("PGSERVICEFILE", file.c_str(), 1);
  const auto planned = plan("service=ours dbname=other");
  CHECK(planned.summary.user == "app");
  CHECK(planned.summary.database == "other");
  CHECK(planned.targets.size() == 2);
  CHECK(planned.target_session_attrs == "read-write");
  CHECK(option(planned, "service").empty());
  CHECK(mistake("service=theirs") == "definition of service \"theirs\" not found");
  CHECK(mistake("service=encrypted") == "invalid gssencmode value: \"nonsense\"");
  unsetenv("PGSERVICEFILE");
  std::filesystem::remove_all(folder);
}

TEST_CASE("hosts, addresses and ports go together as in libpq") {
  auto targets = plan("host=a,,c hostaddr=,127.0.0.1, port=7,,9").targets;
  REQUIRE(targets.size() == 3);
  CHECK(targets[0].host == "a");
  CHECK(targets[0].hostaddr.empty());
  CHECK(targets[1].hostaddr == "127.0.0.1");
  CHECK(targets[1].port.empty());
  CHECK(targets[2].host == "c");
  CHECK(targets[2].port == "9");

  targets = plan("host=a,b port=7").targets;
  CHECK(targets[1].port == "7");
  CHECK(plan("").targets.size() == 1);
  CHECK(plan("hostaddr=127.0.0.1,127.0.0.2").targets[1].host.empty());
}

TEST_CASE("mistakes are told in libpq's words") {
  CHECK(mistake("hst=a") == "invalid connection option \"hst\"");
  CHECK(mistake("orders") == "missing \"=\" after \"orders\" in connection info string");
  CHECK(mistake("postgresql://a:b:c") != "none");
  CHECK(mistake("postgresql://h/d?nonsense=1") == "invalid URI query parameter: \"nonsense\"");
  CHECK(mistake("host=a,b port=1,2,3") == "could not match 3 port numbers to 2 hosts");
  CHECK(mistake("port=x") == "invalid integer value \"x\" for connection option \"port\"");
  CHECK(mistake("port=70000") == "invalid port number: \"70000\"");
  CHECK(mistake("sslmode=x") == "invalid sslmode value: \"x\"");
  CHECK(mistake("target_session_attrs=x") == "invalid target_session_attrs value: \"x\"");
  CHECK(mistake("connect_timeout=x") ==
        "invalid integer value \"x\" for connection option \"connect_timeout\"");
}

// What libpq 16, 17 and 18 added: a key, a value that is right, and one that is not (nullptr: there is none).
struct NewKey {
  int since;
  const char *key, *right, *wrong, *besides;
};
constexpr NewKey kNewKeys[] = {
    {160000, "load_balance_hosts", "random", "x", ""},
    {160000, "require_auth", "scram-sha-256", "x", ""},
    {160000, "sslcertmode", "disable", "x", ""},
    {160000, "gssdelegation", "0", nullptr, ""},
    {170000, "sslnegotiation", "direct", "x", " sslmode=require"},
    {180000, "min_protocol_version", "3.0", "x", ""},
    {180000, "max_protocol_version", "latest", "x", ""},
    {180000, "sslkeylogfile", "/nowhere", nullptr, ""},
};

TEST_CASE("what libpq 16 to 18 added is taken where it is known, looked at, and a mistake elsewhere") {
  for (const NewKey& added : kNewKeys) {
    const std::string name = added.key;
    CAPTURE(name);
    const auto with = [&](const char* value) { return name + "=" + value + added.besides; };
    if (PQlibVersion() < added.since) {
      CHECK(mistake(with(added.right)) == "invalid connection option \"" + name + "\"");
      continue;
    }
    CHECK(mistake(with(added.right)) == "none");
    if (added.wrong)
      CHECK(mistake(with(added.wrong)) == "invalid " + name + " value: \"" + added.wrong + "\"");
    const auto planned = plan(with(added.right));
    CHECK(planned.summary.shuffles_hosts == (name == "load_balance_hosts"));
    if (!planned.summary.shuffles_hosts) CHECK(option(planned, name) == added.right);
  }
}

TEST_CASE("connections that cannot be pooled are refused") {
  CHECK(mistake("gssencmode=require").starts_with("gssencmode=require: "));
  CHECK(mistake("replication=database").starts_with("replication: "));
  CHECK(option(plan("gssencmode=prefer"), "gssencmode") == "disable");
  CHECK(option(plan(""), "gssencmode") == "disable");
}

TEST_CASE("connect_timeout is each address's time, within reason") {
  CHECK(plan("").time_limit == kDefaultTimeLimit);
  CHECK(plan("connect_timeout=1").time_limit == std::chrono::seconds(1));
  CHECK(plan("connect_timeout=' 7 '").time_limit == std::chrono::seconds(7));
  CHECK(plan("connect_timeout=0").time_limit == kLongestTimeLimit);
  CHECK(plan("connect_timeout=-1").time_limit == kLongestTimeLimit);
  CHECK(plan("connect_timeout=1000000").time_limit == kLongestTimeLimit);
}

TEST_CASE("nothing of the environment is left for libpq but the places of files") {
  for (const char* name : {"PGHOST", "PGUSER", "PGDATABASE", "PGOPTIONS", "PGPASSWORD", "PGPASSFILE", "PGTZ",
                           "PGDATESTYLE", "PGGEQO", "PGREQUIRESSL", "PGAPPNAME", "PGCLIENTENCODING",
                           "PGSERVICE", "PGTARGETSESSIONATTRS", "PGSSLMODE"}) {
    setenv(name, "x", 1);
  }
  setenv("PGSERVICEFILE", "/nowhere", 1);
  setenv("PGSYSCONFDIR", "/nowhere", 1);
  forget_libpq_environment();
  for (const char* name : {"PGHOST", "PGUSER", "PGDATABASE", "PGOPTIONS", "PGPASSWORD", "PGPASSFILE", "PGTZ",
                           "PGDATESTYLE", "PGGEQO", "PGREQUIRESSL", "PGAPPNAME", "PGCLIENTENCODING",
                           "PGSERVICE", "PGTARGETSESSIONATTRS", "PGSSLMODE"}) {
    CAPTURE(name);
    CHECK_FALSE(getenv(name));
  }
  CHECK(getenv("PGSERVICEFILE"));
  CHECK(getenv("PGSYSCONFDIR"));
  CHECK(summarize_conninfo("")->host.empty());
  unsetenv("PGSERVICEFILE");
  unsetenv("PGSYSCONFDIR");
}

}  // namespace
}  // namespace tidepool::daemon
