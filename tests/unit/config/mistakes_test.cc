// Each bad text with the exact lines that an operator sees.
#include <cstdlib>

#include "tests/unit/config/loading.h"

namespace tidepool::config {
namespace {

TEST_CASE("a file without settings says what it needs") {
  const std::string words =
      "t.yaml:1:1: file: holds no settings; write at least \"listen:\" and \"pools:\", as in tidepool.yaml\n";
  CHECK(mistakes_in("") == words);
  CHECK(mistakes_in("# nothing\n") == words);
  CHECK(mistakes_in("---\n~\n") == words);
  CHECK(mistakes_in("just words\n") ==
        "t.yaml:1:1: file: is not a map of settings; write \"listen:\" and \"pools:\" with what belongs to "
        "them\n");
  CHECK(mistakes_in("- a\n") ==
        "t.yaml:1:1: file: is not a map of settings; write \"listen:\" and \"pools:\" with what belongs to "
        "them\n");
}

TEST_CASE("what is required and missing is named, with an example") {
  CHECK(mistakes_in("workers: 2\n") ==
        "t.yaml:1:1: listen: is missing; write a list, as in - {unix: /run/tidepool} or - {tcp: 127.0.0.1}\n"
        "t.yaml:1:1: pools: is missing; write a map of pools, as in orders: {conninfo: "
        "\"host=/var/run/postgresql dbname=orders "
        "user=app\"}\n");
  CHECK(mistakes_in("listen: []\npools: {}\n") ==
        "t.yaml:1:9: listen: is empty; write a list, as in - {unix: /run/tidepool} or - {tcp: 127.0.0.1}\n"
        "t.yaml:2:8: pools: is empty; write a map of pools, as in orders: {conninfo: "
        "\"host=/var/run/postgresql dbname=orders "
        "user=app\"}\n");
  CHECK(mistakes_in("listen:\npools: x\n") ==
        "t.yaml:1:1: listen: has no value; write a list, as in - {unix: /run/tidepool} or - {tcp: "
        "127.0.0.1}, or remove the key\n"
        "t.yaml:2:8: pools: is a single value; write a map of pools, as in orders: {conninfo: "
        "\"host=/var/run/postgresql "
        "dbname=orders user=app\"}\n");
  CHECK(mistakes_in("listen: [{unix: /x}]\npools:\n  a:\n  b: {}\n  c: 1\n") ==
        "t.yaml:3:3: pools.a: has no value; write its settings, conninfo at least, or remove the key\n"
        "t.yaml:4:3: pools.b.conninfo: is missing; write how to reach the server, as in "
        "\"host=/var/run/postgresql "
        "dbname=orders user=app\"\n"
        "t.yaml:5:6: pools.c: is a single value; write its settings, conninfo at least\n");
}

TEST_CASE("unknown keys get the nearest known one, or the section where they belong") {
  CHECK(mistakes_in(with_pool("max_szie: 5")) ==
        "t.yaml:5:5: pools.orders.max_szie: unknown setting; did you mean max_size?\n");
  CHECK(mistakes_in("listne: []\npool: {}\n") ==
        "t.yaml:1:1: listne: unknown setting; did you mean listen?\n"
        "t.yaml:2:1: pool: unknown setting; did you mean pools?\n");
  CHECK(mistakes_in(with_pool("\"\": 5"))
            .starts_with("t.yaml:5:5: pools.orders.\"\": unknown setting; write "));
  CHECK(mistakes_in("listen: [{unx: /x}]\npools: {a: {coninfo: x}}\n") ==
        "t.yaml:1:11: listen[0].unx: unknown setting; did you mean unix?\n"
        "t.yaml:2:13: pools.a.coninfo: unknown setting; did you mean conninfo?\n");
  CHECK(mistakes_in(with_sections("max_clients: 5")) ==
        "t.yaml:3:1: max_clients: unknown setting; it belongs in limits\n");
  CHECK(mistakes_in(with_pool("login_timeout: 5")) ==
        "t.yaml:5:5: pools.orders.login_timeout: unknown setting; it belongs in limits\n");
  CHECK(mistakes_in(with_sections("console: {admins: [x]}")) ==
        "t.yaml:3:11: console.admins: unknown setting; write users or peers\n");
  CHECK(mistakes_in(with_pool("<<: {max_size: 3}")) ==
        "t.yaml:5:5: pools.orders.<<: unknown setting; YAML's merge key has no meaning here: write the "
        "settings out\n");
}

TEST_CASE("repeated keys are mistakes, wherever they are") {
  CHECK(mistakes_in(with_pool("min_size: 5\n    min_size: 6")) ==
        "t.yaml:6:5: pools.orders.min_size: is written a second time (the first is in line 5); remove one\n");
  CHECK(mistakes_in(with_sections("pools: {}")) ==
        "t.yaml:3:1: pools: is written a second time (the first is in line 2); remove one\n");
  CHECK(mistakes_in(with_sections("users: {a: {password: x}, a: {password: y}}")) ==
        "t.yaml:3:27: users.a: is written a second time (the first is in line 3); remove one\n");
  CHECK(mistakes_in("listen: [{unix: /x, unix: /y}]\npools: {a: {conninfo: ''}, a: {conninfo: ''}}\n") ==
        "t.yaml:1:21: listen[0].unix: is written a second time (the first is in line 1); remove one\n"
        "t.yaml:2:28: pools.a: is written a second time (the first is in line 2); remove one\n");
}

TEST_CASE("every mistake of a file is reported, in its order") {
  CHECK(mistakes_in(R"(log: {level: loud, to: stdout}
pools:
  orders:
    max_size: many
    conninfo: "hots=/tmp user=app"
    timeout: 10m
    check: sometimes
    max_idle: [1]
    max_lifetime:
    orphans: {}
    server_application_name: "100%"
    reset: discard_al
workers: 0
listen:
  - {unix: run/t, port: 0, mode: 999, keepalive: 1}
)") == R"(t.yaml:1:14: log.level: "loud" is not known here; write trace, debug, info, warning or error
t.yaml:1:24: log.to: "stdout" is not known here; write stderr or journald, or the absolute path of a file
t.yaml:4:15: pools.orders.max_size: "many" is not a whole number; write a number from 1 to 262143
t.yaml:5:15: pools.orders.conninfo: invalid connection option "hots"; write what this libpq understands, as in "host=... dbname=... user=..."
t.yaml:6:14: pools.orders.timeout: "10m" could be minutes or milliseconds; write min or ms
t.yaml:7:12: pools.orders.check: "sometimes" is not a duration; write seconds, or a number with its unit as in 500ms, 30s, 10min, 1h, 1d (or never, or always)
t.yaml:8:15: pools.orders.max_idle: is a list; write a duration from 1ms to 365d, or 0
t.yaml:9:5: pools.orders.max_lifetime: has no value; write a duration from 1ms to 365d, or 0, or remove the key
t.yaml:10:14: pools.orders.orphans: is a map; write cancel or finish
t.yaml:11:30: pools.orders.server_application_name: "100%" has a % that means nothing here; write %a, %p, %u, %c, or %% for a percent sign
t.yaml:12:12: pools.orders.reset: "discard_al" is not known here; write discard_all, rollback, none or close (did you mean discard_all?), or SQL
t.yaml:13:10: workers: "0" is too small; write a number from 1 to 1024, or auto
t.yaml:15:12: listen[0].unix: "run/t" is not an absolute path; write the folder of the socket, as in /run/tidepool
t.yaml:15:25: listen[0].port: "0" is too small; write a number from 1 to 65535
t.yaml:15:34: listen[0].mode: "999" is not a file mode; write three octal digits, as for chmod: 0660, 0666 or 0600
t.yaml:15:39: listen[0].keepalive: means nothing for a Unix socket; remove it, or write it in an entry with tcp
)");
}

TEST_CASE("sizes have to fit each other, as in psycopg_pool") {
  CHECK(mistakes_in(with_pool("min_size: 5\n    max_size: 2")) ==
        "t.yaml:6:15: pools.orders.max_size: 2 is less than min_size (5); write 5 or more, or lower "
        "min_size\n");
  CHECK(mistakes_in(with_pool("max_size: 2")) ==
        "t.yaml:5:15: pools.orders.max_size: 2 is less than min_size, which is 4 if left out; write "
        "min_size: 2 or less beside it, "
        "or max_size: 4 or more\n");
  CHECK(mistakes_in(with_pool("min_size: 0")) ==
        "t.yaml:5:15: pools.orders.min_size: is 0 and max_size is left out, which makes a pool without "
        "connections; write max_size: 1 "
        "or more beside it\n");
  CHECK(mistakes_in(with_pool("min_size: 0\n    max_size: 0")) ==
        "t.yaml:6:15: pools.orders.max_size: \"0\" is too small; write a number from 1 to 262143\n");
  CHECK(mistakes_in(with_pool("min_size: -1")) ==
        "t.yaml:5:15: pools.orders.min_size: \"-1\" is negative; write a number from 0 to 262143\n");
  CHECK(mistakes_in(with_pool("min_size: x\n    max_size: 1")) ==
        "t.yaml:5:15: pools.orders.min_size: \"x\" is not a whole number; write a number from 0 to 262143\n");
  CHECK(mistakes_in(with_pool("min_size: 0\n    max_size: 1")) == "");
}

TEST_CASE("no more servers can be pinned than there may be") {
  CHECK(mistakes_in(with_pool("max_size: 6\n    max_pinned: 7")) ==
        "t.yaml:6:17: pools.orders.max_pinned: 7 is more than max_size (6); write 6 or less, or raise "
        "max_size\n");
  CHECK(mistakes_in(with_pool("max_pinned: 5")) ==
        "t.yaml:5:17: pools.orders.max_pinned: 5 is more than max_size (4); write 4 or less, or raise "
        "max_size\n");
  CHECK(mistakes_in(with_pool("max_pinned: -1")) ==
        "t.yaml:5:17: pools.orders.max_pinned: \"-1\" is negative; write a number from 0 to 262143\n");
  // What is wrong already is said once.
  CHECK(mistakes_in(with_pool("max_size: x\n    max_pinned: 7")) ==
        "t.yaml:5:15: pools.orders.max_size: \"x\" is not a whole number; write a number from 1 to 262143\n");
  CHECK(mistakes_in(with_pool("max_szie: 9\n    max_pinned: 7")) ==
        "t.yaml:5:5: pools.orders.max_szie: unknown setting; did you mean max_size?\n");
}

TEST_CASE("a mode is one of three, of the pool and of those of its users who are named") {
  CHECK(mistakes_in(with_pool("mode: transactions")) ==
        "t.yaml:5:11: pools.orders.mode: \"transactions\" is not known here; write session, transaction or "
        "statement (did you mean transaction?)\n");
  CHECK(mistakes_in(with_pool("users: [app, report, x]\n    user_modes: {report: sesion, '': session, app: "
                              "[session], x:, repotr: session}")) ==
        "t.yaml:6:26: pools.orders.user_modes.report: \"sesion\" is not known here; write session, "
        "transaction or statement (did you mean session?)\n"
        "t.yaml:6:34: pools.orders.user_modes.\"\": a name is empty; write it\n"
        "t.yaml:6:52: pools.orders.user_modes.app: is a list; write a mode for each user, as in {report: "
        "session}\n"
        "t.yaml:6:63: pools.orders.user_modes.x: has no value; write a mode for each user, as in {report: "
        "session}, or remove the key\n"
        "t.yaml:6:67: pools.orders.user_modes.repotr: may not use this pool; write the name in users, or "
        "remove it here (did you mean report?)\n");
  CHECK(mistakes_in(with_pool("user_modes: {zoe: session}")) ==
        "t.yaml:5:18: pools.orders.user_modes.zoe: may not use this pool; write the name in users, or remove "
        "it here\n");
  CHECK(mistakes_in(with_pool("user_modes: {app: session, app: statement}")) ==
        "t.yaml:5:32: pools.orders.user_modes.app: is written a second time (the first is in line 5); remove "
        "one\n");
  CHECK(mistakes_in(with_pool("user_modes: [app]")) ==
        "t.yaml:5:17: pools.orders.user_modes: is a list; write a mode for each user, as in {report: "
        "session}\n");
  CHECK(mistakes_in(with_pool("user_modes: session")) ==
        "t.yaml:5:17: pools.orders.user_modes: is a single value; write a mode for each user, as in {report: "
        "session}\n");
  // What is wrong already is said once.
  CHECK(mistakes_in(with_pool("users: []\n    user_modes: {zoe: session}")) ==
        "t.yaml:5:12: pools.orders.users: lets nobody use the pool; write a name, or remove it: then the "
        "conninfo's user may\n");
  CHECK(mistakes_in(with_pool("usesr: [zoe]\n    user_modes: {zoe: session}")) ==
        "t.yaml:5:5: pools.orders.usesr: unknown setting; did you mean users?\n");
}

TEST_CASE("pin_functions are names of functions") {
  const std::string shape =
      " is not the name of a function; write it as in lock_it or app.lock_it, without blanks, parentheses "
      "and quotes\n";
  CHECK(mistakes_in(with_pool("pin_functions: [lock_it, Lock_It, '', 'a b', 'f()', '\"F\"', .f, a., a.b.c, "
                              "\"'f'\", [f]]")) ==
        "t.yaml:5:30: pools.orders.pin_functions: \"Lock_It\" is named twice; remove one\n"
        "t.yaml:5:39: pools.orders.pin_functions: a name is empty; write it, or remove it\n"
        "t.yaml:5:43: pools.orders.pin_functions: \"a b\"" +
            shape + "t.yaml:5:50: pools.orders.pin_functions: \"f()\"" + shape +
            "t.yaml:5:57: pools.orders.pin_functions: \"\"F\"\"" + shape +
            "t.yaml:5:64: pools.orders.pin_functions: \".f\"" + shape +
            "t.yaml:5:68: pools.orders.pin_functions: \"a.\"" + shape +
            "t.yaml:5:72: pools.orders.pin_functions: \"a.b.c\"" + shape +
            "t.yaml:5:79: pools.orders.pin_functions: \"'f'\"" + shape +
            "t.yaml:5:86: pools.orders.pin_functions: is a list; write a list of functions, as in [lock_it, "
            "app.lock_it]\n");
  CHECK(
      mistakes_in(with_pool("on_session_state: alow\n    max_prepared_statements: 100001")) ==
      "t.yaml:5:23: pools.orders.on_session_state: \"alow\" is not known here; write pin, error or allow "
      "(did you mean allow?)\n"
      "t.yaml:6:30: pools.orders.max_prepared_statements: \"100001\" is too large; write a number from 0 to "
      "100000\n");
  CHECK(
      mistakes_in(with_pool("parse: share\n    statement_memory: 63kB\n    client_statement_memory: 65GB")) ==
      "t.yaml:5:12: pools.orders.parse: \"share\" is not known here; write server or shared (did you mean "
      "shared?)\n"
      "t.yaml:6:23: pools.orders.statement_memory: \"63kB\" is not a size from 64kB to 64GB; write a number "
      "with its unit as in 64kB, 16MB, 1GB\n"
      "t.yaml:7:30: pools.orders.client_statement_memory: \"65GB\" is not a size from 64kB to 64GB; write a "
      "number with its unit as in 64kB, 16MB, 1GB\n");
}

TEST_CASE("a listener is one socket, at a place of its own") {
  CHECK(
      mistakes_in(with_listeners(
          "  - {unix: /x, tcp: '*'}\n  - {tcp: '*', unix: /x}\n  - {port: 1}\n  - x\n  - {}")) ==
      "t.yaml:3:16: listen[0]: has both unix and tcp; write an entry for each\n"
      "t.yaml:4:16: listen[1]: has both unix and tcp; write an entry for each\n"
      "t.yaml:5:5: listen[2]: has neither unix nor tcp; write unix: and a folder, or tcp: and an address\n"
      "t.yaml:6:5: listen[3]: is a single value; write {unix: /run/tidepool} or {tcp: 127.0.0.1}\n"
      "t.yaml:7:5: listen[4]: has neither unix nor tcp; write unix: and a folder, or tcp: and an address\n");
  CHECK(
      mistakes_in(with_listeners("  - {tcp: a, mode: 600, owner: x, group: y}")) ==
      "t.yaml:3:14: listen[0].mode: means nothing for TCP; remove it, or write it in an entry with unix\n"
      "t.yaml:3:25: listen[0].owner: means nothing for TCP; remove it, or write it in an entry with unix\n"
      "t.yaml:3:35: listen[0].group: means nothing for TCP; remove it, or write it in an entry with unix\n");
  CHECK(mistakes_in(with_listeners("  - {unix: /x}\n  - {unix: /x/}\n  - {unix: /x, port: 1}\n  - {tcp: a}\n "
                                   " - {tcp: '*'}\n  - {tcp: a}")) ==
        "t.yaml:4:12: listen[1]: is the same as an entry above (port 6432); remove one, or give it another "
        "port\n"
        "t.yaml:7:11: listen[4]: overlaps with an entry above, as \"*\" is all addresses (port 6432); remove "
        "one, or give it another port\n"
        "t.yaml:8:11: listen[5]: is the same as an entry above (port 6432); remove one, or give it another "
        "port\n");
  CHECK(mistakes_in(with_listeners(
            "  - {tcp: a, auth: peer}\n  - {tcp: b, auth: scram}\n  - {tcp: ''}\n  - {tcp: 'a:1 b'}")) ==
        "t.yaml:3:20: listen[0].auth: peer works on Unix sockets only; write scram-sha-256, md5, password or "
        "trust\n"
        "t.yaml:4:20: listen[1].auth: \"scram\" is not known here; write trust, peer, password, md5 or "
        "scram-sha-256 (did you mean "
        "scram-sha-256?)\n"
        "t.yaml:5:11: listen[2].tcp: is empty; write an address, a host name, or \"*\" for all addresses\n"
        "t.yaml:6:11: listen[3].tcp: \"a:1 b\" is not one address; write an address, a host name, or \"*\" "
        "for all addresses, and its port "
        "as port:\n");
  CHECK(mistakes_in(with_listeners("  - {unix: /" + std::string(92, 'x') + "}")) == "");
  CHECK(mistakes_in(with_listeners("  - {unix: /" + std::string(93, 'x') + "}")) ==
        "t.yaml:3:12: listen[0].unix: the socket's path would have 108 bytes, and the system allows 107; "
        "write a folder with a shorter "
        "path\n");
}

TEST_CASE("names that cannot be are refused") {
  CHECK(mistakes_in("listen: [{unix: /x}]\npools: {tidepool: {conninfo: ''}, pgbouncer: {conninfo: ''}, "
                    "\"\": {conninfo: ''}}\n") ==
        "t.yaml:2:9: pools.tidepool: is the console's name; give the pool another one\n"
        "t.yaml:2:35: pools.pgbouncer: is the console's name; give the pool another one\n"
        "t.yaml:2:62: pools.\"\": a name is empty; write it\n");
  CHECK(mistakes_in(with_pool("users: [app, app, '', [x]]")) ==
        "t.yaml:5:18: pools.orders.users: \"app\" is named twice; remove one\n"
        "t.yaml:5:23: pools.orders.users: a name is empty; write it, or remove it\n"
        "t.yaml:5:27: pools.orders.users: is a list; write a list of names, as in [app, report]\n");
  CHECK(mistakes_in(with_pool("users: app")) ==
        "t.yaml:5:12: pools.orders.users: is a single value; write a list of names, as in [app, report]\n");
  CHECK(mistakes_in(with_pool("users: []")) ==
        "t.yaml:5:12: pools.orders.users: lets nobody use the pool; write a name, or remove it: then the "
        "conninfo's user may\n");
  CHECK(mistakes_in(with_sections("peer_map: {www-data: app, \"a\\nb\": [x]}")) ==
        "t.yaml:3:22: peer_map.www-data: is a single value; write a list of names, as in [app, report]\n"
        "t.yaml:3:27: peer_map.a b: a name has a control character; write it without\n");
}

TEST_CASE("mistakes around secrets do not show them") {
  setenv("TIDEPOOL_TEST_SECRET", "hunter2 hunter3", 1);
  const std::string mistakes = mistakes_in(R"(listen: [{unix: /x, port: "${TIDEPOOL_TEST_SECRET}"}]
users:
  a: hunter2
  b: {hunter2}
  c: {password: "SCRAM-SHA-256$hunter2"}
  d: {password: ""}
  e: {pasword: hunter2}
  f: {password: hunter2, password_file: x}
  g: {}
  h: [hunter2]
  i: {password: {hunter2: x}}
  j: {password: "hunter2${"}
pools:
  x: {conninfo: "user=app password=hunter2 hunter3 more"}
  y: {conninfo: "user=app ${TIDEPOOL_TEST_SECRET}"}
  z: {conninfo: "user=app password=hunter2 sslmoode=x"}
)");
  CHECK(mistakes.find("hunter") == std::string::npos);
  const std::string shape = "write {password: ...} or {password_file: ...}\n";
  const std::string libpq = "; write what this libpq understands, as in \"host=... dbname=... user=...\"\n";
  CHECK(mistakes ==
        "t.yaml:1:27: listen[0].port: the value of \"${TIDEPOOL_TEST_SECRET}\" is not a whole number; write "
        "a number from 1 to 65535\n"
        "t.yaml:3:6: users.a: is a single value; " +
            shape + "t.yaml:4:3: users.b: has no password; " + shape +
            "t.yaml:4:7: users.b: unknown setting; write password or password_file\n"
            "t.yaml:5:17: users.c.password: malformed SCRAM secret, expected "
            "SCRAM-SHA-256$<iterations>:<salt>$<StoredKey>:<ServerKey>; "
            "write a password, or what PostgreSQL stores for it\n"
            "t.yaml:6:17: users.d.password: an empty password lets nobody in; write a password, or what "
            "PostgreSQL stores for it\n"
            "t.yaml:7:7: users.e.pasword: unknown setting; did you mean password?\n"
            "t.yaml:8:26: users.f: has both password and password_file; remove one\n"
            "t.yaml:9:3: users.g: has no password; " +
            shape + "t.yaml:10:6: users.h: is a list; " + shape +
            "t.yaml:11:17: users.i.password: is a map; write text\n"
            "t.yaml:12:17: users.j.password: has a ${ that is not followed by a variable's name and a }; "
            "write ${VAR}, or $${ for a ${ of "
            "the text's own\n"
            "t.yaml:14:17: pools.x.conninfo: missing \"=\" after <hidden> in connection info string" +
            libpq + "t.yaml:15:17: pools.y.conninfo: missing \"=\" after <hidden> in connection info string" +
            libpq + "t.yaml:16:17: pools.z.conninfo: invalid connection option \"sslmoode\"" + libpq);
}

TEST_CASE("a variable that is not set is a mistake, not an empty text") {
  unsetenv("TIDEPOOL_TEST_UNSET");
  CHECK(mistakes_in(with_pool("configure: \"x ${TIDEPOOL_TEST_UNSET}\"")) ==
        "t.yaml:5:16: pools.orders.configure: uses ${TIDEPOOL_TEST_UNSET}, which is not set in the "
        "environment; set it, or write the "
        "value here\n");
}

TEST_CASE("who cannot log in anywhere is worth a warning") {
  const std::string tcp =
      "listen: [{tcp: a}]\nusers: {app: {password: x}, old: {password: "
      "md5aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa}}\n";
  CHECK(warnings_in(tcp + "pools: {p: {conninfo: user=ap}}\n") ==
        "t.yaml:3:13: pools.p.users: \"ap\" cannot log in: it has no password; write it under users (or did "
        "you mean app?)\n");
  CHECK(warnings_in(tcp +
                    "pools: {p: {conninfo: user=app, users: [app, old, x]}}\nconsole: {users: [dba]}\n") ==
        "t.yaml:3:33: pools.p.users: \"old\" cannot log in: its password is an md5 one, and only "
        "scram-sha-256 is offered; set a new "
        "password\n"
        "t.yaml:3:33: pools.p.users: \"x\" cannot log in: it has no password; write it under users\n"
        "t.yaml:4:11: console.users: \"dba\" cannot log in: it has no password; write it under users\n");
  CHECK(warnings_in(tcp + "pools: {p: {conninfo: user=app, users: [app, old], auth: md5}}\n") == "");
  CHECK(warnings_in("listen: [{tcp: a}, {unix: /x}]\npools: {p: {conninfo: user=app}}\n") == "");
  CHECK(
      warnings_in("listen: [{tcp: a}, {unix: /x}]\npools: {p: {conninfo: user=app, auth: peer}}\n") ==
      "t.yaml:2:39: pools.p.auth: peer works on Unix sockets only: clients over TCP cannot use this pool\n");
  CHECK(mistakes_in("listen: [{tcp: a}]\npools: {p: {conninfo: user=app, auth: peer}}\n") ==
        "t.yaml:2:39: pools.p.auth: peer works on Unix sockets only, and no entry of listen is one; write "
        "another method, or add one\n");
}

TEST_CASE("a finding is one line, whatever the file holds") {
  const std::string mistakes = mistakes_in(with_pool("\"a\\nb\": 1\n    orphans: \"x\\n\\ty\""));
  CHECK(mistakes ==
        "t.yaml:5:5: pools.orders.a b: unknown setting; write conninfo, users, mode, user_modes, min_size, "
        "max_size, "
        "max_prepared_statements, parse, statement_memory, client_statement_memory, on_session_state, "
        "max_pinned, "
        "pin_functions, timeout, max_waiting, "
        "max_lifetime, max_idle, reconnect_timeout, check, check_query, check_timeout, configure, reset, "
        "reset_timeout, orphans, "
        "when_down, notice_after, max_dials, client_idle, idle_in_transaction, transaction, query, "
        "server_application_name or auth\n"
        "t.yaml:6:14: pools.orders.orphans: \"x  y\" is not known here; write cancel or finish\n");
}

TEST_CASE("broken YAML is one mistake with its place") {
  CHECK(mistakes_in("listen: [\npools: {}\n") ==
        "t.yaml:1:9: file: the [ that opens here is not closed; write the missing ]\n");
}

}  // namespace
}  // namespace tidepool::config
