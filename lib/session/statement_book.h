// All prepared statements of a pool, each once. Those that nobody has any more are forgotten when memory is
// wanted. Not thread-safe; SharedPool guards it.
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>

#include "lib/session/prepared_statement.h"

namespace tidepool::session {

class StatementBook {
 public:
  static constexpr size_t kMostBytes = size_t{256} * 1024 * 1024;

  explicit StatementBook(size_t most_bytes = kMostBytes);

  // Null: those in use take `most_bytes` already.
  StatementPtr share(std::string_view text, std::string_view types, std::string_view fingerprint,
                     std::string_view run_under, const sql::Options& options);
  size_t size() const { return statements_.size(); }
  size_t bytes() const { return bytes_; }

 private:
  struct Key {  // views of the statement's own strings
    std::string_view text, types, fingerprint, run_under;
    bool operator==(const Key&) const = default;
  };
  struct Hash {
    size_t operator()(const Key& key) const {
      const std::hash<std::string_view> hash;
      return hash(key.text) ^ hash(key.types) * 31 ^ hash(key.fingerprint) * 131 ^ hash(key.run_under) * 8191;
    }
  };
  void forget_unused();

  const size_t most_bytes_;
  size_t look_again_at_;  // when so many bytes are held, those that nobody has are looked for
  size_t bytes_ = 0;
  std::unordered_map<Key, StatementPtr, Hash> statements_;
};

}  // namespace tidepool::session
