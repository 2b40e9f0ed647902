#include "daemon/event/server_socket.h"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <sys/socket.h>
#include <unistd.h>

#include <string>

#include "tests/unit/event/far_end.h"

namespace tidepool::event {
namespace {

// A server socket on one end of a pair of sockets; the test is the server at the other.
class Pair : public FarEnd, public ServerSocketEvents {
 public:
  Pair() : socket(std::make_unique<ServerSocket>(near_end(), nullptr, *this)) { socket->watch(loop, buffer); }
  ~Pair() override {
    socket.reset();
    close(near_end());
  }
  Pair(const Pair&) = delete;
  Pair& operator=(const Pair&) = delete;

  bool server_reads_the_end() { return read_one() == 0; }
  void turn() { loop.turn(); }

  SocketLoop loop;
  ReadBuffer buffer;
  std::unique_ptr<ServerSocket> socket;
  std::string received;
  int ended = -1;
  int drained = 0;

 private:
  void on_server_bytes(base::Bytes bytes) override { received.append(bytes); }
  void on_server_end(int error) override { ended = error; }
  void on_server_drained() override { ++drained; }
};

}  // namespace

TEST_CASE("what the server says arrives, and then its end") {
  Pair pair;
  pair.say("hello");
  pair.turn();
  CHECK(pair.received == "hello");
  CHECK(pair.ended == -1);
  pair.hang_up();
  pair.turn();
  CHECK(pair.ended == 0);
}

TEST_CASE("what the server says at once is heard to its end: more than one read holds, and a hanging up") {
  Pair pair;
  const std::string much = pair.say_much_and_hang_up();
  for (int i = 0; i < 5; ++i) pair.turn();
  CHECK(pair.received == much);
  CHECK(pair.ended == 0);
}

TEST_CASE("a paused socket reads nothing until it is resumed, and then everything") {
  Pair pair;
  pair.socket->pause_reading();
  pair.say("later");
  pair.turn();
  CHECK(pair.received.empty());
  pair.socket->resume_reading();
  pair.turn();
  CHECK(pair.received == "later");
}

TEST_CASE("a server that hangs up while its answers are paused is read to its last word first") {
  Pair pair;
  pair.socket->pause_reading();
  pair.say("last word");
  pair.hang_up();
  for (int i = 0; i < 3; ++i) pair.turn();
  CHECK(pair.received.empty());
  CHECK(pair.ended == -1);
  pair.socket->resume_reading();
  for (int i = 0; i < 3; ++i) pair.turn();
  CHECK(pair.received == "last word");
  CHECK(pair.ended == 0);
}

TEST_CASE("what the kernel refuses is kept, sent when there is room, and then told once") {
  Pair pair;
  const std::string much(8 * 1024 * 1024, 'x');
  CHECK(pair.socket->write(much));
  CHECK(pair.socket->is_congested());
  CHECK(pair.socket->write("end"));
  const std::string heard = pair.heard_until([&] { pair.turn(); }, [&] { return pair.drained > 0; });
  CHECK(heard.size() == much.size() + 3);
  CHECK(heard.ends_with("xend"));
  CHECK(pair.drained == 1);
  CHECK_FALSE(pair.socket->is_congested());
}

TEST_CASE("a write to a server that is gone says that nothing was sent") {
  Pair pair;
  pair.hang_up();
  CHECK_FALSE(pair.socket->write("anything"));
}

TEST_CASE("after end_writing the server reads the last words and the end, and its answer is still heard") {
  Pair pair;
  pair.socket->end_writing("bye");
  CHECK(pair.heard() == "bye");
  CHECK(pair.server_reads_the_end());
  pair.say("good bye");
  pair.hang_up();
  for (int i = 0; i < 3; ++i) pair.turn();
  CHECK(pair.received == "good bye");
  CHECK(pair.ended == 0);
}

TEST_CASE("a socket goes to another loop and is heard there") {
  Pair pair;
  SocketLoop other;
  ReadBuffer others_buffer;
  pair.socket->unwatch();
  pair.turn();
  pair.socket->watch(other, others_buffer);
  pair.say("over here");
  pair.turn();
  CHECK(pair.received.empty());
  other.turn();
  CHECK(pair.received == "over here");
  pair.socket->unwatch();
}

namespace {

template <auto Free>
struct Freed {
  template <class T>
  void operator()(T* what) const {
    Free(what);
  }
};
template <class T, auto Free>
using Owned = std::unique_ptr<T, Freed<Free>>;

// Both ends of a TLS connection over a pair of sockets; the daemon's end is the TLS client's.
class TlsPair : public ServerSocketEvents {
 public:
  TlsPair() {
    REQUIRE(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends_) == 0);
    const Owned<EVP_PKEY, EVP_PKEY_free> key(EVP_EC_gen("P-256"));
    const Owned<X509, X509_free> certificate(X509_new());
    X509_gmtime_adj(X509_getm_notBefore(certificate.get()), 0);
    X509_gmtime_adj(X509_getm_notAfter(certificate.get()), 3600);
    ASN1_INTEGER_set(X509_get_serialNumber(certificate.get()), 1);
    X509_set_pubkey(certificate.get(), key.get());
    X509_set_issuer_name(certificate.get(), X509_get_subject_name(certificate.get()));
    REQUIRE(X509_sign(certificate.get(), key.get(), EVP_sha256()) > 0);
    SSL_CTX_use_certificate(servers_.get(), certificate.get());
    SSL_CTX_use_PrivateKey(servers_.get(), key.get());
    server_.reset(SSL_new(servers_.get()));
    SSL_set_fd(server_.get(), ends_[1]);
    SSL_set_accept_state(server_.get());
    SSL_set_fd(ours_.get(), ends_[0]);
    SSL_set_connect_state(ours_.get());
    for (int i = 0; i < 20; ++i) {
      SSL_do_handshake(ours_.get());
      SSL_do_handshake(server_.get());
    }
    REQUIRE(SSL_is_init_finished(server_.get()) == 1);
    socket = std::make_unique<ServerSocket>(ends_[0], ours_.get(), *this);
    socket->watch(loop, buffer);
  }
  ~TlsPair() override {
    socket.reset();
    for (int end : ends_) close(end);
  }
  TlsPair(const TlsPair&) = delete;
  TlsPair& operator=(const TlsPair&) = delete;

