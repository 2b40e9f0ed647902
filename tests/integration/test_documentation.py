"""What the documents show is true: settings pass --check, programs run, links lead somewhere, names of tests exist."""

import ast
import os
import re
import shlex
import subprocess
import sys

import pytest
import yaml
from harness.daemon import ROOT, check
from harness.documents import DOCUMENTS, RUN_WITH_THE_CLIENTS, blocks, pointed_at

NEEDED = {"listen": "listen:\n  - {unix: /run/tidepool}\n",
          "pools": 'pools:\n  orders: {conninfo: "host=/var/run/postgresql dbname=orders user=app"}\n'}


@pytest.fixture(params=["session", "transaction"])
def orders(tidepool, request):
    """What the documents' examples connect to: a pool `orders`, in either mode, and a console for `app`."""
    return tidepool(pools={"orders": {"mode": request.param, "min_size": 1, "max_size": 4}})


# Settings

@pytest.mark.parametrize("text", list(blocks("yaml")))
def test_every_example_of_settings_passes_the_check(text, monkeypatch):
    """One that shows a section only is completed by what is required."""
    for variable in re.findall(r"\$\{(\w+)\}", text):
        monkeypatch.setenv(variable, "x")
    keys = yaml.safe_load(text)
    whole = text + "".join(section for key, section in NEEDED.items() if key not in keys)
    code, lines, _ = check(whole)
    assert (code, lines) == (0, ["ok"])


# Programs

RUN_ELSEWHERE = {"def test_": "a piece of a test, in tests/README.md"}


