"""Fixtures for all Python tests: see integration/harness/fixtures.py."""

pytest_plugins = ["harness.fixtures"]