  // As one record.
  void say(size_t size) {
    const std::string words(size, 'x');
    REQUIRE(SSL_write(server_.get(), words.data(), static_cast<int>(size)) == static_cast<int>(size));
  }

  SocketLoop loop;
  ReadBuffer buffer;
  std::unique_ptr<ServerSocket> socket;
  size_t received = 0;

 private:
  void on_server_bytes(base::Bytes bytes) override { received += bytes.size(); }
  void on_server_end(int) override {}
  void on_server_drained() override {}

  Owned<SSL_CTX, SSL_CTX_free> servers_{SSL_CTX_new(TLS_server_method())};
  Owned<SSL_CTX, SSL_CTX_free> clients_{SSL_CTX_new(TLS_client_method())};
  Owned<SSL, SSL_free> server_;  // made when its context has a certificate
  Owned<SSL, SSL_free> ours_{SSL_new(clients_.get())};
  int ends_[2] = {-1, -1};
};

}  // namespace

TEST_CASE("of TLS records that do not fill the buffer evenly none is left without an event") {
  TlsPair pair;
  size_t said = 100;
  pair.say(100);
  for (int i = 0; i < 8; ++i) {
    pair.say(8192);
    said += 8192;
  }
  for (int i = 0; i < 10; ++i) pair.loop.turn();
  CHECK(pair.received == said);
}

}  // namespace tidepool::event
