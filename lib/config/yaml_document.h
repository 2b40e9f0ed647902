// A YAML text as a tree that remembers where everything stands. Knows nothing of settings. Every scalar is
// text as written (`0660` stays "0660"), repeated keys are kept, and the first thing that makes the text
// unusable is reported with its place. What a file of settings has no use for is refused here: several
// documents, tags of one's own, keys that are not text.
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace tidepool::config {

// Where a character stands, as an editor counts: both from 1, a column is a character and not a byte.
struct Place {
  int line = 1, column = 1;

  bool operator<(const Place& other) const {
    return line != other.line ? line < other.line : column < other.column;
  }
};

struct YamlNode;
// Shared, because an alias (*name) is the same node once more.
using YamlNodePtr = std::shared_ptr<const YamlNode>;

struct YamlEntry {
  std::string key;
  Place place;  // of the key
  YamlNodePtr value;
  Place value_place;  // the key's if there is no value, the alias's if it is one
};

struct YamlItem {
  YamlNodePtr value;
  Place place;
};

struct YamlNode {
  enum class Kind { Null, Scalar, List, Map };
  Kind kind = Kind::Null;
  Place place;
  std::string text;                // Scalar
  std::vector<YamlItem> items;     // List
  std::vector<YamlEntry> entries;  // Map, in the order of the file
  size_t weight = 1;               // how many nodes this is with all aliases written out
};

struct YamlDocument {
  YamlNodePtr root;     // null: nothing but comments, or a mistake
  std::string mistake;  // empty: none
  Place mistake_place;
};

// Deeper or larger (with aliases written out) is a mistake, not work.
constexpr size_t kDeepestYaml = 20;
constexpr size_t kHeaviestYaml = 100'000;

YamlDocument parse_yaml(std::string_view text);

}  // namespace tidepool::config
