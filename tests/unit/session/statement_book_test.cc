// The statements of a pool, of a client and of a server.
#include "lib/session/statement_book.h"

#include <doctest/doctest.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "lib/session/client_statements.h"
#include "lib/session/server_statements.h"

namespace tidepool::session {
namespace {

// -- Of a pool

TEST_CASE("the same text and types are one text") {
  StatementBook book;
  const auto one = book.text("select $1", std::string_view("\0\0", 2), {});
  CHECK(book.text("select $1", std::string_view("\0\0", 2), {}) == one);
  CHECK(book.text("select $1 ", std::string_view("\0\0", 2), {}) != one);
  CHECK(book.text("select $1", std::string_view("\0\1\0\0\0\5", 6), {}) != one);
  CHECK(book.size() == 3);
  CHECK(book.text("listen news", "", {})->traits.has(sql::Trait::Listen));
}

TEST_CASE("a text knows what the relay asks of it") {
  StatementBook book;
  const auto one = book.text("select 1", "", {});
  CHECK(one->is_analysed);
  CHECK_FALSE(one->has_literals);
  CHECK_FALSE(one->has_odd_letters);
  CHECK_FALSE(book.text("show all", "", {})->is_analysed);
  CHECK(book.text("select 'a'", "", {})->has_literals);
  CHECK(book.text("select \"\xc3\xa4\"", "", {})->has_odd_letters);
}

TEST_CASE("equal statements are one; any difference makes another") {
  StatementBook book;
  const auto text = book.text("select $1", "", {});
  const PreparedStatement statement{text, "settings", "run under", "types", 7};
  const auto one = book.share(statement);
  CHECK(book.share(PreparedStatement(statement)) == one);
  CHECK(*one == statement);
  for (const PreparedStatement& other :
       {PreparedStatement{book.text("select $2", "", {}), "settings", "run under", "types", 7},
        PreparedStatement{text, "others", "run under", "types", 7},
        PreparedStatement{text, "settings", "others", "types", 7},
        PreparedStatement{text, "settings", "run under", "others", 7},
        PreparedStatement{text, "settings", "run under", "types", 8}})
    CHECK(book.share(other) != one);
}

TEST_CASE("a statement is known when its rows are, and names the types that PostgreSQL gave it") {
  StatementBook book;
  const auto text = book.text("select $1", "of the text", {});
  CHECK_FALSE(PreparedStatement{text, "", ""}.is_known());
  CHECK(PreparedStatement{text, "", ""}.types() == "of the text");
  const PreparedStatement known{text, "", "", "of PostgreSQL", RowShape::kNoRows};
  CHECK(known.is_known());
  CHECK(known.types() == "of PostgreSQL");
}

TEST_CASE("a book keeps to its memory: what nobody has is forgotten, and in the end no more is taken") {
  constexpr size_t kMost = 100'000;
  StatementBook book(kMost);
  for (int i = 0; i < 10'000; ++i) {
    const auto text = book.text("select " + std::to_string(i), "", {});
    REQUIRE(text != nullptr);
    REQUIRE(book.share({text, "", "", "", RowShape::kNoRows}) != nullptr);
    REQUIRE(book.bytes() <= kMost);
  }
  std::vector<TextPtr> in_use;
  const std::string kText = "select * from t" + std::string(100, 't');
  for (int i = 0; i < 10'000; ++i) {
    auto text = book.text(kText + std::to_string(i), "", {});
    if (!text) break;
    in_use.push_back(std::move(text));
  }
  CHECK(in_use.size() < 10'000);
  CHECK(book.bytes() <= kMost);
  CHECK(book.bytes() > kMost * 9 / 10);
  CHECK(book.text(kText + " one more", "", {}) == nullptr);
  CHECK(book.text(in_use[5]->text, "", {}) == in_use[5]);
  in_use.clear();
  CHECK(book.text(kText + " one more", "", {}) != nullptr);
  CHECK(book.size() == 1);
}

TEST_CASE("a statement keeps its text, and what nobody has any more goes with it") {
  StatementBook book(10'000);
  auto one = book.share({book.text("select 1", "", {}), "", "", "", RowShape::kNoRows});
  for (int i = 0; i < 1000; ++i) static_cast<void>(book.text("select 2, " + std::to_string(i), "", {}));
  CHECK(book.text("select 1", "", {}) == one->text);
  one = nullptr;
  for (int i = 0; i < 1000; ++i) static_cast<void>(book.text("select 3, " + std::to_string(i), "", {}));
  CHECK(book.bytes() <= 10'000);
}

TEST_CASE("a text longer than the book is refused, and changes nothing") {
  StatementBook book(10'000);
  const auto one = book.text("select 1", "", {});
  CHECK(book.text(std::string(20'000, 'x'), "", {}) == nullptr);
  CHECK(book.text("select 1", "", {}) == one);
}

TEST_CASE("that what is in use comes near to the most is told once, until it has gone") {
  StatementBook book(20'000);
  std::vector<TextPtr> in_use;
  const auto fill = [&] {
    for (int i = 0; i < 1000; ++i) {
      auto text = book.text("select " + std::string(200, 'x') + std::to_string(i), "", {});
      if (!text) return;
      in_use.push_back(std::move(text));
    }
  };
  CHECK_FALSE(book.take_nearly_full());
  fill();
  CHECK(book.take_nearly_full());
  CHECK_FALSE(book.take_nearly_full());
  fill();
  CHECK_FALSE(book.take_nearly_full());
  in_use.clear();
  for (int i = 0; i < 1000; ++i) static_cast<void>(book.text("select 3, " + std::to_string(i), "", {}));
  CHECK_FALSE(book.take_nearly_full());
  fill();
  CHECK(book.take_nearly_full());
}

TEST_CASE("a book may be given more memory, or less: what is in use stays") {
  StatementBook book(2'000);
  const std::string longer(4'000, 'x');
  CHECK(book.text(longer, "", {}) == nullptr);
  book.set_most_bytes(10'000);
  const auto one = book.text(longer, "", {});
  REQUIRE(one != nullptr);
  book.set_most_bytes(2'000);
  CHECK(book.text(longer, "", {}) == one);
  CHECK(book.text("select 1", "", {}) == nullptr);
}

// -- Of a client

StatementPtr statement(const std::string& text, uint64_t shape = RowShape::kNoRows) {
  auto made = std::make_shared<StatementText>();
  made->text = text;
  return std::make_shared<const PreparedStatement>(PreparedStatement{std::move(made), "", "", "", shape});
}

TEST_CASE("a client's names: taken and put back") {
  ClientStatements statements;
  const auto one = statement("select 1"), two = statement("select 2");
  statements.set("a", one);
  const uint64_t number = statements.set("a", two).number;
  REQUIRE(statements.find("a") != nullptr);
  CHECK(statements.find("a")->statement == two);
  CHECK(statements.find("a", number) == statements.find("a"));
  CHECK(statements.find("a", number - 1) == nullptr);
  auto taken = statements.take("a");
  REQUIRE(taken);
  CHECK(statements.find("a") == nullptr);
  CHECK_FALSE(statements.take("a"));
  statements.put("a", std::move(*taken));
  CHECK(statements.find("a", number) != nullptr);
  CHECK(statements.size() == 1);
}

TEST_CASE("names and texts count, the unnamed one's too, as long as they are there") {
  ClientStatements statements;
  CHECK(statements.bytes() == 0);
  const auto text = statement("select '" + std::string(1000, 'x') + "'");
  statements.set("a", text);
  const size_t first = statements.bytes();
  CHECK(first > 1000);
  statements.set("b", text);
  CHECK(statements.bytes() == 2 * first);
  statements.set("b", statement("select 1"));
  CHECK(statements.bytes() < first + 500);
  statements.becomes("b", *statements.find("b"), text);
  CHECK(statements.bytes() == 2 * first);
  auto taken = statements.take("a");
  CHECK(statements.bytes() == first);
  statements.put("a", std::move(*taken));
  CHECK(statements.bytes() == 2 * first);
  statements.unnamed.assign(300, 'x');
  CHECK(statements.bytes() == 2 * first + 300);
  SUBCASE("DEALLOCATE ALL") {
    statements.unnamed.clear();
    statements.end_era(statements.begin_era());
    CHECK(statements.bytes() == 0);
  }
  SUBCASE("all are gone") {
    statements.forget_all();
    CHECK(statements.bytes() == 0);
    CHECK(statements.size() == 0);
  }
}

TEST_CASE("statements under the client's own names go with their server, and no others") {
  ClientStatements statements;
  statements.set("a", statement("select 1"));
  statements.set("b", statement("select 2")).is_own = true;
  statements.note_own();
  statements.forget_own();
  CHECK(statements.find("a") != nullptr);
  CHECK(statements.find("b") == nullptr);
  // One that was closed in between, and is put back.
  auto taken = statements.take("a");
  REQUIRE(taken);
  taken->is_own = true;
  statements.put("a", std::move(*taken));
  statements.forget_own();
  CHECK(statements.size() == 0);
}

TEST_CASE("another unnamed statement is unknown, and is not used elsewhere as the last one was") {
  ClientStatements statements;
  statements.unnamed_changed();
  const uint64_t first = statements.unnamed_version;
  statements.unnamed_shape = 7;
  statements.unnamed_elsewhere = std::make_unique<ClientStatements::Entry>();
  statements.unnamed_changed();
  CHECK(statements.unnamed_version != first);
  CHECK(statements.unnamed_shape == RowShape::kUnknown);
  CHECK_FALSE(statements.unnamed_elsewhere);
}

TEST_CASE("behind a DEALLOCATE ALL names are gone, unless it fails") {
  ClientStatements statements;
  statements.set("a", statement("select 1"));
  const auto era = statements.begin_era();
  CHECK(statements.find("a") == nullptr);
  statements.set("b", statement("select 2"));
  SUBCASE("it is done") {
    statements.end_era(era);
    CHECK(statements.size() == 1);
    CHECK(statements.find("b") != nullptr);
  }
  SUBCASE("it has failed") {
    statements.take("b");  // what came behind it is taken back first
    statements.undo_era(era);
    CHECK(statements.find("a") != nullptr);
    CHECK(statements.find("b") == nullptr);
  }
}

// -- Of a server

TEST_CASE("the statement used longest ago goes first") {
  ServerStatements statements("ours_");
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
  ServerStatements statements("ours_");
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
  ServerStatements statements("ours_");
  const auto one = statement("1"), two = statement("2");
  statements.add(one);
  statements.add(two);
  const auto era = statements.begin_era();
  CHECK(statements.find(*one) == 0);
  CHECK(statements.add(one) == 3);
  CHECK(statements.find(*one) == 3);
  SUBCASE("it is done") {
    statements.end_era(era);
    CHECK(statements.find(*one) == 3);
    CHECK(statements.size() == 1);
  }
  SUBCASE("it has failed") {
    statements.remove(3);  // taken back first
    statements.undo_era(era);
    CHECK(statements.find(*two) == 2);
    CHECK(statements.find(*one) == 0);
  }
  SUBCASE("the server is reset") {
    statements.clear();
    CHECK(statements.is_empty());
    CHECK(statements.add(two) == 4);
  }
}

TEST_CASE("names of ours") {
  const ServerStatements statements("ours_");
  CHECK(statements.name_of(1) == "ours_1");
  CHECK(statements.name_of(4294967295) == "ours_4294967295");
  CHECK(statements.name_of(20) == "ours_20");
  CHECK(statements.is_ours("ours_1"));
  CHECK(statements.is_ours(statements.nobodys_name()));
  CHECK_FALSE(statements.is_ours("ours"));
  CHECK_FALSE(statements.is_ours("theirs_1"));
}

TEST_CASE("a copy that turns out to be a known statement takes the place of an older one") {
  ServerStatements statements("ours_");
  const auto known = statement("1");
  statements.add(known);
  const auto fresh = statement("1", RowShape::kUnknown);
  CHECK(statements.add(fresh) == 2);
  CHECK(statements.has_unknown());
  CHECK(statements.find(*known) == 1);
  statements.known_as(2, known);
  CHECK_FALSE(statements.has_unknown());
  CHECK(statements.find(*known) == 2);
  CHECK(statements.unwanted == std::vector<uint32_t>{1});
  CHECK(statements.numbers() == std::vector<uint32_t>{1, 2});
  CHECK(statements.size() == 1);
  statements.known_as(7, known);  // gone meanwhile
  CHECK(statements.find(*known) == 2);
}

TEST_CASE("a DEALLOCATE ALL takes what was prepared behind one that has failed") {
  ClientStatements client;
  ServerStatements server("ours_");
  const auto one = statement("1");
  const auto undone_of_client = client.begin_era();
  const auto undone_of_server = server.begin_era();
  client.set("a", one);
  server.add(one);
  client.undo_era(undone_of_client);
  server.undo_era(undone_of_server);
  CHECK(client.find("a") != nullptr);
  CHECK(server.find(*one) != 0);
  const auto of_client = client.begin_era();
  const auto of_server = server.begin_era();
  CHECK(client.find("a") == nullptr);
  CHECK(server.find(*one) == 0);
  client.end_era(of_client);
  server.end_era(of_server);
  CHECK(client.size() == 0);
  CHECK(server.size() == 0);
}

TEST_CASE("a copy turns out to be what it is in a newer era: the older is gone without a Close") {
  ServerStatements statements("ours_");
  const auto known = statement("1");
  statements.add(known);
  statements.begin_era();
  statements.add(statement("1", RowShape::kUnknown));
  statements.known_as(2, known);
  CHECK(statements.unwanted.empty());
  CHECK(statements.find(*known) == 2);
}

TEST_CASE("one that differs only by what is known of it is found among the known ones") {
  ServerStatements statements("ours_");
  StatementBook book;
  const auto text = book.text("select 1", "", {});
  const auto wanted = PreparedStatement{text, "settings", ""};
  CHECK(statements.find_like(wanted) == nullptr);
  statements.add(std::make_shared<const PreparedStatement>(wanted));
  CHECK(statements.find_like(wanted) == nullptr);  // nothing is known of it
  statements.add(book.share({text, "others", "", "", 7}));
  statements.add(book.share({text, "settings", "others", "", 7}));
  statements.add(book.share({book.text("select 2", "", {}), "settings", "", "", 7}));
  CHECK(statements.find_like(wanted) == nullptr);
  const auto known = book.share({text, "settings", "", "types", 7});
  statements.add(known);
  REQUIRE(statements.find_like(wanted) != nullptr);
  CHECK(statements.find_like(wanted)->statement == known);
  statements.begin_era();
  CHECK(statements.find_like(wanted) == nullptr);
}

TEST_CASE("copies are given up: all, the doubtful, the unknown") {
  ServerStatements statements("ours_");
  const auto one = statement("1"), two = statement("2");
  statements.add(one);
  statements.add(two);
  statements.add(statement("3", RowShape::kUnknown));
  SUBCASE("all") {
    statements.give_up_all();
    CHECK(statements.size() == 0);
    CHECK(statements.unwanted.size() == 3);
  }
  SUBCASE("the doubtful") {
    CHECK_FALSE(statements.has_doubtful());
    statements.doubt(2);
    CHECK(statements.has_doubtful());
    statements.give_up_doubtful();
    CHECK_FALSE(statements.has_doubtful());
    CHECK(statements.unwanted == std::vector<uint32_t>{2});
    CHECK(statements.find(*one) == 1);
  }
  SUBCASE("the unknown") {
    statements.give_up_unknown();
    CHECK_FALSE(statements.has_unknown());
    CHECK(statements.unwanted == std::vector<uint32_t>{3});
  }
  SUBCASE("one") {
    statements.give_up(1);
    CHECK(statements.unwanted == std::vector<uint32_t>{1});
    CHECK(statements.find(*one) == 0);
  }
  CHECK_FALSE(statements.is_empty());
}

}  // namespace
}  // namespace tidepool::session
