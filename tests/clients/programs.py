"""Client programs in other languages, a folder each: builds them into build/clients/LANGUAGE, and runs their cases as tests.

    programs.py [LANGUAGE...]     builds; tools/test does that first, so that no compiler's time is part of a test's

A program is built once for each state of its sources. Nothing is fetched that is there already.
"""

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

SOURCES = Path(__file__).parent
BUILT = Path(__file__).resolve().parents[2] / "build/clients"
MINUTES = 5                     # for each command: what takes longer is stuck

# Toolchains do as they are: no other one is fetched in their place, and git is not asked about versions.
TOOLCHAINS = {"GOTOOLCHAIN": "local", "GOFLAGS": "-buildvcs=false", "CGO_ENABLED": "0", "CARGO_NET_RETRY": "5"}


class BuildError(Exception):
    pass


class Language:
    """What it needs, how its program is made and run. Commands run in `folder`."""

    environment = {}

    def __init__(self, name):
        self.to = BUILT / name
        self.folder = self.sources = SOURCES / name
        self.to.mkdir(parents=True, exist_ok=True)

    def fetch(self):
        """Commands that get libraries; tried again when they fail."""
        return []

    def build(self):
        return []


class Go(Language):
    tools = ["go"]

    def __init__(self, name):
        super().__init__(name)
        self.command = [self.to / "clients"]

    def fetch(self):
        return [["go", "mod", "download"]]

    def build(self):
        return [["go", "build", "-o", self.to / "clients", "."]]

    def example(self, text, folder):
        """Puts an example of the documents into a folder, and returns the command that runs it from there."""
        for name in ("go.mod", "go.sum"):
            shutil.copy(self.sources / name, folder)
        (folder / "main.go").write_text(text)
        return ["go", "run", "."]


class Java(Language):
    tools = ["javac", "java", "mvn"]

    def __init__(self, name):
        super().__init__(name)
        self.classpath = f"{self.to}/classes:{self.to}/libraries/*"
        self.command = ["java", "-cp", self.classpath, "Clients"]

    def fetch(self):
        shutil.rmtree(self.to / "libraries", ignore_errors=True)
        return [["mvn", "-q", "-B", "--strict-checksums", "dependency:copy-dependencies", f"-DoutputDirectory={self.to}/libraries"]]

    def build(self):
        return [["javac", "-encoding", "UTF-8", "-d", self.to / "classes", "-cp", self.classpath, *self.sources.glob("*.java")]]

    def example(self, text, folder):
        (folder / "Example.java").write_text(text)
        return ["java", "-cp", self.classpath, "Example.java"]


class Node(Language):
    tools = ["node", "npm"]

    def __init__(self, name):
        super().__init__(name)
        self.folder = self.to
        self.command = ["node", self.sources / "clients.js"]
        self.environment = {"NODE_PATH": str(self.to / "node_modules")}

    def fetch(self):
        for name in ("package.json", "package-lock.json", ".npmrc"):
            shutil.copy(self.sources / name, self.to)
        return [["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--prefer-offline"]]

    def example(self, text, folder):
        (folder / "example.js").write_text(text)
        return ["node", "example.js"]


class Rust(Language):
    tools = ["cargo", "rustc"]

    def __init__(self, name):
        super().__init__(name)
        self.command = [self.to / "clients"]
        self.environment = {"CARGO_TARGET_DIR": str(self.to / "target")}

    def fetch(self):
        return [["cargo", "fetch", "--locked"]]

    def build(self):
        return [["cargo", "build", "--locked", "--offline"], ["cp", self.to / "target/debug/clients", self.to]]

    def example(self, text, folder):
        for name in ("Cargo.toml", "Cargo.lock"):       # under another name: cargo would take it for the program, by its name
            (folder / name).write_text((self.sources / name).read_text().replace('name = "clients"', 'name = "clients-example"'))
        (folder / "src").mkdir()
        (folder / "src/main.rs").write_text(text)
        return ["cargo", "run", "--quiet", "--locked", "--offline"]


LANGUAGES = {"go": Go, "java": Java, "node": Node, "rust": Rust}


_built = {}


def built(name):
    """The language, its program built and ready. What has failed once fails the same at once."""
    if name not in _built:
        try:
            _built[name] = _build(name)
        except BuildError as error:
            _built[name] = error
    if isinstance(_built[name], BuildError):
        raise _built[name]
    return _built[name]


def _build(name):
    language = LANGUAGES[name](name)
    for tool in language.tools:
        if not shutil.which(tool):
            raise BuildError(f"{tool} is not installed")
    read = [path.read_bytes() for path in [Path(__file__), *sorted(language.sources.rglob("*"))] if path.is_file()]
    state = hashlib.sha256(b"".join(read)).hexdigest()
    with open(BUILT / f"{name}.state", "a+") as stamp:      # locked: pytest may have several processes
        fcntl.flock(stamp, fcntl.LOCK_EX)
        stamp.seek(0)
        if stamp.read() != state:
            stamp.truncate(0)
            for command in language.fetch():
                _do(language, command, tries=3)
            for command in language.build():
                _do(language, command)
            stamp.write(state)
    return language


def _do(language, command, tries=1):
    try:
        done = subprocess.run(command, cwd=language.folder, env={**os.environ, **TOOLCHAINS, **language.environment}, stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace", timeout=MINUTES * 60)
    except subprocess.TimeoutExpired:
        raise BuildError(f"{command} took longer than {MINUTES} minutes") from None
    if done.returncode != 0 and tries > 1:
        _do(language, command, tries - 1)
    elif done.returncode != 0:
        raise BuildError(f"{' '.join(map(str, command))} ended with {done.returncode}:\n{done.stdout[-6000:]}")


def run(language, command, environment, folder=None):
    return subprocess.run(command, cwd=folder, env={**environment, **TOOLCHAINS, **language.environment}, stdin=subprocess.DEVNULL,
                          capture_output=True, text=True, errors="replace", timeout=110)


def cases_of(name):
    """The names that the program itself has."""
    language = built(name)
    return run(language, [*language.command, "--list"], os.environ).stdout.split()


if __name__ == "__main__":
    failed = 0
    for name in sys.argv[1:] or LANGUAGES:
        try:
            built(name)
        except BuildError as error:
            print(f"{name}: {error}")
            failed = 1
    sys.exit(failed)