@pytest.mark.timeout(120)
@pytest.mark.parametrize("text", list(blocks("python")))
def test_every_python_example_runs(text, orders, tmp_path):
    ast.parse(text)
    if any(mark in text for mark in RUN_ELSEWHERE):
        return
    if "# In transaction mode:" in text and orders.settings["pools"]["orders"]["mode"] == "session":
        return          # it has more connections than servers, and keeps them
    done = subprocess.run([sys.executable, "-W", "error", "-c", pointed_at(text, orders)], capture_output=True, text=True, timeout=100, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    if "print(" in text:
        assert done.stdout.strip()
    if "select 42" in text:
        assert "42" in done.stdout


def test_the_python_examples_are_those_of_every_client_stack():
    text = "".join(param.values[0] for param in blocks("python", [ROOT / "docs/clients.md"]))
    for name in ("postgresql+psycopg://", "postgresql+psycopg2://", "postgresql+asyncpg://", "create_async_engine", "NullPool", "psycopg.connect",
                 "psycopg2.connect", "asyncpg.connect", "django.db.backends.postgresql"):
        assert name in text


def test_every_example_of_a_client_is_run():
    """Here, or by tests/clients/test_documented_programs.py, which has the toolchains."""
    languages = set(re.findall(r"^```(\w+)$", (ROOT / "docs/clients.md").read_text(), re.M))
    assert languages == {"python", "console", *RUN_WITH_THE_CLIENTS}
    assert all((ROOT / "tests/clients" / folder).is_dir() for folder in RUN_WITH_THE_CLIENTS.values())


def test_django_takes_the_documented_settings(orders):
    """In a process of its own, since Django's settings are the process's."""
    for text in [param.values[0] for param in blocks("python") if "DATABASES" in param.values[0]]:
        program = pointed_at(text, orders) + (
            "import django\n"
            "from django.conf import settings\n"
            "settings.configure(DATABASES=DATABASES)\n"
            "django.setup()\n"
            "from django.db import connection\n"
            "with connection.cursor() as cursor:\n"
            "    cursor.execute('select 42')\n"
            "    print(cursor.fetchone()[0])\n")
        done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
        assert done.stdout == "42\n", done.stderr


@pytest.mark.timeout(120)
@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda document: document.name)
def test_every_command_line_example_runs(document, orders, tmp_path):
    """In the order of the document: pg_restore reads what pg_dump wrote. test_console.py has those of docs/console.md one by one."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PG")}
    for param in blocks("console", [document]):
        for line in param.values[0].splitlines():
            command = shlex.split(pointed_at(line, orders))
            done = subprocess.run(command, capture_output=True, text=True, timeout=100, env=environment, cwd=tmp_path, stdin=subprocess.DEVNULL)
            assert done.returncode == 0, f"{line}\n{done.stderr}"


# What documents point at

@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda document: document.name)
def test_links_lead_somewhere(document):
    text = document.read_text()
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if "://" in target:
            continue
        path, _, place = target.partition("#")
        file = document.parent / path if path else document
        assert file.exists(), target
        if place:
            headings = [re.sub(r"[^\w\- ]", "", heading).strip().lower().replace(" ", "-") for heading in re.findall(r"^#+ (.*)$", file.read_text(), re.M)]
            assert place in headings, target


FOLDERS = ("daemon/", "lib/", "tests/", "tools/", "docs/", "config/", "cmake/", ".ci/")


@pytest.mark.parametrize("document", [each for each in DOCUMENTS if each.name != "tests.md"], ids=lambda document: document.name)
def test_files_that_are_named_are_there(document):
    for name in re.findall(r"`([\w./-]+)`", document.read_text()):
        if name.startswith(FOLDERS):
            path = ROOT / name
            assert path.exists() or path.with_suffix(".h").exists() or path.with_suffix(".cc").exists(), name


def test_the_readme_names_every_document_and_every_folder():
    text = (ROOT / "README.md").read_text()
    for document in (ROOT / "docs").glob("*.md"):
        assert f"(docs/{document.name})" in text, document.name
    for command in ("./tools/quickstart", "./tools/test", "--check", "SIGHUP", "## Glossary", "## The life of a query"):
        assert command in text


# docs/tests.md

def existing_tests():
    """Names of the Python tests, and the sentences of the doctest programs."""
    names = set()
    for file in (ROOT / "tests").rglob("test_*.py"):
        relative = str(file.relative_to(ROOT / "tests"))
        names.add(relative)
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) and node.name.startswith("test_"):
                names.add(node.name)
    for file in (ROOT / "tests/unit").rglob("*.cc"):
        text = re.sub(r'"\s*\n\s*"', "", file.read_text())
        names |= {re.sub(r"\\(.)", r"\1", name) for name in re.findall(r'TEST_CASE\(\s*"((?:[^"\\]|\\.)*)"', text)}
    return names


def test_every_test_that_the_documents_name_exists():
    there = existing_tests()
    problems = []
    for document in (ROOT / "docs/tests.md", ROOT / "docs/clients.md"):
        text = document.read_text()
        problems += [name for name in re.findall(r"`(test_\w+)`", text) if name not in there]
        if document.name == "tests.md":
            problems += [name for name in re.findall(r'"([^"|]{12,})"', text) if name not in there]
            for name in re.findall(r"`((?:tests|tools|daemon|lib|docs|\.ci)/[\w./-]+)`", text):
                if not (ROOT / name).exists():
                    problems.append(name)
    assert problems == []


def test_every_test_that_the_page_of_transaction_mode_names_exists():
    """Its tables have them as docs/pool.md does: sentences in quotes, with spaces for underscores, in the last column."""
    rows = [line for line in (ROOT / "docs/transaction-mode.md").read_text().splitlines() if line.startswith("| ")]
    named = [name for row in rows for name in re.findall(r'"([^"|]{12,})"', row.rsplit("|", 2)[1])]
    assert len(named) > 100
    there = existing_tests()
    assert [name for name in named if "test_" + name.replace(" ", "_") not in there and name not in there] == []
    tests = [name for file in (ROOT / "tests/integration").glob("test_session_state_*.py") for name in re.findall(r"^def test_(\w+)", file.read_text(), re.M)]
    assert [name for name in tests if name.replace("_", " ") not in named] == [], "each has its row"
