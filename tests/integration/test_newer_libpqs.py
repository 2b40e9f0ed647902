"""What libpq 16, 17 and 18 added to a conninfo: a mistake to older ones, and in force where it is known."""

import pytest
from harness import wire
from harness.daemon import check, libpq_version
from harness.sessions import wait_until_running
from harness.waiting import wait_until
from harness.wire import query


def settings(conninfo):
    return f"listen: [{{unix: /tmp, auth: trust}}]\npools: {{bench: {{conninfo: \"{conninfo}\"}}}}\n"


def is_refused_as_unknown(since, conninfo, key):
    """Whether the daemon's libpq is older than the key; then the key has to be told as a mistake."""
    if libpq_version() >= since * 10000:
        return False
    code, lines, _ = check(settings(conninfo))
    assert code == 1 and f'invalid connection option "{key}"' in "".join(lines)
    return True


@pytest.mark.parametrize("since, key, others", [
    (16, "load_balance_hosts=random", ""),
    (16, "require_auth=scram-sha-256", ""),
    (16, "sslcertmode=disable", ""),
    (16, "gssdelegation=0", ""),
    (17, "sslnegotiation=direct", "sslmode=require"),
    (18, "min_protocol_version=3.0", ""),
    (18, "max_protocol_version=latest", ""),
    (18, "sslkeylogfile=/nowhere", ""),
])
def test_fact_17_what_a_newer_libpq_knows_is_a_mistake_to_an_older_one(since, key, others):
    conninfo = f"host=/tmp user=app {key} {others}"
    if not is_refused_as_unknown(since, conninfo, key.partition("=")[0]):
        assert check(settings(conninfo))[:2] == (0, ["ok"])


def test_a_wrong_load_balance_hosts_is_told():
    conninfo = "host=/tmp user=app load_balance_hosts=perhaps"
    if is_refused_as_unknown(16, conninfo, "load_balance_hosts"):
        return
    code, lines, _ = check(settings(conninfo))
    assert code == 1 and 'invalid load_balance_hosts value: "perhaps"' in "".join(lines)


def test_load_balance_hosts_spreads_servers_over_all_hosts(tidepool, fake_server):
    """16 servers: that all go to the same of two has a probability of 1 in 32768."""
    one, two = fake_server(), fake_server()
    conninfo = f"host={one.folder},{two.folder} dbname=bench user=app load_balance_hosts=random"
    if is_refused_as_unknown(16, conninfo, "load_balance_hosts"):
        return
    daemon = tidepool(pools={"bench": {"conninfo": conninfo, "min_size": 16, "max_size": 16}})
    wait_until(lambda: len(one.connections) + len(two.connections) == 16, "all servers are there")
    assert one.connections and two.connections
    assert daemon.console("SHOW DATABASES")[0]["load_balance_hosts"] == "random"


def test_require_auth_refuses_a_server_that_asks_for_less(tidepool, new_postgres):
    server = new_postgres(tcp=True)
    server.create_role("secret", password="mellon")
    conninfo = f"host=127.0.0.1 port={server.port} dbname=postgres user=secret password=mellon require_auth=scram-sha-256"
    if is_refused_as_unknown(16, conninfo, "require_auth"):
        return
    daemon = tidepool(pools={"bench": {"conninfo": conninfo, "min_size": 0, "max_size": 1, "when_down": "fail"}})
    with pytest.raises(wire.LoginFailed) as refused:
        daemon.wire("bench", user="secret")
    assert refused.value.sqlstate == "08001" and "scram-sha-256" in str(refused.value)

    server.set_hba("local all all trust\nhost all secret 127.0.0.1/32 scram-sha-256\n")
    daemon.console("RECONNECT bench")
    wait_until(lambda: logs_in(daemon), "the daemon has tried again")


def logs_in(daemon):
    try:
        with daemon.wire("bench", user="secret") as client:
            return client.value("select 42") == "42"
    except wire.LoginFailed:
        return False


@pytest.mark.parametrize("sslmode", ["require", "verify-full"])
def test_direct_tls_is_relayed_and_cancelled(tidepool, new_postgres, sslmode):
    server = new_postgres(tcp=True, tls=True)
    server.set_hba("local all all trust\nhostssl all all 127.0.0.1/32 trust\n")
    conninfo = (f"host=127.0.0.1 port={server.port} dbname=postgres user=app sslnegotiation=direct sslmode={sslmode}"
                f" sslrootcert={server.authority}")
    if is_refused_as_unknown(17, conninfo, "sslnegotiation"):
        return
    daemon = tidepool(pools={"bench": {"conninfo": conninfo, "min_size": 0, "max_size": 1, "when_down": "fail"}})
    if server.version < 170000:     # it waits for a request for encryption
        with pytest.raises(wire.LoginFailed):
            daemon.wire("bench")
        return
    client = daemon.wire("bench")
    assert client.value("select ssl from pg_stat_ssl where pid = pg_backend_pid()") == "t"
    assert client.value("select repeat('x', 300000)") == "x" * 300000
    client.send(query("select pg_sleep(600)"))
    wait_until_running(server, "pg_sleep", user="app")
    client.cancel()
    assert client.read_until("E")[-1].fields["C"] == "57014"
