// The least that a program between client and server can do: a server connection for each client, and bytes
// passed from one to the other, unread. What a pooler costs beyond this, it costs for pooling.
//
//   bench_byte_relay SOCKET SERVER_SOCKET
#include <sys/types.h>

#include <memory>
#include <vector>

#include "bench/sockets.h"

namespace tidepool::bench {
namespace {

std::array<char, 64 * 1024> buffer;  // for all: it is empty between two events

struct Pair;

struct End {
  int fd = -1;
  Pair* pair = nullptr;
  End* other = nullptr;
  std::string unsent;  // what this end's socket had no room for; meanwhile the other end is not read
};

struct Pair {
  End client, server;
  bool is_over = false;
};

class Relay {
 public:
  Relay(const std::string& path, const std::string& server_path)
      : listener_(listen_at(path)), server_(server_path) {
    epoll_.add(listener_, EPOLLIN, nullptr);
  }

  void run() {
    for (;;) {
      for (const epoll_event& event : epoll_.wait()) {
        auto* end = static_cast<End*>(event.data.ptr);
        if (!end)
          accept_one();
        else if (!end->pair->is_over)
          serve(*end, event.events);
      }
      over_.clear();  // an event of the same turn may have named the other end
    }
  }

 private:
  void accept_one() {
    const int client = accept4(listener_, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (client < 0) return;
    const int server = connect_to(server_);
    if (server < 0) {
      close(client);
      return;
    }
    auto* pair = new Pair;  // until end()
    pair->client = {client, pair, &pair->server, {}};
    pair->server = {server, pair, &pair->client, {}};
    epoll_.add(client, EPOLLIN, &pair->client);
    epoll_.add(server, EPOLLIN, &pair->server);
  }

  void serve(End& end, uint32_t events) {
    if (events & EPOLLOUT) return flush(end);
    const ssize_t size = recv(end.fd, buffer.data(), buffer.size(), 0);
    if (size < 0 && errno == EAGAIN) return;
    if (size <= 0) return finish(*end.pair);
    pass_on(*end.other, {buffer.data(), static_cast<size_t>(size)});
  }

  void pass_on(End& to, std::string_view bytes) {
    const ssize_t sent = send(to.fd, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (sent < 0 && errno != EAGAIN) return finish(*to.pair);
    bytes.remove_prefix(sent < 0 ? 0 : static_cast<size_t>(sent));
    if (bytes.empty()) return;
    to.unsent = bytes;
    epoll_.change(to.fd, EPOLLOUT, &to);
    epoll_.change(to.other->fd, 0, to.other);
  }

  void flush(End& end) {
    const ssize_t sent = send(end.fd, end.unsent.data(), end.unsent.size(), MSG_NOSIGNAL);
    if (sent < 0 && errno != EAGAIN) return finish(*end.pair);
    end.unsent.erase(0, sent < 0 ? 0 : static_cast<size_t>(sent));
    if (!end.unsent.empty()) return;
    epoll_.change(end.fd, EPOLLIN, &end);
    epoll_.change(end.other->fd, EPOLLIN, end.other);
  }

  void finish(Pair& pair) {
    if (pair.is_over) return;
    pair.is_over = true;
    close(pair.client.fd);
    close(pair.server.fd);
    over_.emplace_back(&pair);
  }

  Epoll epoll_;
  int listener_;
  UnixAddress server_;
  std::vector<std::unique_ptr<Pair>> over_;
};

}  // namespace
}  // namespace tidepool::bench

int main(int argc, char** argv) {
  if (argc != 3) {
    std::fprintf(stderr, "bench_byte_relay SOCKET SERVER_SOCKET\n");
    return 2;
  }
  tidepool::bench::raise_descriptor_limit();
  tidepool::bench::Relay(argv[1], argv[2]).run();
}
