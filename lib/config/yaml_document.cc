#include "lib/config/yaml_document.h"

// The one file that includes yaml-cpp: its event parser only, which sees repeated keys, as its tree does not.
#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/exceptions.h>
#include <yaml-cpp/parser.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <map>
#include <optional>
#include <sstream>
#include <utility>

#include "lib/config/yaml_escapes.h"

namespace tidepool::config {
namespace {

constexpr std::string_view kByteOrderMark = "\xef\xbb\xbf";

bool continues_a_character(char byte) {
  return (static_cast<unsigned char>(byte) & 0xc0) == 0x80;
}

const char* const kKeyIsNoText = "a key must be text; put a key that starts with { or [ in quotes";

// yaml-cpp's words for a broken text, and ours where those would not help somebody who only wants the file to
// load.
struct Translation {
  std::string_view theirs, ours;
};
const Translation kTranslations[] = {
    {YAML::ErrorMsg::MAP_VALUE,
     "a colon stands where no key can be; check the indentation of this line and the colon of the line "
     "above, "
     "and quote a value that contains \": \""},
    {YAML::ErrorMsg::END_OF_MAP,
     "this line does not continue the settings above it; write \"key: value\" with the indentation of its "
     "neighbours"},
    {YAML::ErrorMsg::END_OF_SEQ,
     "this line does not continue the list above it; write \"- value\" with the indentation of its "
     "neighbours"},
    {YAML::ErrorMsg::FLOW_END, "a closing bracket has no opening one; remove it, or open it"},
    {YAML::ErrorMsg::TAB_IN_INDENTATION, "a tab stands in the indentation; write spaces"},
    {YAML::ErrorMsg::UNKNOWN_TOKEN, "a value cannot start with this character; put the value in quotes"},
    {YAML::ErrorMsg::UNKNOWN_ANCHOR,
     "no &name above gives this *name a meaning; put a value that starts with * in quotes"},
    {YAML::ErrorMsg::BLOCK_ENTRY, "a list cannot start here; write its \"- \" on a line of its own"},
    {YAML::ErrorMsg::BAD_FILE, "nested too deeply; settings are nested four deep at most"},
};

std::string translated(const std::string& theirs) {
  for (const auto& row : kTranslations) {
    // yaml-cpp 0.8 adds the name that has no anchor, which may be a password without its quotes.
    if (theirs.starts_with(row.theirs)) return std::string(row.ours);
  }
  if (theirs.starts_with(YAML::ErrorMsg::INVALID_ESCAPE)) {
    return "a backslash in double quotes starts an escape that YAML does not know; write \\\\, or use single "
           "quotes";
  }
  if (theirs.starts_with(YAML::ErrorMsg::INVALID_UNICODE)) {
    return "an escape in double quotes ends here that is no character: half of a surrogate pair, or beyond "
           "\\U0010ffff; write the character itself, or both halves";
  }
  return "not valid YAML: " + theirs;
}

// Bytes that are no text would pass yaml-cpp and end in names, logs and paths. Length of the character at
// `at`, 0: broken.
size_t character_length(std::string_view text, size_t at) {
  auto byte = [&](size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned char first = byte(at);
  if (first < 0x80)
    return (first >= 0x20 && first != 0x7f) || first == '\t' || first == '\n' || first == '\r';
  const size_t length = first >= 0xf0 && first <= 0xf4  ? 4
                        : first >= 0xe0 && first < 0xf0 ? 3
                        : first >= 0xc2 && first < 0xe0 ? 2
                                                        : 0;
  if (length == 0 || at + length > text.size()) return 0;
  for (size_t i = 1; i < length; ++i) {
    if (!continues_a_character(text[at + i])) return 0;
  }
  return length;
}

// What was respelled, in the text that yaml-cpp reads: by how many columns it was longer in the file.
struct Stretch {
  size_t at;
  int columns;
};

// Turns yaml-cpp's marks (from 0, columns in bytes) into places in the file.
class Ruler {
 public:
  Ruler(std::string_view text, std::vector<Stretch> stretches)
      : text_(text), stretches_(std::move(stretches)) {
    line_starts_.push_back(0);
    for (size_t at = 0; at < text.size(); ++at) {
      if (text[at] == '\n') line_starts_.push_back(at + 1);
    }
  }

  // Quick for marks that go forward: a file may be one long line.
  Place place_of(const YAML::Mark& mark) {
    if (mark.line < 0 || mark.column < 0) return {};
    const size_t to = offset_of(mark.line, mark.column);
    if (mark.line + 1 != last_.line || to < last_offset_) {
      last_ = {mark.line + 1, 1};
      last_offset_ = offset_of(mark.line, 0);
      next_stretch_ = 0;
      while (next_stretch_ < stretches_.size() && stretches_[next_stretch_].at < last_offset_)
        ++next_stretch_;
    }
    for (; last_offset_ < to; ++last_offset_) {
      last_.column += !continues_a_character(text_[last_offset_]);
      if (next_stretch_ == stretches_.size() || stretches_[next_stretch_].at != last_offset_) continue;
      last_.column += stretches_[next_stretch_++].columns;
    }
    return last_;
  }

  size_t offset_of(int line, int column) const {
    const auto row = static_cast<size_t>(line);
    if (row >= line_starts_.size()) return text_.size();
    return std::min(line_starts_[row] + static_cast<size_t>(column), text_.size());
  }

  std::string_view text() const { return text_; }

 private:
  std::string_view text_;
  std::vector<Stretch> stretches_;
  size_t next_stretch_ = 0;
  std::vector<size_t> line_starts_;
  Place last_;
  size_t last_offset_ = 0;
};

// Builds the tree from yaml-cpp's events. Its own mistakes end the parsing as yaml-cpp's do, by an exception
// of yaml-cpp.
class TreeBuilder : public YAML::EventHandler {
 public:
  explicit TreeBuilder(Ruler& ruler) : ruler_(ruler) {}

  YamlDocument take() { return std::move(document_); }
  // From its quote on, and to the other one.
  struct Quoted {
    size_t begin, end;
  };
  // The texts in double quotes, in the order of the file.
  const std::vector<Quoted>& quoted() const { return quoted_; }

  YamlDocument take_mistake(const YAML::Exception& thrown) {
    if (!mistake_.empty()) return {nullptr, std::move(mistake_), mistake_place_};
    const bool is_map = thrown.msg == YAML::ErrorMsg::END_OF_MAP_FLOW;
    const bool is_list = thrown.msg == YAML::ErrorMsg::END_OF_SEQ_FLOW;
    if ((is_map || is_list) && !open_.empty()) {
      // yaml-cpp tells where it gave up, which may be the end of the file.
      const std::string words = is_map ? "the { that opens here is not closed; write the missing }"
                                       : "the [ that opens here is not closed; write the missing ]";
      return {nullptr, words + hint(), open_.back().node->place};
    }
    return {nullptr, translated(thrown.msg) + hint(), ruler_.place_of(thrown.mark)};
  }

  void OnDocumentStart(const YAML::Mark& mark) override {
    if (++documents_ > 1) {
      broke(mark,
            "a second document starts here; one file is one document: remove a \"---\", or align this line "
            "with the first");
    }
  }
  void OnDocumentEnd() override {}

  void OnNull(const YAML::Mark& mark, YAML::anchor_t anchor) override {
    if (wants_key()) broke(mark, "a key is empty; write its name, in quotes if it is \"null\" or \"~\"");
    auto node = new_node(YamlNode::Kind::Null, mark);
    if (in_map()) node->place = open_.back().key_place;
    add(node, node->place, anchor);
  }
  void OnAlias(const YAML::Mark& mark, YAML::anchor_t anchor) override {
    const auto found = anchors_.find(anchor);
    if (found == anchors_.end()) broke(mark, "an alias stands inside of what it names; write the value out");
    if (wants_key()) return take_key(mark, *found->second);
    add(found->second, ruler_.place_of(mark), YAML::NullAnchor);
  }
  void OnScalar(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                const std::string& value) override {
    check_tag(tag, mark);
    check_quote_is_closed(mark);
    auto node = new_node(YamlNode::Kind::Scalar, mark);
    node->text = value;
    if (value.find('\0') != std::string::npos)
      broke(mark, "a zero byte (\\0) stands in this text; remove it");
    if (wants_key()) {
      if (anchor != YAML::NullAnchor) anchors_[anchor] = node;
      return take_key(mark, *node);
    }
    add(node, node->place, anchor);
  }
  void OnSequenceStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                       YAML::EmitterStyle::value) override {
    open(YamlNode::Kind::List, mark, tag, anchor);
  }
  void OnSequenceEnd() override { close(); }
  void OnMapStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                  YAML::EmitterStyle::value) override {
    open(YamlNode::Kind::Map, mark, tag, anchor);
  }
  void OnMapEnd() override { close(); }

