// Conversations by message types. The random ones against a small model of PostgreSQL's main loop are in
// transaction_tracker_random_test.cc.
#include "lib/session/transaction_tracker.h"

#include <doctest/doctest.h>

#include <string_view>

using tidepool::session::TransactionTracker;

namespace {

struct Conversation {
  TransactionTracker tracker;

  Conversation& client(std::string_view types) {
    for (char type : types) tracker.client_sent(type);
    return *this;
  }
  // 'Z' is followed by its status.
  Conversation& server(std::string_view types) {
    for (size_t i = 0; i < types.size(); ++i) {
      const char type = types[i];
      tracker.server_sent(type, type == 'Z' ? types.substr(++i, 1) : std::string_view());
    }
    return *this;
  }
  void ends_free() const {
    CHECK(tracker.server_is_free());
    CHECK(tracker.is_quiet());
    CHECK(tracker.ready_owed() == 0);
    CHECK_FALSE(tracker.in_doubt());
    CHECK_FALSE(tracker.batch_is_open());
    CHECK_FALSE(tracker.copy_in());
  }
};

}  // namespace

TEST_CASE("a new server is free") {
  Conversation().ends_free();
}

TEST_CASE("a simple query is owed one ReadyForQuery, whatever number of results it has") {
  Conversation with;
  with.client("Q");
  CHECK(with.tracker.ready_owed() == 1);
  CHECK_FALSE(with.tracker.is_quiet());
  with.server("TDDCTDCCIN");
  CHECK(with.tracker.ready_owed() == 1);
  with.server("ZI").ends_free();
}

TEST_CASE("a server in a transaction block is quiet but not free") {
  Conversation with;
  with.client("Q").server("CZT");
  CHECK(with.tracker.is_quiet());
  CHECK_FALSE(with.tracker.server_is_free());
  CHECK(with.tracker.status() == 'T');
  with.client("Q").server("EZE");
  CHECK(with.tracker.status() == 'E');
  CHECK_FALSE(with.tracker.server_is_free());
  with.client("Q").server("CZI").ends_free();
}

TEST_CASE("ReadyForQuery of an earlier request does not free a server with a pipeline in flight") {
  Conversation with;
  with.client("QPBDESQ");
  CHECK(with.tracker.ready_owed() == 3);
  with.server("CZI");
  CHECK_FALSE(with.tracker.server_is_free());
  with.server("12TDCZI");
  CHECK_FALSE(with.tracker.server_is_free());
  with.server("CZI").ends_free();
}

TEST_CASE("a batch is open until its Sync") {
  Conversation with;
  with.client("PBDEH");
  CHECK(with.tracker.batch_is_open());
  CHECK(with.tracker.ready_owed() == 0);
  CHECK(with.tracker.is_answering());
  with.server("12TDDs");
  CHECK(with.tracker.batch_is_open());
  CHECK_FALSE(with.tracker.is_answering());
  CHECK_FALSE(with.tracker.is_quiet());
  with.client("ECS").server("C3ZI").ends_free();
}

TEST_CASE("a statement's description is two messages, of which the second answers it") {
  Conversation().client("PDS").server("1tnZI").ends_free();
  Conversation().client("PDBDES").server("1tT2TDCZI").ends_free();
}

TEST_CASE("Flush and Sync without anything else") {
  Conversation().client("H").ends_free();
  Conversation().client("S").server("ZI").ends_free();
}

TEST_CASE("a query ends an open batch as a Sync does") {
  Conversation with;
  with.client("PBEQ");
  CHECK(with.tracker.ready_owed() == 1);
  CHECK_FALSE(with.tracker.batch_is_open());
  with.server("12CCZI").ends_free();
}

TEST_CASE("after an error in a batch everything up to its Sync goes unanswered, a simple query included") {
  Conversation with;
  with.client("PBEPBEQF").server("1E");
  CHECK(with.tracker.ready_owed() == 0);
  CHECK(with.tracker.batch_is_open());
  CHECK_FALSE(with.tracker.is_quiet());
  with.client("QPBEdc");
  CHECK(with.tracker.ready_owed() == 0);
  with.client("S");
  CHECK(with.tracker.ready_owed() == 1);
  with.server("ZI").ends_free();
}

TEST_CASE("an error in one batch of a pipeline leaves the others alone") {
  Conversation with;
  with.client("PBESPBESPBES").server("12CZI1E");
  CHECK(with.tracker.ready_owed() == 2);
  with.server("ZI12CZI").ends_free();
}

TEST_CASE("an error of a Query behind answered requests is the query's") {
  Conversation().client("PBEQ").server("12CEZI").ends_free();
  Conversation().client("PBES").server("12CEZI").ends_free();  // the Sync's: a deferred constraint
}

TEST_CASE("a function call") {
  Conversation().client("F").server("VZI").ends_free();
  Conversation().client("FQ").server("EZICZI").ends_free();
}

TEST_CASE("COPY OUT by a query and by Execute") {
  Conversation().client("Q").server("HdddcCZI").ends_free();
  Conversation().client("PBES").server("12HddcCZI").ends_free();
}

TEST_CASE("COPY IN by a query") {
  Conversation with;
  with.client("Q").server("G");
  CHECK(with.tracker.copy_in());
  CHECK_FALSE(with.tracker.copy_in_extended());
  CHECK(with.tracker.ready_owed() == 0);
  CHECK_FALSE(with.tracker.is_quiet());
  with.client("ddc");
  CHECK_FALSE(with.tracker.copy_in());
  CHECK(with.tracker.ready_owed() == 1);
  with.server("CZI").ends_free();
}

