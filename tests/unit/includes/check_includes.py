"""Who may include whom: reads the sources and reports every line that breaks the table of docs/architecture.md.

- A folder of lib/ includes its own headers and those of its DEPENDS (lib/<folder>/CMakeLists.txt), directly named or theirs.
- lib/ includes nothing of daemon/, and no header that stands for a socket, a clock, a thread, a log or an event loop.
- The loader (lib/config) alone reads files and the environment.
- spdlog and yaml-cpp are slow to compile: each is included in one source only.

    check_includes.py ROOT
"""

import re
import sys
from pathlib import Path

INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^">]+)[">]')
DEPENDS = re.compile(r"tidepool_library\(\s*(\w+)(.*?)\)", re.DOTALL)

# What only daemon/ may know. Keys are regular expressions for the whole name.
SYSTEM = {
    r"sys/(socket|un|epoll|eventfd|poll|select|timerfd|uio|types|time|stat|ioctl)\.h": "the operating system",
    r"(netinet|arpa|net)/.*|netdb\.h|poll\.h|unistd\.h|fcntl\.h|signal\.h|csignal": "the operating system",
    r"time\.h|ctime|sys/times\.h": "a clock",
    r"thread|mutex|shared_mutex|condition_variable|future|semaphore|latch|barrier|stop_token|pthread\.h|atomic|coroutine": "threads",
    r"uv\.h|libpq-fe\.h|libpq/.*|postgresql/.*": "the event loop and libpq",
    r"spdlog/.*|fmt/.*|syslog\.h|systemd/.*": "a log",
    r"openssl/(ssl|bio|err|x509.*)\.h": "TLS",
    r"iostream|ranges|regex": "what costs much to compile",
}
READING_FILES = re.compile(r"fstream|filesystem|fcntl\.h|unistd\.h|sys/stat\.h")
USES_OF_THE_SYSTEM = {
    re.compile(r"\b(steady_clock|system_clock|high_resolution_clock)::now\b"): "asks a clock",
    re.compile(r"\bstd::(this_thread|jthread|thread|mutex)\b"): "uses threads",
    re.compile(r"(?<![\w.>:])(getenv|secure_getenv|::getenv)\s*\("): "reads the environment",
    re.compile(r"\bstd::getenv\b"): "reads the environment",
    re.compile(r"\b(fopen|fdopen|popen)\s*\("): "reads files",
}
IN_ONE_SOURCE = {"spdlog/spdlog.h": "spdlog/spdlog.h", "yaml-cpp/yaml.h": "yaml-cpp/yaml.h"}


def sources(folder):
    return sorted(path for path in folder.rglob("*") if path.suffix in (".h", ".cc"))


def without_comments(line):
    return line.split("//", 1)[0]


def allowed_folders(lib):
    """{folder: the folders of lib/ that it may include}, by each folder's CMakeLists.txt, with theirs."""
    direct = {}
    for file in sorted(lib.glob("*/CMakeLists.txt")):
        for name, body in DEPENDS.findall(file.read_text()):
            words, depends, inside = body.split(), set(), False
            for word in words:
                if word in ("SOURCES", "DEPENDS", "PRIVATE_LINKS"):
                    inside = word == "DEPENDS"
                elif inside:
                    depends.add(word)
            direct[name] = depends

    def closure(name, seen):
        for other in direct.get(name, ()):
            if other not in seen:
                seen.add(other)
                closure(other, seen)
        return seen
    return {name: closure(name, set()) for name in direct}


def check(root):
    """Every mistake as FILE:LINE: what is wrong."""
    lib, mistakes = root / "lib", []
    allowed = allowed_folders(lib)
    for name in sorted(path.name for path in lib.iterdir() if path.is_dir() and sources(path)):
        if name not in allowed:
            mistakes.append(f"lib/{name}/CMakeLists.txt:1: has no tidepool_library({name} ...)")
            continue
        for path in sources(lib / name):
            where = path.relative_to(root)
            for number, line in enumerate(path.read_text().splitlines(), 1):
                mistakes += [f"{where}:{number}: {mistake}" for mistake in mistakes_of(name, allowed[name], path, line)]
    mistakes += included_too_often(root)
    return mistakes


def mistakes_of(folder, allowed, path, line):
    found = INCLUDE.match(line)
    if not found:
        code = without_comments(line)
        return [f"lib/ {what}, which is daemon/'s" for pattern, what in USES_OF_THE_SYSTEM.items()
                if pattern.search(code) and not (what.startswith("reads") and folder == "config")]
    quoted, name = found[1] == '"', found[2]
    if quoted:
        parts = name.split("/")
        if parts[0] == "daemon":
            return [f"includes {name}: lib/ knows nothing of daemon/"]
        if parts[0] != "lib" or len(parts) < 3:
            return [f"includes {name}: would be right: a path from the root, \"lib/...\""]
        if parts[1] != folder and parts[1] not in allowed:
            return [f"includes {name}: {folder} may include {', '.join(sorted(allowed)) or 'nothing'}"]
        return []
    if READING_FILES.fullmatch(name):
        return [] if folder == "config" else [f"includes <{name}>: files are read by lib/config alone"]
    for pattern, what in SYSTEM.items():
        if re.fullmatch(pattern, name):
            return [f"includes <{name}>: {what} is not for lib/"]
    return []


def included_too_often(root):
    where = {name: [] for name in IN_ONE_SOURCE}
    for path in sources(root / "lib") + sources(root / "daemon"):
        for line in path.read_text().splitlines():
            found = INCLUDE.match(line)
            if found and found[2] in where:
                where[found[2]].append(str(path.relative_to(root)))
    mistakes = []
    for name, paths in where.items():
        mistakes += [f"{path}:1: includes <{name}>: a header would bring it everywhere" for path in paths if path.endswith(".h")]
        if len(paths) > 1:
            mistakes.append(f"{paths[1]}:1: includes <{name}> too: one source is enough ({paths[0]}), it is slow to compile")
    return mistakes


if __name__ == "__main__":
    found = check(Path(sys.argv[1]))
    print("\n".join(found) or "includes: all as the table says")
    sys.exit(bool(found))
