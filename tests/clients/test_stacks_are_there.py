"""Each client stack that this folder promises to test, by name: one that is not installed fails here instead of being passed over."""

import importlib
import shutil

import pytest
from programs import LANGUAGES, built


@pytest.mark.parametrize("module", ["sqlalchemy", "sqlalchemy.ext.asyncio", "psycopg", "psycopg2", "asyncpg", "greenlet", "django"])
def test_the_python_module_is_there(module):
    importlib.import_module(module)


@pytest.mark.parametrize("program", ["psql", "pgbench", "pg_dump", "pg_restore", *(tool for language in LANGUAGES.values() for tool in language.tools)])
def test_the_program_is_there(program):
    assert shutil.which(program), f"{program} is not installed"


@pytest.mark.timeout(400)
@pytest.mark.parametrize("language", LANGUAGES)
def test_the_client_program_is_built(language):
    built(language)