 private:
  // A quote that is closed late is where many a later mistake comes from.
  std::string hint() const {
    if (!long_quote_) return "";
    return "; or is the quote that opens at line " + std::to_string(long_quote_->line) + ", column " +
           std::to_string(long_quote_->column) + " not closed there?";
  }

  struct Open {
    std::shared_ptr<YamlNode> node;
    YAML::anchor_t anchor;
    bool has_key = false;
    std::string key = {};
    Place key_place = {};
  };

  [[noreturn]] void broke(Place place, std::string what) {
    mistake_ = std::move(what);
    mistake_place_ = place;
    throw YAML::ParserException(YAML::Mark::null_mark(), "");
  }
  [[noreturn]] void broke(const YAML::Mark& mark, std::string what) {
    broke(ruler_.place_of(mark), std::move(what));
  }

  bool in_map() const { return !open_.empty() && open_.back().node->kind == YamlNode::Kind::Map; }
  bool wants_key() const { return in_map() && !open_.back().has_key; }

  std::shared_ptr<YamlNode> new_node(YamlNode::Kind kind, const YAML::Mark& mark) {
    auto node = std::make_shared<YamlNode>();
    node->kind = kind;
    node->place = ruler_.place_of(mark);
    return node;
  }

  void take_key(const YAML::Mark& mark, const YamlNode& key) {
    if (key.kind != YamlNode::Kind::Scalar) broke(mark, kKeyIsNoText);
    open_.back().has_key = true;
    open_.back().key = key.text;
    open_.back().key_place = ruler_.place_of(mark);
  }

