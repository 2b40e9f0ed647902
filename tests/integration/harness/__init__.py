"""What the integration tests stand on: a private PostgreSQL, the daemon under test, a raw client, a fake server, a proxy.

tests/README.md tells how to use them.
"""
