// The statements of a pool, of a client and of a server.
#include "lib/session/statement_book.h"

#include <doctest/doctest.h>

#include "lib/session/client_statements.h"
#include "lib/session/server_statements.h"

namespace tidepool::session {
namespace {

// -- Of a pool

TEST_CASE("the same text, types and settings are the same statement") {
  StatementBook book;
  const auto one = book.share("select $1", std::string_view("\0\0", 2), "", "", {});
  CHECK(book.share("select $1", std::string_view("\0\0", 2), "", "", {}) == one);
  CHECK(book.share("select $1 ", std::string_view("\0\0", 2), "", "", {}) != one);
  CHECK(book.share("select $1", std::string_view("\0\1\0\0\0\5", 6), "", "", {}) != one);
  CHECK(book.share("select $1", std::string_view("\0\0", 2), "datestyle", "", {}) != one);
  CHECK(book.share("select $1", std::string_view("\0\0", 2), "", "as datestyle", {}) != one);
  CHECK(book.size() == 5);
  CHECK(book.share("listen news", "", "", "", {})->traits.has(sql::Trait::Listen));
}

TEST_CASE("a book keeps to its memory: what nobody has is forgotten, and in the end no more is taken") {
  constexpr size_t kMost = 100'000;
  StatementBook book(kMost);
  for (int i = 0; i < 10'000; ++i) {
    REQUIRE(book.share("select " + std::to_string(i), "", "", "", {}) != nullptr);
    REQUIRE(book.bytes() <= kMost);
  }
  std::vector<StatementPtr> in_use;
  const std::string kText = "select * from t" + std::string(100, 't');
  for (int i = 0; i < 10'000; ++i) {
    auto statement = book.share(kText + std::to_string(i), "", "", "", {});
    if (!statement) break;
    in_use.push_back(std::move(statement));
  }
  CHECK(in_use.size() < 10'000);
  CHECK(book.bytes() <= kMost);
  CHECK(book.bytes() > kMost * 9 / 10);
  CHECK(book.share(kText + " one more", "", "", "", {}) == nullptr);
  CHECK(book.share(in_use[5]->text, "", "", "", {}) == in_use[5]);
  in_use.clear();
  CHECK(book.share(kText + " one more", "", "", "", {}) != nullptr);
  CHECK(book.size() == 1);
}

TEST_CASE("a text longer than the book is refused, and changes nothing") {
  StatementBook book(10'000);
  const auto one = book.share("select 1", "", "", "", {});
  CHECK(book.share(std::string(20'000, 'x'), "", "", "", {}) == nullptr);
  CHECK(book.share("select 1", "", "", "", {}) == one);
}

// -- Of a client

StatementPtr statement(std::string text) {
  auto made = std::make_shared<PreparedStatement>();
  made->text = std::move(text);
  return made;
}

TEST_CASE("a client's names: taken, put back, and bounded") {
  ClientStatements statements;
  const auto one = statement("select 1"), two = statement("select 2");
  statements.set("a", one);
  statements.set("a", two);
  REQUIRE(statements.find("a") != nullptr);
  CHECK(statements.find("a")->statement == two);
  statements.find("a")->told_shape = RowShape::kNoRows;
  auto taken = statements.take("a");
  REQUIRE(taken);
  CHECK(statements.find("a") == nullptr);
  CHECK_FALSE(statements.take("a"));
  statements.put("a", std::move(*taken));
  CHECK(statements.find("a")->told_shape == RowShape::kNoRows);
  CHECK(statements.size() == 1);

  const std::string name(1'000'000, 'n');
  int many = 0;
  while (many < 100 && statements.has_room_for(name)) statements.set(name + std::to_string(many++), one);
  CHECK(many == 16);
  statements.begin_era();
  statements.end_era();
  CHECK(statements.size() == 0);
  CHECK(statements.has_room_for(std::string(16'000'000, 'n')));
}

TEST_CASE("behind a DEALLOCATE ALL names are gone, unless it fails") {
  ClientStatements statements;
  statements.set("a", statement("select 1"));
  const uint32_t before = statements.begin_era();
  CHECK(statements.find("a") == nullptr);
  statements.set("b", statement("select 2"));
  SUBCASE("it is done") {
    statements.end_era();
    CHECK(statements.size() == 1);
    CHECK(statements.find("b") != nullptr);
  }
  SUBCASE("it has failed") {
    statements.take("b");  // what came behind it is taken back first
    statements.undo_era(before);
    CHECK(statements.find("a") != nullptr);
    CHECK(statements.find("b") == nullptr);
  }
}

// -- Of a server

TEST_CASE("the statement used longest ago goes first") {
  ServerStatements statements;
  const auto one = statement("1"), two = statement("2"), three = statement("3");
  CHECK(statements.add(one) == 1);
  CHECK(statements.add(two) == 2);
  CHECK(statements.take_surplus(3) == 0);
  CHECK(statements.find(*one) == 1);
  CHECK(statements.take_surplus(2) == 2);
  CHECK(statements.find(*two) == 0);
  CHECK(statements.size() == 1);
  CHECK(statements.add(three) == 3);
  CHECK(statements.add(two) == 4);  // no number twice
  CHECK(statements.take_surplus(1) == 1);
  CHECK(statements.take_surplus(1) == 3);
}

TEST_CASE("what is unwanted goes before anything else") {
  ServerStatements statements;
  const auto one = statement("1");
  statements.add(one);
  statements.unwanted = {7, 9};
  CHECK_FALSE(statements.is_empty());
  CHECK(statements.take_surplus(100) == 9);
  CHECK(statements.take_surplus(100) == 7);
  CHECK(statements.take_surplus(100) == 0);
  statements.remove(1);
  statements.remove(1);
  CHECK(statements.is_empty());
}

TEST_CASE("behind a DEALLOCATE ALL a server has nothing, unless that fails") {
  ServerStatements statements;
  const auto one = statement("1"), two = statement("2");
  statements.add(one);
  statements.add(two);
  const uint32_t before = statements.begin_era();
  CHECK(statements.find(*one) == 0);
  CHECK(statements.add(one) == 3);
  CHECK(statements.find(*one) == 3);
  SUBCASE("it is done") {
    statements.end_era();
    CHECK(statements.find(*one) == 3);
    CHECK(statements.size() == 1);
  }
  SUBCASE("it has failed") {
    statements.remove(3);  // taken back first
    statements.undo_era(before);
    CHECK(statements.find(*two) == 2);
    CHECK(statements.find(*one) == 0);
  }
  SUBCASE("the server is reset") {
    statements.clear();
    CHECK(statements.is_empty());
    CHECK(statements.add(two) == 4);
  }
}

}  // namespace
}  // namespace tidepool::session
