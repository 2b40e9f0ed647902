// Sits between libpq and a server while libpq logs in: what the server says is read by a LoginStream before
// libpq may see it. A socket pair is put under libpq's descriptor; this end of it and the server's socket are
// relayed to each other on the dialing thread, a piece at a time, and in the end the server's socket is put
// back. With TLS a piece is one record: libpq's SSL object decrypts it and shows what is in it (SSL_peek),
// before libpq reads.
//
//   server <--socket--> tap <--socket pair--> libpq's descriptor
//
// Where libpq gives its connection up for another one (without TLS, say), the next is tapped anew.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "daemon/server_stream.h"
#include "lib/base/result.h"
#include "lib/session/login_stream.h"

struct ssl_st;

namespace tidepool::daemon {

class LoginTap {
 public:
  explicit LoginTap(int stop_fd) : stop_fd_(stop_fd) {}
  // After PQfinish(), whose goodbye is passed on.
  ~LoginTap();
  LoginTap(const LoginTap&) = delete;
  LoginTap& operator=(const LoginTap&) = delete;

  // Before libpq reads for the first time.
  base::Status put_under(int libpq_fd);
  bool is_in_place() const { return libpq_fd_ >= 0; }
  int libpq_fd() const { return libpq_fd_; }

  // What the server says next, as libpq expects it.
  enum class Expects {
    OneByte,  // whether it does TLS; that alone
    Messages,
    Records  // of TLS; `tls` is libpq's
  };
  // Waits for it and lets libpq have it. Wait::Ready: libpq may look (also at the end of the stream).
  base::Result<Wait> feed(Expects expects, ssl_st* tls, Deadline deadline);
  // libpq has not taken all that it was let have.
  bool has_more_for_libpq(ssl_st* tls) const;
  // Passes on what libpq has written. It may have closed its descriptor as well: then the tap is out of
  // place.
  void pass_on();
  // libpq is done: puts the server's socket back. What libpq has not taken is dropped: the stream has read
  // it.
  base::Status take_away(ssl_st* tls);

  // Of this connection, or of the last.
  session::LoginStream& stream() { return stream_; }

 private:
  base::Result<Wait> feed_record(ssl_st* tls, Deadline deadline);
  // At least one byte and at most so many are added to `into`; none at the end of the stream.
  base::Result<Wait> receive(std::string& into, size_t most, Deadline deadline);
  base::Status give(std::string_view bytes);
  base::Status look_into(ssl_st* tls);
  void send_on();
  void close_all();

  const int stop_fd_;
  int libpq_fd_ = -1;  // libpq's end of the pair: its number, which is libpq's to close
  int pair_fd_ = -1;   // our end of it
  int server_fd_ = -1;
  bool tls_is_up_ = false;
  bool has_ended_ = false;
  std::string to_server_;  // may hold a password
  session::LoginStream stream_;
};

}  // namespace tidepool::daemon
