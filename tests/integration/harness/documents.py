"""The documents, and the programs in them."""

import re

import pytest

from harness.daemon import ROOT

DOCUMENTS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md")), ROOT / "tests/README.md"]

# Languages whose examples need a toolchain: tests/clients/test_documented_programs.py runs those, by the folder named here.
RUN_WITH_THE_CLIENTS = {"go": "go", "java": "java", "js": "node", "rust": "rust"}


def blocks(language, documents=DOCUMENTS):
    """The fenced blocks of a language, each with its place as its name."""
    for document in documents:
        text = document.read_text()
        for found in re.finditer(rf"^```{language}\n(.*?)^```", text, re.M | re.S):
            line = text.count("\n", 0, found.start()) + 1
            yield pytest.param(found[1], id=f"{document.name}:{line}")


def pointed_at(text, daemon):
    assert daemon.port == 6432
    return text.replace("/run/tidepool", str(daemon.host))
