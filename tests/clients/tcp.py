"""A second way in beside the Unix socket: TCP on 127.0.0.1, where `app` needs a password."""

from harness.postgres import free_port

PASSWORD = "secret"


def listen_over_tcp(daemon):
    """Adds that to a daemon that is not started yet, and returns the port."""
    port = free_port()
    daemon.write_settings({**daemon.settings, "users": {"app": {"password": PASSWORD}},
                           "listen": [*daemon.settings["listen"], {"tcp": "127.0.0.1", "port": port, "auth": "scram-sha-256"}]})
    return port
