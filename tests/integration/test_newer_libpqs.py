"""What libpq 16, 17 and 18 added to a conninfo: a mistake to older ones, and in force where it is known."""

import pytest
from harness import wire
from harness.daemon import check, libpq_version
from harness.sessions import wait_until_running
from harness.waiting import wait_until
from harness.wire import query


def needs_libpq(version):
    if libpq_version() < version * 10000:
        pytest.skip(f"the daemon's libpq is older than {version}")


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
    code, lines, _ = check("listen: [{unix: /tmp, auth: trust}]\n"
                           f"pools: {{bench: {{conninfo: \"host=/tmp user=app {key} {others}\"}}}}\n")
    if libpq_version() >= since * 10000:
        assert (code, lines) == (0, ["ok"])
    else:
        assert code == 1 and f'invalid connection option "{key.partition("=")[0]}"' in "".join(lines)


def test_a_wrong_load_balance_hosts_is_told():
    needs_libpq(16)
    code, lines, _ = check("listen: [{unix: /tmp, auth: trust}]\n"
                           "pools: {bench: {conninfo: \"host=/tmp user=app load_balance_hosts=perhaps\"}}\n")
    assert code == 1 and 'invalid load_balance_hosts value: "perhaps"' in "".join(lines)


def test_load_balance_hosts_spreads_servers_over_all_hosts(tidepool, fake_server):
    """16 servers: that all go to the same of two has a probability of 1 in 32768."""
    needs_libpq(16)
    one, two = fake_server(), fake_server()
    daemon = tidepool(pools={"bench": {"conninfo": f"host={one.folder},{two.folder} dbname=bench user=app load_balance_hosts=random",
                                       "min_size": 16, "max_size": 16}})
    wait_until(lambda: len(one.connections) + len(two.connections) == 16, "all servers are there")
    assert one.connections and two.connections
    assert daemon.console("SHOW DATABASES")[0]["load_balance_hosts"] == "random"


def test_require_auth_refuses_a_server_that_asks_for_less(tidepool, new_postgres):
    needs_libpq(16)
    server = new_postgres(tcp=True)
    server.create_role("secret", password="mellon")
    conninfo = f"host=127.0.0.1 port={server.port} dbname=postgres user=secret password=mellon require_auth=scram-sha-256"
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
    needs_libpq(17)
    server = new_postgres(tcp=True, tls=True)
    if server.version < 170000:
        pytest.skip("PostgreSQL has it since 17")
    server.set_hba("local all all trust\nhostssl all all 127.0.0.1/32 trust\n")
    conninfo = (f"host=127.0.0.1 port={server.port} dbname=postgres user=app sslnegotiation=direct sslmode={sslmode}"
                f" sslrootcert={server.authority}")
    daemon = tidepool(pools={"bench": {"conninfo": conninfo, "min_size": 0, "max_size": 1}})
    client = daemon.wire("bench")
    assert client.value("select ssl from pg_stat_ssl where pid = pg_backend_pid()") == "t"
    assert client.value("select repeat('x', 300000)") == "x" * 300000
    client.send(query("select pg_sleep(600)"))
    wait_until_running(server, "pg_sleep", user="app")
    client.cancel()
    assert client.read_until("E")[-1].fields["C"] == "57014"
