// What only real files show: paths, permissions, passwords in files of their own.
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <fstream>

#include "tests/unit/config/loading.h"

namespace tidepool::config {
namespace {

// A folder that goes away with the test.
class Folder {
 public:
  Folder() {
    char name[] = "/tmp/tidepool_test_XXXXXX";
    REQUIRE(mkdtemp(name) != nullptr);
    path_ = name;
  }
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;
  ~Folder() {
    for (const std::string& file : files_) unlink(file.c_str());
    rmdir(path_.c_str());
  }

  std::string file(const std::string& name, const std::string& text, mode_t mode = 0600) {
    const std::string path = path_ + "/" + name;
    std::ofstream(path, std::ios::binary) << text;
    chmod(path.c_str(), mode);
    files_.push_back(path);
    return path;
  }
  const std::string& path() const { return path_; }

 private:
  std::string path_;
  std::vector<std::string> files_;
};

Loaded load_from(const std::string& path) {
  return load_file(path, read_conninfo, make_secrets);
}

const std::string kFrame = "listen: [{tcp: a}]\npools: {orders: {conninfo: user=app}}\n";

TEST_CASE("a file that cannot be read says so and why") {
  Folder folder;
  CHECK(lines_of(load_from(folder.path() + "/none").mistakes) ==
        folder.path() + "/none:1:1: file: cannot be read: No such file or directory; check the path\n");
  CHECK(lines_of(load_from(folder.path()).mistakes) ==
        folder.path() + ":1:1: file: is a folder; write the path of a file\n");
  const std::string large = folder.file("large", std::string(2'000'000, '#'));
  CHECK(lines_of(load_from(large).mistakes) ==
        large + ":1:1: file: is larger than 1048576 bytes; is it the right file?\n");
  const std::string secret = folder.file("unreadable", kFrame, 0000);
  if (geteuid() != 0) {  // root reads everything
    CHECK(lines_of(load_from(secret).mistakes) == secret +
                                                      ":1:1: file: cannot be read: Permission denied; let "
                                                      "the daemon's user read it and enter its folders\n");
  }
}

TEST_CASE("a password file is read beside the settings file, its first line without the line's end") {
  for (const char* content : {"hunter2", "hunter2\n", "hunter2\r\n", "hunter2\nmore\n"}) {
    Folder folder;
    folder.file("app.password", content);
    const Loaded loaded =
        load_from(folder.file("t.yaml", kFrame + "users: {app: {password_file: app.password}}\n", 0644));
    CHECK(lines_of(loaded.mistakes) + lines_of(loaded.warnings) == "");
    REQUIRE(loaded.settings);
    CHECK(loaded.settings->users.at("app").secret.matches("hunter2", "app"));
    CHECK(!loaded.settings->holds_secrets);
  }
}

TEST_CASE("a password file that is missing, empty, a folder or readable by all is reported") {
  Folder folder;
  folder.file("empty", "\n");
  const std::string readable = folder.file("readable", "hunter2\n", 0644);
  const std::string settings =
      folder.file("t.yaml", kFrame +
                                "users:\n  a: {password_file: none}\n  b: {password_file: empty}\n"
                                "  c: {password_file: /tmp}\n  d: {password_file: readable}\n"
                                "  e: {password_file: /dev/zero}\n");
  const Loaded loaded = load_from(settings);
  CHECK(lines_of(loaded.mistakes) ==
        settings + ":4:22: users.a.password_file: \"" + folder.path() +
            "/none\" cannot be read: No such file or directory; check the path\n" + settings +
            ":5:22: users.b.password_file: \"" + folder.path() +
            "/empty\" has an empty first line; write the password there\n" + settings +
            ":6:22: users.c.password_file: \"/tmp\" is a folder; write the path of a file\n" + settings +
            ":8:22: users.e.password_file: \"/dev/zero\" is not a regular file; write the path of one\n");
  CHECK(lines_of(loaded.warnings) ==
        settings + ":7:22: users.d.password_file: \"" + readable +
            "\" holds a password and everyone may read it (mode 0644); chmod o-rwx it\n");
}

TEST_CASE("a secret in a file that everyone may read is worth one warning, at the first secret") {
  const std::string words =
      "a secret stands in a file that everyone may read (mode 0644); chmod o-rwx the file, or use "
      "password_file or ${VAR}\n";
  Folder folder;
  const std::string password = kFrame + "users: {app: {password: x}, b: {password: y}}\n";
  const std::string open = folder.file("open.yaml", password, 0644);
  CHECK(lines_of(load_from(open).warnings) == open + ":3:25: users.app.password: " + words);
  CHECK(lines_of(load_from(folder.file("closed.yaml", password, 0640)).warnings) == "");

  const std::string conninfo = folder.file(
      "conninfo.yaml", "listen: [{unix: /x}]\npools: {orders: {conninfo: 'user=app password=x'}}\n", 0644);
  CHECK(lines_of(load_from(conninfo).warnings) == conninfo + ":2:28: pools.orders.conninfo: " + words);
  setenv("TIDEPOOL_TEST_SECRET", "hunter2", 1);
  const std::string variables =
      folder.file("variables.yaml",
                  "listen: [{unix: /x}]\nusers: {app: {password: '${TIDEPOOL_TEST_SECRET}'}}\n"
                  "pools: {orders: {conninfo: 'user=app password=${TIDEPOOL_TEST_SECRET}'}}\n",
                  0644);
  CHECK(lines_of(load_from(variables).warnings) == "");
}

}  // namespace
}  // namespace tidepool::config