TEST_CASE("COPY IN whose data were sent before the server asked for them") {
  Conversation with;
  with.client("QddcQ").server("G");
  CHECK_FALSE(with.tracker.copy_in());
  CHECK(with.tracker.ready_owed() == 2);
  with.server("CZICZI").ends_free();
}

TEST_CASE("a query with several COPY IN") {
  Conversation().client("Qdcdc").server("GCGCZI").ends_free();
  Conversation with;
  with.client("Qdc").server("GCTDCG");
  CHECK(with.tracker.copy_in());
  with.client("df").server("EZI").ends_free();
}

TEST_CASE("after COPY IN has failed, the client's late CopyData and CopyDone mean nothing") {
  Conversation with;
  with.client("Q").server("G").client("d").server("EZI").client("ddc").ends_free();
  Conversation().client("Qddc").server("GEZI").ends_free();
  Conversation().client("QddcQ").server("GEZICZI").ends_free();
  Conversation().client("QddcQdc").server("EZIGCZI").ends_free();
}

TEST_CASE("COPY IN by Execute needs a Sync after its end") {
  Conversation with;
  with.client("PBE").server("12G");
  CHECK(with.tracker.copy_in());
  CHECK(with.tracker.copy_in_extended());
  with.client("dc");
  CHECK(with.tracker.batch_is_open());
  with.server("C").client("S").server("ZI").ends_free();
}

TEST_CASE("a Sync that the server reads in COPY IN is ignored") {
  Conversation with;
  with.client("PBES").server("12G");
  CHECK(with.tracker.copy_in_extended());
  CHECK(with.tracker.batch_is_open());
  CHECK(with.tracker.ready_owed() == 0);
  with.client("ddcS");
  CHECK(with.tracker.ready_owed() == 1);
  with.server("CZI").ends_free();

  Conversation().client("PBEHSdSdcS").server("12GCZI").ends_free();
  Conversation().client("PBE").server("12G").client("SdHScS").server("CZI").ends_free();
  Conversation().client("QSdcQ").server("GCZICZI").ends_free();
}

TEST_CASE("a COPY that failed before CopyInResponse answers the Syncs behind it") {
  Conversation().client("PBESdcS").server("12EZIZI").ends_free();
  Conversation().client("QSdcS").server("EZIZIZI").ends_free();
}

TEST_CASE("a COPY IN that fails while a Sync was sent in it leaves the server in doubt") {
  Conversation with;
  with.client("PBES").server("12G").client("d").server("E");
  CHECK(with.tracker.in_doubt());
  CHECK_FALSE(with.tracker.server_is_free());
}

TEST_CASE("a COPY IN by Execute that fails without a Sync in it leaves no doubt") {
  Conversation with;
  with.client("PBE").server("12G").client("dd").server("E").client("dc");
  CHECK(with.tracker.batch_is_open());
  with.client("S").server("ZI").ends_free();
}

TEST_CASE("what is sent into a COPY IN that is neither data nor its end leaves the server in doubt") {
  for (const char* types : {"QQ", "QP", "QF", "QSQ"}) {
    CAPTURE(types);
    Conversation with;
    with.client(types).server("G");
    CHECK(with.tracker.in_doubt());
  }
  Conversation with;
  with.client("Q").server("G").client("Q");
  CHECK(with.tracker.in_doubt());
}

TEST_CASE("a server that says what nobody asked for is in doubt") {
  for (const char* types : {"ZI", "C", "T", "D", "d", "E", "1", "2", "3", "n", "s",
                            "t",  "I", "G", "H", "V", "W", "K", "R", "v", "?"}) {
    CAPTURE(types);
    Conversation with;
    with.server(types);
    CHECK(with.tracker.in_doubt());
    CHECK_FALSE(with.tracker.server_is_free());
  }
  for (const char* types : {"CZIZI", "1", "s", "V", "ZX", "CZ"}) {
    CAPTURE(types);
    Conversation with;
    with.client("Q").server(types);
    CHECK(with.tracker.in_doubt());
  }
  for (const char* types : {"12ZI", "12CC", "12CZIZI"}) {
    CAPTURE(types);
    Conversation with;
    with.client("PBES").server(types);
    CHECK(with.tracker.in_doubt());
  }
}

TEST_CASE("a server that answers something else in the middle of COPY IN is in doubt, and no COPY goes on") {
  for (const char* types : {"12G3ZI", "12GZI", "12GTC", "12GCZI"}) {
    CAPTURE(types);
    Conversation with;
    with.client("PBE").server(types);
    CHECK(with.tracker.in_doubt());
    CHECK_FALSE(with.tracker.copy_in());
  }
}

TEST_CASE("notices, notifications and parameters may come at any time") {
  Conversation with;
  with.server("NAS").ends_free();
  with.client("QPBES").server("NCSAZIN1S2ACZISA").ends_free();
}

TEST_CASE("a request of an unknown type leaves the server in doubt") {
  Conversation with;
  with.client("?");
  CHECK(with.tracker.in_doubt());
}

TEST_CASE("a million Syncs in flight are counted") {
  Conversation with;
  for (int i = 0; i < 1000000; ++i) with.tracker.client_sent('S');
  CHECK(with.tracker.ready_owed() == 1000000);
  for (int i = 0; i < 1000000; ++i) with.tracker.server_sent('Z', "I");
  with.ends_free();
}

TEST_CASE("a long pipeline of different requests is counted") {
  Conversation with;
  for (int round = 0; round < 3; ++round) {
    for (int i = 0; i < 1000; ++i) with.client("PBDESQ");
    CHECK(with.tracker.ready_owed() == 2000);
    for (int i = 0; i < 1000; ++i) with.server("12TDCZICZI");
    with.ends_free();
  }
}
