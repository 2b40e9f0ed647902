// Reads a small file, and says in words why it cannot.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

namespace tidepool::config {

struct TextFile {
  std::string text;
  uint32_t mode = 0;    // permission bits
  std::string mistake;  // empty: it was read
};
// Up to `most` bytes. Only a regular file counts where `regular_only` is set: a pipe could hold up a reload
// for ever.
TextFile read_text_file(const std::string& path, size_t most, bool regular_only);

}  // namespace tidepool::config