  void open(YamlNode::Kind kind, const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor) {
    check_tag(tag, mark);
    if (wants_key()) broke(mark, kKeyIsNoText);
    if (open_.size() >= kDeepestYaml) broke(mark, translated(YAML::ErrorMsg::BAD_FILE));
    open_.push_back({new_node(kind, mark), anchor});
  }
  void close() {
    Open done = std::move(open_.back());
    open_.pop_back();
    add(done.node, done.node->place, done.anchor);
  }

  void add(YamlNodePtr node, Place place, YAML::anchor_t anchor) {
    if (anchor != YAML::NullAnchor) anchors_[anchor] = node;
    if (open_.empty()) {
      document_.root = std::move(node);
      return;
    }
    Open& parent = open_.back();
    parent.node->weight += node->weight;
    if (parent.node->weight > kHeaviestYaml) {
      broke(place, "more than " + std::to_string(kHeaviestYaml) + " values in one file; make it smaller");
    }
    if (in_map()) {
      parent.has_key = false;
      parent.node->entries.push_back({std::move(parent.key), parent.key_place, std::move(node), place});
    } else {
      parent.node->items.push_back({std::move(node), place});
    }
  }

  // "?" and "!" are what yaml-cpp calls plain and quoted; "!!str" and its like change nothing, as everything
  // is read as text.
  void check_tag(const std::string& tag, const YAML::Mark& mark) {
    if (tag.empty() || tag == "?" || tag == "!" || tag.starts_with("tag:yaml.org,2002:")) return;
    broke(mark,
          "a value starts with a YAML tag, and tags have no meaning here; remove it, or put the value in "
          "quotes");
  }

