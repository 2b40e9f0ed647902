"""check_includes.py finds what it is there for, and passes what is right."""

import tempfile
import unittest
from pathlib import Path

from check_includes import allowed_folders, check

FOLDERS = {
    "base": "tidepool_library(base SOURCES bytes.cc)",
    "wire": "tidepool_library(wire\n  SOURCES frame.cc\n  DEPENDS base)",
    "auth": "tidepool_library(auth SOURCES a.cc DEPENDS wire PRIVATE_LINKS OpenSSL::Crypto)",
    "config": "tidepool_library(config SOURCES c.cc DEPENDS base)",
}


class CheckIncludes(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.root = Path(self.folder.name)
        for name, text in FOLDERS.items():
            (self.root / "lib" / name).mkdir(parents=True)
            (self.root / "lib" / name / "CMakeLists.txt").write_text(text)

    def tearDown(self):
        self.folder.cleanup()

    def mistakes_in(self, path, text):
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        return check(self.root)

    def test_dependencies_are_followed_through(self):
        self.assertEqual(allowed_folders(self.root / "lib"),
                         {"base": set(), "wire": {"base"}, "auth": {"wire", "base"}, "config": {"base"}})

    def test_what_the_table_allows_passes(self):
        self.assertEqual(self.mistakes_in("lib/auth/a.cc", '#include "lib/auth/a.h"\n#include "lib/base/bytes.h"\n'
                                          '#include <openssl/sha.h>\n#include <string>\n'), [])

    def test_a_folder_that_is_not_depended_on(self):
        self.assertIn("lib/wire/x.h:2:", self.mistakes_in("lib/wire/x.h", '\n#include "lib/auth/a.h"\n')[0])

    def test_the_daemon_from_lib(self):
        self.assertIn("nothing of daemon/", self.mistakes_in("lib/base/x.cc", '#include "daemon/worker.h"')[0])

    def test_a_path_that_is_not_from_the_root(self):
        self.assertIn("from the root", self.mistakes_in("lib/base/x.cc", '#include "bytes.h"')[0])

    def test_sockets_clocks_threads_and_logs(self):
        for header in ("sys/socket.h", "thread", "mutex", "atomic", "ctime", "uv.h", "libpq-fe.h", "spdlog/fmt/fmt.h",
                       "openssl/ssl.h", "unistd.h"):
            self.assertEqual(len(self.mistakes_in("lib/base/x.cc", f"#include <{header}>")), 1, header)

    def test_a_clock_asked_in_passing(self):
        text = "auto now = std::chrono::steady_clock::now();  // wrong\n// steady_clock::now() in a comment is fine\n"
        self.assertEqual(len(self.mistakes_in("lib/base/x.cc", text)), 1)

    def test_files_and_environment_belong_to_the_loader(self):
        text = '#include <fstream>\nauto x = std::getenv("A");\n'
        self.assertEqual(self.mistakes_in("lib/config/c.cc", text), [])
        self.assertEqual(len(self.mistakes_in("lib/base/x.cc", text)), 2)

    def test_slow_headers_in_one_source_only(self):
        self.assertEqual(self.mistakes_in("lib/config/c.cc", "#include <yaml-cpp/yaml.h>"), [])
        self.assertEqual(len(self.mistakes_in("lib/config/d.cc", "#include <yaml-cpp/yaml.h>")), 1)


if __name__ == "__main__":
    unittest.main()
