#include "lib/config/text_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <string_view>

namespace tidepool::config {
namespace {

struct OpenFile {
  int fd;
  explicit OpenFile(int opened) : fd(opened) {}
  OpenFile(const OpenFile&) = delete;
  OpenFile& operator=(const OpenFile&) = delete;
  ~OpenFile() {
    if (fd >= 0) close(fd);
  }
};

std::string cannot_be_read(int error) {
  std::string_view remedy = "; check the path, and that the daemon's user may read it";
  if (error == ENOENT) remedy = "; check the path";
  if (error == EACCES) remedy = "; let the daemon's user read it and enter its folders";
  return std::string("cannot be read: ")
      .append(std::strerror(error))
      .append(remedy);  // NOLINT(concurrency-mt-unsafe)
}

}  // namespace

TextFile read_text_file(const std::string& path, size_t most, bool regular_only) {
  TextFile file;
  const OpenFile opened(
      open(path.c_str(), O_RDONLY | O_CLOEXEC | (regular_only ? O_NONBLOCK : 0)));  // NOLINT
  struct stat status {};
  if (opened.fd < 0 || fstat(opened.fd, &status) != 0) {
    file.mistake = cannot_be_read(errno);
    return file;
  }
  if (S_ISDIR(status.st_mode)) {
    file.mistake = "is a folder; write the path of a file";
    return file;
  }
  if (regular_only && !S_ISREG(status.st_mode)) {
    file.mistake = "is not a regular file; write the path of one";
    return file;
  }
  file.mode = status.st_mode & 07777;

  std::array<char, 16 * 1024> buffer{};
  while (file.text.size() <= most) {
    const ssize_t got = read(opened.fd, buffer.data(), buffer.size());
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) {
      file.mistake = cannot_be_read(errno);
      return file;
    }
    if (got == 0) return file;
    file.text.append(buffer.data(), static_cast<size_t>(got));
  }
  file.text.clear();
  file.mistake = "is larger than " + std::to_string(most) + " bytes; is it the right file?";
  return file;
}

}  // namespace tidepool::config
