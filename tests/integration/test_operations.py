"""docs/operations.md has every error that the daemon can give, and every warning of its log: read from the sources."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
# What is wrong with a settings file is told by --check in whole sentences, and needs no list.
ABOUT_SETTINGS = ("lib/config/", "lib/auth/secret.cc", "daemon/conninfo.cc")
SOURCES = [path for path in sorted([*ROOT.glob("daemon/**/*.cc"), *ROOT.glob("lib/**/*.cc")])
           if not str(path.relative_to(ROOT)).startswith(ABOUT_SETTINGS)]
PAIRS = {"(": ")", "{": "}"}


def arguments_from(text, at):
    """The arguments in the parentheses or braces that open at `at`."""
    depth, begin, found, quoted = 0, at + 1, [], False
    for i in range(at, len(text)):
        character = text[i]
        if character == '"' and text[i - 1] != "\\":
            quoted = not quoted
        if quoted:
            continue
        if character in "({":
            depth += 1
        elif character in ")}":
            depth -= 1
            if depth == 0:
                return [*found, text[begin:i]]
        elif character == "," and depth == 1:
            found.append(text[begin:i])
            begin = i + 1
    raise AssertionError("never closed")


def words_in(expression):
    """The string literals of an expression, as far as they are words."""
    joined = re.sub(r'"\s*\n\s*"', "", expression)
    literals = [re.sub(r"\\(.)", r"\1", literal) for literal in re.findall(r'"((?:[^"\\]|\\.)*)"', joined)]
    return [literal for literal in literals if len(re.findall(r"[A-Za-z]{3,}", literal)) > 0]


def without_comments(path):
    return re.sub(r"(?m)//.*$", "", path.read_text())


def errors_of(path):
    """(SQLSTATE, words) of each error that a source makes."""
    text = without_comments(path)
    constants = dict(re.findall(r'constexpr const char\* (k\w+) = "([0-9A-Z]{5})";', text))
    for match in re.finditer(r'\{\s*(?:"([0-9A-Z]{5})"|(k[A-Z]\w+))\s*,', text):
        sqlstate = match[1] or constants.get(match[2])
        if sqlstate:
            yield sqlstate, words_in(arguments_from(text, match.start())[1])
    for match in re.finditer(r"\bprotocol_violation\(", text):
        yield "08P01", words_in(arguments_from(text, match.end() - 1)[0])


def lines_of(path):
    """(level, words) of each warning and error for the log."""
    text = without_comments(path)
    for match in re.finditer(r"\blog::(warning|error)\(", text):
        yield match[1], words_in(arguments_from(text, match.end() - 1)[0])


@pytest.fixture(scope="module")
def document():
    """The paragraphs and rows of docs/operations.md, each in one line."""
    text = (ROOT / "docs/operations.md").read_text()
    return [re.sub(r"\s+", " ", row) for row in re.split(r"\n(?=\|)|\n\n", text)]


def is_told(document, mark, words):
    return any(mark in row and all(re.sub(r"\s+", " ", word).strip() in row for word in words) for row in document)


def test_every_error_that_the_daemon_can_give_is_in_operations_md(document):
    found = [(path.name, sqlstate, words) for path in SOURCES for sqlstate, words in errors_of(path)]
    assert len(found) > 60, "the sources are not read any more"
    assert [each for each in found if each[2] and not is_told(document, each[1], each[2])] == []


def test_every_warning_of_the_log_is_in_operations_md(document):
    found = [(path.name, level, words) for path in SOURCES for level, words in lines_of(path)]
    assert len(found) > 10, "the sources are not read any more"
    assert [each for each in found if each[2] and not is_told(document, each[1], each[2])] == []


def test_what_operations_md_tells_to_watch_is_in_the_console(tidepool):
    daemon = tidepool()
    names = {name for table in ("POOLS", "POOL_STATS", "CLIENTS") for row in [*daemon.console(f"SHOW {table}")] for name in row}
    table = (ROOT / "docs/operations.md").read_text().split("## What to watch")[1].split("\n## ")[0]
    told = {name for row in re.findall(r"(?m)^\| (.*?) \|", table) for name in re.findall(r"`(\w+)`", row)}
    assert {"maxwait", "requests_errors", "returns_bad"} <= told
    assert told - names == set()
