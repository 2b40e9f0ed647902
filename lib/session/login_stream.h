// Reads what a server says while libpq logs in there: what libpq itself does not tell, the secret key for
// cancels and every ParameterStatus (libpq answers only for names that one knows). And checks it, before
// libpq sees it: a message that does not belong into a login, or is not what its type and its length promise,
// ends the login. What a login may say is bounded, and so is what is kept of it.
// https://www.postgresql.org/docs/current/protocol-flow.html#PROTOCOL-FLOW-START-UP
//
//   Authenticating --AuthenticationOk--> Starting --ReadyForQuery--> Ready <--asked(), ReadyForQuery-->
//   Asking
//
// Knows no libpq: bytes in, values out. What libpq can judge as well (which authentication, whose turn it is)
// is left to libpq.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>

#include "lib/base/bytes.h"
#include "lib/base/result.h"
#include "lib/session/parameter_map.h"

namespace tidepool::session {

class LoginStream {
 public:
  // Of all bytes of a login, and so of any message in it.
  static constexpr size_t kMostBytes = size_t{1} << 20;
  // PostgreSQL's default is 4096, and OWASP's advice 600,000. libpq computes as many as it is told, which
  // nobody can interrupt: with 2^31 it would take half an hour.
  static constexpr uint32_t kMostIterations = 4'000'000;

  struct Key {
    int32_t process_id;
    std::string secret;  // as it came: 4 bytes in protocol 3.0, up to 256 in 3.2
    bool operator==(const Key&) const = default;
  };

  // The server's next bytes, cut anywhere. An error: libpq must not see them, nor any more of this server.
  base::Status receive(base::Bytes bytes);
  // libpq has asked something of its own behind the login (for target_session_attrs): rows may come.
  void asked();

  // The server has let us in: ReadyForQuery has come.
  bool was_in() const { return phase_ == Phase::Ready || phase_ == Phase::Asking; }
  // The last whole message but notices, reports and notifications was ReadyForQuery.
  bool is_ready() const { return phase_ == Phase::Ready; }
  // As in libpq, the last one counts.
  const std::optional<Key>& key() const { return key_; }
  const ParameterMap& parameters() const { return parameters_; }
  // What the server said behind its ReadyForQuery, before it closes the connection. No message: nothing.
  const base::Error& last_error() const { return last_error_; }
  // The beginning of a message whose end has not come.
  base::Bytes unfinished() const { return unfinished_; }

 private:
  enum class Phase : uint8_t { Authenticating, Starting, Ready, Asking, OldError };

  base::Status check_header(base::Bytes here);
  base::Status read(char type, base::Bytes body);
  base::Status read_authentication(base::Bytes body);

  Phase phase_ = Phase::Authenticating;
  size_t received_ = 0;
  std::string unfinished_;
  std::optional<Key> key_;
  ParameterMap parameters_;
  base::Error last_error_{"", ""};
};

}  // namespace tidepool::session
