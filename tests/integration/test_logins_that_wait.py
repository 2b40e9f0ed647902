"""What takes long for one who logs in, checking a password or asking a directory server for a name, is done elsewhere: other clients go on."""

import os
import pwd
import subprocess

import pytest
from harness import wire
from harness.daemon import binary_under_test
from harness.postgres import free_port
from harness.waiting import holds_for, wait_until
from harness.wire import WireClient

SLOW = wire.scram_secret("right", iterations=600_000)
GUESSES = 8


def with_tcp(tidepool, auth, **settings):
    daemon = tidepool(start=False, **settings)
    tcp = {"tcp": "127.0.0.1", "port": free_port(), "auth": auth}
    daemon.write_settings({**daemon.settings, "listen": [*({**each, "auth": auth} for each in daemon.settings["listen"]), tcp]})
    return daemon.start()


@pytest.fixture
def guarded(tidepool):
    return with_tcp(tidepool, "password", users={"app": {"password": "word"}, "slow": {"password": SLOW}, "quick": {"password": wire.scram_secret("right")}},
                    pools={"bench": {"min_size": 0, "max_size": 3, "users": ["app", "slow", "quick"]}})


def guess(daemon, user="slow", password=b"wrong"):
    client = WireClient(("127.0.0.1", daemon.settings["listen"][-1]["port"]))
    client.send(wire.startup(user=user, database="bench"))
    client.read_until("R")
    client.send(wire.message("p", password + b"\0"))
    return client


def test_guesses_at_a_password_cost_those_who_guess(guarded):
    with guarded.wire("bench", password="word", user="app") as victim:
        guesses = [guess(guarded) for _ in range(GUESSES)]
        for number in range(50):
            assert victim.value(f"select {number}") == str(number)
        assert guesses[-1].is_silent(0.05)
        # Another place's check is not behind all of theirs.
        with guarded.wire("bench", password="right", user="quick") as another:
            assert another.value("select 42") == "42"
        assert guesses[-1].is_silent(0.05)
        assert guesses[0].read_until("E")[-1].fields["C"] == "28P01"
        for client in guesses:
            client.close()


def test_what_a_client_says_while_its_password_is_checked_comes_behind_its_login(guarded):
    client = guess(guarded, "slow", b"right")
    client.send(wire.query("select 42") + wire.query("select 43"))
    client.read_until_ready()
    for expected in (b"42", b"43"):
        assert [answer.values[0] for answer in client.read_until_ready() if answer.type == "D"] == [expected]


def test_who_leaves_while_its_password_is_checked_is_forgotten(guarded):
    for _ in range(3):
        guess(guarded, "slow", b"right").close()
    client = guess(guarded, "quick", b"right")
    client.read_until_ready()
    assert client.value("select 42") == "42"
    guarded.reload({**guarded.settings, "users": {**guarded.settings["users"], "slow": {"password": "another"}}}, expect="settings reloaded")


@pytest.fixture
def directory(tmp_path):
    """A directory server that answers when it is told to, once it is slow: what it says is read from a FIFO."""
    source, library, fifo = tmp_path / "names.c", tmp_path / "names.so", tmp_path / "fifo"
    os.chmod(tmp_path, 0o755)
    source.write_text("""
        #define _GNU_SOURCE
        #include <dlfcn.h>
        #include <fcntl.h>
        #include <pwd.h>
        #include <stdio.h>
        #include <unistd.h>
        int getpwuid_r(uid_t uid, struct passwd* entry, char* room, size_t size, struct passwd** found) {
          if (access(FIFO, F_OK) != 0) {
            int (*real)(uid_t, struct passwd*, char*, size_t, struct passwd**) = dlsym(RTLD_NEXT, "getpwuid_r");
            return real(uid, entry, room, size, found);
          }
          int fd = open(FIFO, O_RDONLY);
          ssize_t got = read(fd, room, size - 1);
          close(fd);
          if (got < 0) got = 0;
          room[got] = 0;
          entry->pw_name = room;
          *found = got > 0 ? entry : 0;
          return 0;
        }
    """)
    subprocess.run(["cc", "-shared", "-fPIC", "-o", library, f'-DFIFO="{fifo}"', source], check=True)

    def answer(name):
        with open(fifo, "w") as file:
            file.write(name)
    answer.is_slow = lambda: os.mkfifo(fifo)
    answer.binary = tmp_path / "tidepoold"
    answer.binary.write_text(f'#!/bin/sh\nexport ASAN_OPTIONS="$ASAN_OPTIONS:verify_asan_link_order=0"\nLD_PRELOAD={library} exec {binary_under_test()} "$@"\n')
    answer.binary.chmod(0o755)
    return answer


def test_a_directory_server_that_hangs_stops_only_those_whose_names_it_is_asked_for(tidepool, directory):
    me = pwd.getpwuid(os.geteuid()).pw_name
    daemon = tidepool(binary=directory.binary, pools={"bench": {"auth": "peer", "users": [me, "app"]}, "open": {"users": ["app"]}})
    directory.is_slow()
    with daemon.wire("open") as victim:
        peers = [daemon.wire() for _ in range(3)]
        for peer in peers:
            peer.send(wire.startup(user=me, database="bench") + wire.query("select 42"))
        for number in range(20):
            assert victim.value(f"select {number}") == str(number)
        with daemon.wire("open") as another:
            assert another.value("select 42") == "42"
        holds_for(lambda: all(peer.is_silent(0.01) for peer in peers), "they wait", 0.2)
        peers.pop().close()
        directory(me)       # asked once for all of them
        for peer in peers:
            peer.read_until_ready()
            assert [answer.values[0] for answer in peer.read_until_ready() if answer.type == "D"] == [b"42"]
        with daemon.wire("bench", user=me) as later:
            assert later.value("select 42") == "42"
    # Who is nobody is told so.
    stranger = WireClient(daemon.socket_path)
    stranger.send(wire.startup(user="app", database="bench"))
    assert stranger.read_until("E")[-1].fields["C"] == "28000"
    wait_until(lambda: daemon.pool_stats("bench")["pool_available"] >= 1, "the server is back")
