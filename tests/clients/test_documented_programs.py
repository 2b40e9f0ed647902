"""The programs in Go, Java, Node and Rust that the documents show, as they stand there: they run, and print 42."""

import os

import pytest
from harness.documents import RUN_WITH_THE_CLIENTS, blocks, pointed_at
from programs import built, run
from tcp import listen_over_tcp


@pytest.fixture
def orders(tidepool, pool_mode):
    """What they connect to: a pool `orders`, by Unix socket, or over TCP with a password."""
    daemon = tidepool(pools={"orders": {"mode": pool_mode, "max_size": 4}}, start=False)
    daemon.tcp_port = listen_over_tcp(daemon)
    return daemon.start()


@pytest.mark.timeout(400)
@pytest.mark.parametrize("name, text", [pytest.param(name, *example.values, id=example.id)
                                        for block, name in RUN_WITH_THE_CLIENTS.items() for example in blocks(block)])
def test_every_program_of_the_documents_runs(name, text, orders, tmp_path):
    language = built(name)
    text = pointed_at(text, orders).replace("127.0.0.1:6432", f"127.0.0.1:{orders.tcp_port}")
    environment = {key: value for key, value in os.environ.items() if not key.startswith("PG")}
    done = run(language, language.example(text, tmp_path), environment, tmp_path)
    assert (done.returncode, done.stdout) == (0, "42\n"), done.stdout + done.stderr


@pytest.mark.parametrize("block", RUN_WITH_THE_CLIENTS)
def test_the_documents_have_a_program_in_each_language(block):
    assert list(blocks(block))
