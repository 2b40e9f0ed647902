#include "daemon/cancel.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <openssl/crypto.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

#include "lib/wire/message_writer.h"

namespace tidepool::daemon {

namespace {

constexpr uint32_t kMostFailures = 10;             // from one place ...
constexpr base::Duration kFailureTime{1'000'000};  // ... in a second
constexpr size_t kMostPlaces = 1000;

}  // namespace

bool secrets_match(std::string_view a, std::string_view b) {
  return a.size() == b.size() && CRYPTO_memcmp(a.data(), b.data(), a.size()) == 0;
}

// A connection of its own that carries 16 bytes (or a few more) and is closed by the server when the signal
// is sent.
struct CancelDesk::Packet {
  CancelDesk* desk = nullptr;
  int fd = -1;
  event::OwnedHandle<uv_poll_t> poll;
  std::string bytes;
  base::TimePoint deadline;
  std::function<void()> done;
  bool sent = false;
  bool finished = false;

  ~Packet() {
    poll.reset();  // before the descriptor: facts.md 18
    if (fd >= 0) ::close(fd);
  }

  void ready(int status, int events) {
    if (status < 0) return desk->finish(*this);
    if (!sent && (events & UV_WRITABLE) != 0) {
      const ssize_t size = ::send(fd, bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (size < 0 && errno == EAGAIN) return;
      if (size != static_cast<ssize_t>(bytes.size())) return desk->finish(*this);
      sent = true;
      watch(UV_READABLE);
      return;
    }
    char nothing[64];
    const ssize_t size = ::recv(fd, nothing, sizeof nothing, 0);
    if (size < 0 && errno == EAGAIN) return;
    if (size <= 0) desk->finish(*this);
  }

  void watch(int events) {
    uv_poll_start(poll.get(), events, [](uv_poll_t* handle, int status, int happened) {
      if (handle->data) static_cast<Packet*>(handle->data)->ready(status, happened);
    });
  }
};

CancelDesk::CancelDesk() = default;
CancelDesk::~CancelDesk() = default;

void CancelDesk::send(uv_loop_t* loop, const OpenServer& server, base::TimePoint now,
                      std::function<void()> done) {
  auto packet = std::make_unique<Packet>();
  packet->desk = this;
  packet->done = std::move(done);
  packet->deadline = now + kTimeLimit;
  wire::append_cancel_request(packet->bytes, static_cast<uint32_t>(server.process_id), server.cancel_key);
  const auto* address = reinterpret_cast<const sockaddr*>(server.peer_address.data());
  packet->fd = ::socket(address->sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  Packet& placed = *in_flight_.emplace_back(std::move(packet));
  const bool connects =
      placed.fd >= 0 &&
      (::connect(placed.fd, address, static_cast<socklen_t>(server.peer_address.size())) == 0 ||
       errno == EINPROGRESS);
  if (!connects) {
    placed.deadline = now;  // `done` is never called from here: the next tick does
    return;
  }
  placed.poll.reset(new uv_poll_t{});
  uv_poll_init(loop, placed.poll.get(), placed.fd);
  placed.poll->data = &placed;
  placed.watch(UV_WRITABLE);
}

void CancelDesk::finish(Packet& packet) {
  if (std::exchange(packet.finished, true)) return;
  for (auto each = in_flight_.begin(); each != in_flight_.end(); ++each) {
    if (each->get() != &packet) continue;
    const std::unique_ptr<Packet> gone = std::move(*each);
    in_flight_.erase(each);
    const auto done = std::move(gone->done);
    gone->poll.reset();
    done();
    return;
  }
}

bool CancelDesk::tick(base::TimePoint now) {
  for (auto each = in_flight_.begin(); each != in_flight_.end();) {
    Packet& packet = **each++;
    if (packet.deadline <= now) {
      finish(packet);
      each = in_flight_.begin();  // what is done may have sent or ended others
    }
  }
  return !in_flight_.empty();
}

void CancelDesk::drop_all() {
  in_flight_.clear();
}

void CancelDesk::note_failure(const std::string& from, base::TimePoint now) {
  if (failures_.size() >= kMostPlaces) failures_.clear();
  Failures& failures = failures_[from];
  if (now - failures.since >= kFailureTime) failures = {0, now};
  ++failures.count;
}

bool CancelDesk::has_failed_too_often(const std::string& from, base::TimePoint now) {
  const auto found = failures_.find(from);
  return found != failures_.end() && now - found->second.since < kFailureTime &&
         found->second.count >= kMostFailures;
}

}  // namespace tidepool::daemon
