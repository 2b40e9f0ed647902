"""COPY (3 of the conformance list), and all that session mode's relay is tested with, in the modes that share servers."""

import pytest
from harness import wire
from harness.conformance import Conversations, each_way, every_mode, pool_sizes
from harness.waiting import wait_until
from harness.wire import COPY_DONE, SYNC, copy_data, copy_fail, extended, query
from test_relay import COPY, EXTENDED, SIMPLE

ROWS = copy_data("1\tone\n") + copy_data("2\ttwo\n")


@each_way
@pool_sizes
@every_mode
@pytest.mark.timeout(240)
@pytest.mark.parametrize("conversations", [SIMPLE, EXTENDED, COPY], ids=["simple", "extended", "COPY"])
def test_what_is_relayed_in_session_mode_is_relayed_in_every_mode(tidepool, postgres, mode, size, pieces, conversations):
    both = Conversations(tidepool, postgres, mode, size)
    wrong = {}
    for name, (data, ready) in conversations.items():
        if mode == "statement" and (b"begin;" in data or b"begin\0" in data):
            continue                                        # refused there
        try:
            both.compare([(data, ready)], 1013 if len(data) > 50_000 and pieces else pieces)
        except (AssertionError, EOFError, TimeoutError) as problem:
            wrong[name] = str(problem)[:2000]
    assert not wrong, "\n\n".join(f"{name}: {what}" for name, what in wrong.items())


@every_mode
@pytest.mark.parametrize("begin", [query("copy t from stdin"), extended("copy t from stdin")], ids=["simple", "extended"])
@pytest.mark.parametrize("end", [ROWS, ROWS + wire.TERMINATE, ROWS + copy_data("x\n") + ROWS * 50, ROWS + copy_fail()[:-3], b""],
                         ids=["vanishes", "Terminate inside", "fails and vanishes", "half a message", "before its data"])
def test_a_client_that_leaves_inside_a_copy_leaves_no_row_and_its_server(tidepool, postgres, mode, begin, end):
    both = Conversations(tidepool, postgres, mode)
    client = both.daemon.wire("bench")
    client.send(begin + end)
    if end == b"":
        client.send(wire.FLUSH)
        client.read_until("G")
    client.close()
    with both.daemon.wire("bench") as following:
        wait_until(lambda: not [row for row in both.daemon.backends("bench") if "copy" in row["query"] and row["state"] == "active"], "the COPY is over")
        assert following.value("select count(*) from t") == "0"
        following.terminate()
    wait_until(lambda: (stats := both.daemon.pool_stats("bench"))["pool_available"] == stats["pool_size"], "all servers rest")


@every_mode
def test_between_CopyInResponse_and_its_data_a_server_is_nobody_elses(tidepool, postgres, mode):
    both = Conversations(tidepool, postgres, mode)
    copying, other = both.daemon.wire("bench"), both.daemon.wire("bench")
    for begin, end in ((query("copy t from stdin"), COPY_DONE), (extended("copy t from stdin") + wire.FLUSH, COPY_DONE + SYNC)):
        both.owner.ask("truncate t")
        copying.send(begin)
        copying.read_until("G")
        other.send(query("select 'other'"))
        if mode != "session":
            assert other.is_silent(0.1)
        copying.send(ROWS + end)
        copying.read_until_ready()
        assert [answer.type for answer in other.read_until_ready()] == ["T", "D", "C", "Z"]
        assert both.owner.value("select count(*) from t") == "2"
