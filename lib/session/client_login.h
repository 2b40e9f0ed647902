// The front door: from a client's first byte to a proven user, or a refusal. Sans-I/O: bytes go in, bytes to
// send come out. https://www.postgresql.org/docs/current/protocol-flow.html#PROTOCOL-FLOW-START-UP
//   SSLRequest, GSSENCRequest -> 'N', once each; bytes that came together with one close the connection
//   CancelRequest             -> CancelAsked
//   StartupMessage 3.x        -> NegotiateProtocolVersion if the minor version is above 2 or a _pq_. option
//   is unknown,
//                                then authentication, then Accepted (AuthenticationOk has been appended)
//   anything else             -> as PostgreSQL does it: what does not look like a client is hung up on
//   without a word, the
//                                rest is told (protocol 2 in protocol 2's own form)
// Nothing from an unauthenticated client reaches a server. An unknown user cannot be told from a wrong
// password.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "lib/auth/auth_method.h"
#include "lib/auth/secret.h"
#include "lib/base/bytes.h"
#include "lib/base/result.h"
#include "lib/session/startup_settings.h"

namespace tidepool::session {

// What the login asks about the world. Implemented over the settings by the shell; called on the session's
// worker.
class LoginRules {
 public:
  virtual ~LoginRules() = default;
  // Called once, when the startup packet has been read: shutting down (57P03).
  virtual std::optional<base::Error> may_log_in() = 0;
  // The listener's method or the pool's or the console's. Also for a database that does not exist.
  virtual auth::AuthMethod method_for(std::string_view user, std::string_view database) = 0;
  virtual const auth::Secret* secret_of(std::string_view user) = 0;  // null: unknown
  // Whether it is known who the operating-system user at the other end is, if that is asked below. False: it
  // is being looked up (PeerNameNeeded).
  virtual bool knows_peer(std::string_view database) = 0;
  // Whether the operating-system user at the other end may log in as `user` (its own name, or by peer_map).
  virtual bool peer_may_be(std::string_view user, std::string_view database) = 0;
  // After authentication: may this user use that pool? 28000, or 3D000 for none of that name.
  virtual std::optional<base::Error> authorize(std::string_view user, std::string_view database) = 0;
  // Called last: the client takes a place, if there is one (53300).
  virtual std::optional<base::Error> admit(std::string_view database) = 0;
  // Real randomness, and a key of this process from which an unknown user's salt is made, the same each time.
  virtual std::string random_bytes(size_t size) = 0;
  virtual std::string_view mock_key() = 0;
};

// Bytes have been consumed; more are needed.
struct MoreNeeded {};
struct CancelAsked {
  uint32_t process_id;
  std::string secret;  // 4 bytes for protocol 3.0, up to 256 for 3.2
};
struct Accepted {
  std::string user;
  std::string database;
  int protocol_minor;  // 0 or 2: what is spoken from here on
  StartupSettings settings;
};
// What takes long, and is done elsewhere. Until peer_is_known() or password_checked() is called, the login is
// given no more bytes.
struct PeerNameNeeded {};
struct PasswordToCheck {
  const auth::Secret* secret;  // null: of an unknown user
  std::string user, password;

  bool matches() const { return auth::password_matches(secret, password, user); }
};
// `out` holds the FATAL message, if the client is told at all. Send it, then close.
struct Rejected {
  base::Error error;
  bool is_probe = false;  // a client that left before it said anything, or when it was asked for a password:
                          // a debug line at most
};
using LoginStep = std::variant<MoreNeeded, PeerNameNeeded, PasswordToCheck, CancelAsked, Accepted, Rejected>;

class ClientLogin {
 public:
  // `rules` outlives this.
  explicit ClientLogin(LoginRules& rules);
  ~ClientLogin();
  ClientLogin(const ClientLogin&) = delete;
  ClientLogin& operator=(const ClientLogin&) = delete;

  // The client sent `bytes`; appends to `out` what is to be sent. `consumed` tells how much of `bytes` was
  // used: less than all only with Accepted (what follows belongs to the session) and CancelAsked. Bytes of
  // incomplete messages are kept inside, bounded by PostgreSQL's limits (10000 for a startup packet, 65535
  // for a password message... its own figures).
  LoginStep receive(base::Bytes bytes, size_t& consumed, std::string& out);
  // The login goes on, with what the client has said meanwhile: `rest` of it belongs to the session, if it is
  // accepted.
  LoginStep peer_is_known(std::string& rest, std::string& out);
  LoginStep password_checked(bool is_right, std::string& rest, std::string& out);
  // The client closed its connection.
  Rejected hung_up() const;
  // login_timeout is over.
  Rejected timed_out(std::string& out) const;
  // Too many log in at once, and this one has been at it for longest.
  Rejected gave_way(base::Error error, std::string& out) const;

  // For logs, once known.
  std::string_view user() const;
  std::string_view database() const;

 private:
  struct Machine;
  LoginStep go_on(LoginStep step, base::Bytes& bytes, std::string& out);
  LoginStep resume(LoginStep step, std::string& rest, std::string& out);

  std::unique_ptr<Machine> machine_;
};

}  // namespace tidepool::session