  // yaml-cpp closes a forgotten quote at the end of the file and swallows all that stood in between. By
  // YAML's rules every line of a quoted text is indented; an unclosed quote breaks that at once.
  void check_quote_is_closed(const YAML::Mark& mark) {
    const std::string_view text = ruler_.text();
    size_t at = ruler_.offset_of(mark.line, mark.column);
    while (at < text.size() &&
           (text[at] == '&' || text[at] == '!')) {  // what may stand in front of the quote
      at = std::min(text.find_first_of(" \n", at), text.size());
      at = std::min(text.find_first_not_of(" \n", at), text.size());
    }
    if (at >= text.size() || (text[at] != '"' && text[at] != '\'')) return;
    const char quote = text[at];
    const size_t begin = at;
    bool several_lines = false;
    for (++at; at < text.size(); ++at) {
      if (text[at] == '\\' && quote == '"') {
        ++at;
      } else if (text[at] == quote) {
        if (several_lines) long_quote_ = ruler_.place_of(mark);
        if (quote == '"') quoted_.push_back({begin, at});
        return;
      } else if (text[at] == '\n') {
        several_lines = true;
        const bool indented =
            at + 1 < text.size() && std::string_view(" \t\r\n").find(text[at + 1]) != std::string_view::npos;
        if (!indented && at + 1 < text.size()) break;
      }
    }
    broke(mark, "the quote that opens here is not closed; close it, or indent the lines that it goes on in");
  }

  Ruler& ruler_;
  YamlDocument document_;
  std::string mistake_;
  Place mistake_place_;
  std::vector<Open> open_;
  std::map<YAML::anchor_t, YamlNodePtr> anchors_;
  std::optional<Place> long_quote_;
  std::vector<Quoted> quoted_;
  int documents_ = 0;
};

std::optional<YamlDocument> not_text(std::string_view text) {
  Place place;
  for (size_t at = 0; at < text.size();) {
    const size_t length = character_length(text, at);
    if (length == 0) {
      std::array<char, 96> words{};
      std::snprintf(words.data(), words.size(),
                    "the byte 0x%02x here is not text; save the file as plain UTF-8",
                    static_cast<unsigned>(static_cast<unsigned char>(text[at])));
      return YamlDocument{nullptr, words.data(), place};
    }
    place = text[at] == '\n' ? Place{place.line + 1, 1} : Place{place.line, place.column + 1};
    at += length;
  }
  return std::nullopt;
}

struct Parsed {
  YamlDocument document;
  std::vector<Respelling> quoted;  // those that stand in double quotes; after a mistake, all
};

Parsed parse(std::string_view text, std::vector<Respelling> respellings) {
  const std::string spelled = respelled(text, respellings);
  std::vector<Stretch> stretches;
  int longer = 0;
  for (const Respelling& each : respellings) {
    const int columns = static_cast<int>(each.length) - static_cast<int>(each.spelling.size());
    stretches.push_back({each.at - static_cast<size_t>(longer), columns});
    longer += columns;
  }
  Ruler ruler(spelled, stretches);
  TreeBuilder builder(ruler);
  std::istringstream stream(spelled);
  try {
    YAML::Parser parser(stream);
    while (parser.HandleNextDocument(builder)) {
    }
  } catch (const YAML::Exception& thrown) {
    return {builder.take_mistake(thrown), std::move(respellings)};
  }
  Parsed parsed{builder.take(), {}};
  auto quoted = builder.quoted().begin();
  for (size_t i = 0; i < respellings.size(); ++i) {
    while (quoted != builder.quoted().end() && quoted->end < stretches[i].at) ++quoted;
    if (quoted == builder.quoted().end()) break;
    if (quoted->begin < stretches[i].at) parsed.quoted.push_back(std::move(respellings[i]));
  }
  return parsed;
}

}  // namespace

YamlDocument parse_yaml(std::string_view text) {
  if (text.starts_with(kByteOrderMark)) text.remove_prefix(kByteOrderMark.size());
  if (auto refused = not_text(text)) return *std::move(refused);

  // What stands in double quotes, yaml-cpp finds out. Elsewhere nothing is an escape: where something was
  // respelled there, the text is read once more, without that.
  auto respellings = respellings_in(text);
  const size_t count = respellings.size();
  Parsed parsed = parse(text, std::move(respellings));
  if (parsed.quoted.size() != count) parsed = parse(text, std::move(parsed.quoted));
  return std::move(parsed.document);
}

}  // namespace tidepool::config
