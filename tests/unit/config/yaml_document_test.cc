#include "lib/config/yaml_document.h"

#include <doctest/doctest.h>

namespace tidepool::config {
namespace {

std::string print(const YamlNode& node) {
  switch (node.kind) {
    case YamlNode::Kind::Null:
      return "null";
    case YamlNode::Kind::Scalar:
      return "'" + node.text + "'";
    case YamlNode::Kind::List: {
      std::string out;
      for (const auto& item : node.items) out += (out.empty() ? "" : " ") + print(*item.value);
      return "[" + out + "]";
    }
    case YamlNode::Kind::Map: {
      std::string out;
      for (const auto& entry : node.entries) {
        out += (out.empty() ? "" : " ") + entry.key + "@" + std::to_string(entry.place.line) + ":" +
               std::to_string(entry.place.column) + "=" + print(*entry.value);
      }
      return "{" + out + "}";
    }
  }
  return "";
}
std::string tree(std::string_view yaml) {
  const YamlDocument document = parse_yaml(yaml);
  if (!document.mistake.empty()) {
    CHECK(document.root == nullptr);
    return std::to_string(document.mistake_place.line) + ":" + std::to_string(document.mistake_place.column) +
           " " + document.mistake;
  }
  return document.root ? print(*document.root) : "nothing";
}

TEST_CASE("scalars are text as written, and every key has its place") {
  CHECK(tree("a: 0660\nb: [x, \"y\", ~]\nc:\n  d: yes\n") ==
        "{a@1:1='0660' b@2:1=['x' 'y' null] c@3:1={d@4:3='yes'}}");
}
TEST_CASE("columns count characters, not bytes, and a byte order mark counts nothing") {
  CHECK(tree("\xef\xbb\xbf\xc3\xa9\xc3\xa9: {\xc3\xa9: 1, b: 2}\n") ==
        "{\xc3\xa9\xc3\xa9@1:1={\xc3\xa9@1:6='1' b@1:12='2'}}");
}
TEST_CASE("repeated keys are kept") {
  CHECK(tree("a: 1\na: 2\n") == "{a@1:1='1' a@2:1='2'}");
}
TEST_CASE("lines may end as on Windows") {
  CHECK(tree("a: 1\r\nb: 2\r\n") == "{a@1:1='1' b@2:1='2'}");
}
TEST_CASE("two escapes of a surrogate pair, as JSON writes them, are one character") {
  CHECK(
      tree(R"({"a": "x\ud83d\ude00y", "b\uD83D\uDE00": ["\ud83d\ude00\ud83d\ude00", "\u00e9"]})") ==
      "{a@1:2='x\xf0\x9f\x98\x80y' b\xf0\x9f\x98\x80@1:25=['\xf0\x9f\x98\x80\xf0\x9f\x98\x80' '\xc3\xa9']}");
  CHECK(tree("a: \"\\udbff\\udfff\"\nb: 1\n") == "{a@1:1='\xf4\x8f\xbf\xbf' b@2:1='1'}");
}
TEST_CASE("what is no escape stays as it is written, also beside one") {
  CHECK(tree(R"(a: '\ud83d\ude00')") == R"({a@1:1='\ud83d\ude00'})");
  CHECK(tree(R"(a: "\\ud83d\\ude00")") == R"({a@1:1='\ud83d\ude00'})");
  CHECK(tree(R"(a: x"\ud83d\ude00")") == R"({a@1:1='x"\ud83d\ude00"'})");
  CHECK(tree("a: \"\\ud83d\\ude00\" # \"\\ud83d\\ude00\nb: '\\ud83d\\ude00 \"'\nc: |\n  "
             "\"\\ud83d\\ude00\"\nd: 1\n") ==
        "{a@1:1='\xf0\x9f\x98\x80' b@2:1='\\ud83d\\ude00 \"' c@3:1='\"\\ud83d\\ude00\"\n' d@5:1='1'}");
}
TEST_CASE("a no-break space and a next line have escapes of their own") {
  CHECK(tree(R"({"a": "x\_y", b: ["\N", '\_', \N]})") ==
        "{a@1:2='x\xc2\xa0y' b@1:15=['\xc2\x85' '\\_' '\\N']}");
}
TEST_CASE("half of a surrogate pair is refused where it stands") {
  for (const char* half :
       {"\\ud83d", "\\ude00", "\\ud83dx\\ude00", "\\ude00\\ud83d", "\\ud83d\\ud83d", "\\U00110000"}) {
    const YamlDocument document = parse_yaml("a: 1\nb: \"" + std::string(half) + "\"\n");
    CHECK(document.mistake.starts_with("an escape in double quotes ends here that is no character"));
    CHECK(document.mistake_place.line == 2);
  }
}
TEST_CASE("a text of comments is nothing") {
  CHECK(tree("") == "nothing");
  CHECK(tree("# a\n\n") == "nothing");
}
TEST_CASE("an alias is its value once more") {
  CHECK(tree("a: &x [1, 2]\nb: *x\n") == "{a@1:1=['1' '2'] b@2:1=['1' '2']}");
  CHECK(tree("&k a: 1\nb: *k\n") == "{a@1:1='1' b@2:1='a'}");
}
TEST_CASE("aliases that multiply are refused before they cost anything") {
  std::string bomb = "a: &a [x, x, x, x, x, x, x, x, x, x]\n";
  for (char c = 'b'; c < 'l'; ++c) {
    bomb += std::string(1, c) + ": &" + c + " [";
    for (int i = 0; i < 10; ++i) bomb += (i > 0 ? ", *" : "*") + std::string(1, static_cast<char>(c - 1));
    bomb += "]\n";
  }
  CHECK(tree(bomb) == "5:44 more than 100000 values in one file; make it smaller");
}
TEST_CASE("an alias inside of what it names is refused") {
  CHECK(tree("a: &x [*x]\n") == "1:8 an alias stands inside of what it names; write the value out");
}
TEST_CASE("nesting is bounded") {
  const std::string words = "nested too deeply; settings are nested four deep at most";
  CHECK(tree(std::string(21, '[') + std::string(21, ']')) == "1:21 " + words);
}
TEST_CASE("a broken text is one mistake with its place and a remedy") {
  CHECK(tree("a: {b: 1\nc: 2\n") == "1:4 the { that opens here is not closed; write the missing }");
  CHECK(tree("a: [b\nc: 2\n") == "1:4 the [ that opens here is not closed; write the missing ]");
  CHECK(tree("a: 1\n}\n") == "2:1 a closing bracket has no opening one; remove it, or open it");
  CHECK(tree("a: @x\n") == "1:4 a value cannot start with this character; put the value in quotes");
  CHECK(tree("a: *x\n") ==
        "1:4 no &name above gives this *name a meaning; put a value that starts with * in quotes");
  CHECK(tree("a: \"\\q\"\n") ==
        "1:7 a backslash in double quotes starts an escape that YAML does not know; write \\\\, or use "
        "single quotes");
  CHECK(tree("a: 1\n- b\n") ==
        "2:1 this line does not continue the settings above it; write \"key: value\" with the indentation of "
        "its neighbours");
  CHECK(tree("a: b: c\n") ==
        "1:5 a colon stands where no key can be; check the indentation of this line and the colon of the "
        "line above, and "
        "quote a value that contains \": \"");
  CHECK(tree("a: !include b\n") ==
        "1:4 a value starts with a YAML tag, and tags have no meaning here; remove it, or put the value in "
        "quotes");
  CHECK(tree("a: 1\n~: 2\n") == "2:1 a key is empty; write its name, in quotes if it is \"null\" or \"~\"");
  CHECK(tree("? [a]\n: 1\n") == "1:3 a key must be text; put a key that starts with { or [ in quotes");
}
TEST_CASE("a quote that is not closed is reported where it opens, and swallows nothing") {
  const std::string words =
      "the quote that opens here is not closed; close it, or indent the lines that it goes on in";
  CHECK(tree("a: \"x\nb: 1\n") == "1:4 " + words);
  CHECK(tree("a: 'x\nb: 1\n") == "1:4 " + words);
  CHECK(tree("a:\n  b: \"x\n  c: 1\n") == "2:6 " + words);
  CHECK(tree("a: &n \"x\nb: 1\n") == "1:4 " + words);
  CHECK(tree("a: \"x\n  y\"\nb: 'it''s'\nc: \"\\\"\"\n") == "{a@1:1='x y' b@3:1='it's' c@4:1='\"'}");
  CHECK(tree("a:\n  b: \"x\n  c: \"y\"\n")
            .ends_with("; or is the quote that opens at line 2, column 6 not closed there?"));
}
TEST_CASE("a second document is refused, also one that only a wrong indentation made") {
  const std::string words =
      "a second document starts here; one file is one document: remove a \"---\", or align this line with "
      "the first";
  CHECK(tree("---\na: 1\n---\nb: 1\n") == "3:1 " + words);
  CHECK(tree(" a: 1\nb: 2\n") == "2:1 " + words);
  CHECK(tree("---\na: 1\n...\n") == "{a@2:1='1'}");
}
TEST_CASE("bytes that are no text are refused where they stand") {
  CHECK(tree("a: 1\nb: \xff\n") == "2:4 the byte 0xff here is not text; save the file as plain UTF-8");
  CHECK(tree(std::string_view("a: \0\n", 5)) ==
        "1:4 the byte 0x00 here is not text; save the file as plain UTF-8");
  CHECK(tree("a: \xc3") == "1:4 the byte 0xc3 here is not text; save the file as plain UTF-8");
  CHECK(tree("\xff\xfe"
             "a") == "1:1 the byte 0xff here is not text; save the file as plain UTF-8");
  CHECK(tree("a: \"\\0\"\n") == "1:4 a zero byte (\\0) stands in this text; remove it");
}

}  // namespace
}  // namespace tidepool::config
