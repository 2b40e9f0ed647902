// All prepared statements of a pool, each once, and their texts. Those that nobody has any more are forgotten
// when memory is wanted. Not thread-safe; SharedPool guards it.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>

#include "lib/session/prepared_statement.h"

namespace tidepool::session {

class StatementBook {
 public:
  static constexpr size_t kMostBytes = size_t{256} * 1024 * 1024;

  explicit StatementBook(size_t most_bytes = kMostBytes);

  // Null: texts in use take `most_bytes` already.
  TextPtr text(std::string_view text, std::string_view types, const sql::Options& options);
  // The one that is equal to `statement`, whose text is of this book.
  StatementPtr share(const PreparedStatement& statement);

  // A reload. What is in use stays, even if it is more.
  void set_most_bytes(size_t most_bytes);
  size_t size() const { return texts_.size(); }
  size_t bytes() const { return bytes_; }
  // True once each time that what is in use comes near to `most_bytes`.
  bool take_nearly_full() { return std::exchange(is_nearly_full_, false); }

 private:
  struct TextKey {  // views of the text's own strings
    std::string_view text, types;
    unsigned read_as;  // which of sql::Options it was read with, if it depends on them
    bool operator==(const TextKey&) const = default;
  };
  struct TextHash {
    size_t operator()(const TextKey& key) const {
      const std::hash<std::string_view> hash;
      return hash(key.text) ^ hash(key.types) * 31 ^ key.read_as * 131;
    }
  };
  struct Equal {
    bool operator()(const PreparedStatement* a, const PreparedStatement* b) const { return *a == *b; }
  };
  struct Hash {
    size_t operator()(const PreparedStatement* statement) const;
  };
  void forget_unused();
  bool make_room(size_t size);

  size_t most_bytes_;
  size_t look_again_at_;  // when so many bytes are held, those that nobody has are looked for
  size_t bytes_ = 0;
  bool is_nearly_full_ = false, was_nearly_full_ = false;
  std::unordered_map<TextKey, TextPtr, TextHash> texts_;
  std::unordered_map<const PreparedStatement*, StatementPtr, Hash, Equal> statements_;
};

}  // namespace tidepool::session
