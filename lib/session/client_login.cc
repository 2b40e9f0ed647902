#include "lib/session/client_login.h"

#include <algorithm>
#include <utility>

#include "lib/auth/base64.h"
#include "lib/auth/scram_server.h"
#include "lib/wire/message_reader.h"
#include "lib/wire/message_writer.h"
#include "lib/wire/startup_packet.h"

namespace tidepool::session {

namespace {

// PostgreSQL's limits on what a client sends while it proves who it is, the length field included.
constexpr uint32_t kMaxPasswordMessage = 65535;  // PG_MAX_AUTH_TOKEN_LENGTH
constexpr uint32_t kMaxSaslMessage = 1024;       // PG_MAX_SASL_MESSAGE_LENGTH

// What the client owes us next.
struct AwaitStartup {
  bool ssl_refused = false;
  bool gss_refused = false;
};
struct AwaitPassword {};
struct AwaitMd5Answer {
  std::string salt;
};
// ... or we owe the client.
struct AwaitPeerName {};
struct AwaitVerdict {};
struct AwaitMechanism {};
struct AwaitScramFirst {
  auth::ScramServer scram;
};
struct AwaitScramFinal {
  auth::ScramServer scram;
};
struct Ended {};

base::Error protocol_violation(std::string message) {
  return {"08P01", std::move(message)};
}

LoginStep reject(base::Error error, std::string& out) {
  wire::append_error_response(out, "FATAL", error);
  return Rejected{std::move(error)};
}
LoginStep hang_up(base::Error error) {
  return Rejected{std::move(error)};
}

// Clients of protocol 2 and before can read an error of this form only, and PostgreSQL sends it to them.
LoginStep reject_old_protocol(base::Error error, std::string& out) {
  out += "EFATAL:  " + error.message + '\n';
  out.push_back('\0');
  return Rejected{std::move(error)};
}

// parse_bool(): beginnings of words do, as long as they are clear.
std::optional<bool> parse_bool(std::string_view text) {
  std::string lower(text);
  for (char& c : lower) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  constexpr struct {
    std::string_view word;
    size_t shortest;
    bool value;
  } kWords[] = {{"true", 1, true}, {"false", 1, false}, {"yes", 1, true}, {"no", 1, false},
                {"on", 2, true},   {"off", 2, false},   {"1", 1, true},   {"0", 1, false}};
  for (const auto& row : kWords) {
    if (lower.size() >= row.shortest && row.word.substr(0, lower.size()) == lower) return row.value;
  }
  return std::nullopt;
}

std::optional<base::Error> check_replication(const std::string& value) {
  if (value.empty()) return std::nullopt;
  const std::optional<bool> is_on = value == "database" ? true : parse_bool(value);
  if (!is_on) {
    return base::Error{"22023", "invalid value for parameter \"replication\": \"" + value + "\"", "",
                       "Valid values are: \"false\", 0, \"true\", 1, \"database\"."};
  }
  if (!*is_on) return std::nullopt;
  return base::Error{"0A000", "replication connections cannot be pooled", "",
                     "Connect to PostgreSQL itself."};
}

}  // namespace

struct ClientLogin::Machine {
  explicit Machine(LoginRules& login_rules) : rules(login_rules) {}

  LoginRules& rules;
  std::variant<AwaitStartup, AwaitPeerName, AwaitPassword, AwaitVerdict, AwaitMd5Answer, AwaitMechanism,
               AwaitScramFirst, AwaitScramFinal, Ended>
      state;
  std::string pending;           // the beginning of a packet or message
  wire::StartupMessage request;  // user and database as they count, once read

  // Takes one packet or message off the front of `bytes`; `used` stays 0 if it is not whole yet.
  LoginStep advance(base::Bytes bytes, size_t& used, std::string& out);

  LoginStep read_startup(AwaitStartup current, base::Bytes bytes, size_t& used, std::string& out);
  LoginStep refuse_encryption(const char* name, bool more_came, AwaitStartup next, std::string& out);
  LoginStep begin(wire::StartupMessage message, std::string& out);
  LoginStep challenge(std::string& out);
  LoginStep offer_scram(std::string& out);

  LoginStep read_answer(base::Bytes bytes, size_t& used, std::string& out);
  LoginStep on(AwaitPassword current, base::Bytes body, std::string& out);
  LoginStep on(const AwaitMd5Answer& current, base::Bytes body, std::string& out);
  LoginStep on(AwaitMechanism current, base::Bytes body, std::string& out);
  LoginStep on(AwaitScramFirst current, base::Bytes body, std::string& out);
  LoginStep on(const AwaitScramFinal& current, base::Bytes body, std::string& out);

  LoginStep password_is_wrong(std::string& out);
  LoginStep accept(std::string& out);
};

LoginStep ClientLogin::Machine::advance(base::Bytes bytes, size_t& used, std::string& out) {
  if (std::holds_alternative<Ended>(state)) return hang_up(protocol_violation("the login is over"));
  if (!std::holds_alternative<AwaitStartup>(state)) return read_answer(bytes, used, out);
  const AwaitStartup current = std::get<AwaitStartup>(state);
  state = Ended{};
  return read_startup(current, bytes, used, out);
}

LoginStep ClientLogin::Machine::read_startup(AwaitStartup current, base::Bytes bytes, size_t& used,
                                             std::string& out) {
  wire::StartupPacket packet = wire::read_startup_packet(bytes, used);
  const bool more_came = bytes.size() > used;
  if (std::holds_alternative<wire::Incomplete>(packet)) {
    state = current;
    return MoreNeeded{};
  }
  if (std::holds_alternative<wire::SslRequest>(packet)) {
    if (current.ssl_refused) return reject(wire::unsupported_protocol(wire::kSslRequestCode), out);
    return refuse_encryption("SSL request", more_came, {true, current.gss_refused}, out);
  }
  if (std::holds_alternative<wire::GssEncRequest>(packet)) {
    if (current.gss_refused) return reject(wire::unsupported_protocol(wire::kGssEncRequestCode), out);
    return refuse_encryption("GSSAPI encryption request", more_came, {current.ssl_refused, true}, out);
  }
  if (auto* cancel = std::get_if<wire::CancelRequest>(&packet)) {
    return CancelAsked{cancel->process_id, std::move(cancel->secret)};
  }
  if (auto* bad = std::get_if<wire::BadPacket>(&packet)) {
    if (!bad->client_is_told) return hang_up(std::move(bad->error));
    const bool is_old = base::read_u32(bytes.data() + 4) < wire::protocol_version(3, 0);
    return is_old ? reject_old_protocol(std::move(bad->error), out) : reject(std::move(bad->error), out);
  }
  return begin(std::get<wire::StartupMessage>(std::move(packet)), out);
}

// Bytes that came before our answer were sent by somebody who did not wait for it, or slipped in by a third.
LoginStep ClientLogin::Machine::refuse_encryption(const char* name, bool more_came, AwaitStartup next,
                                                  std::string& out) {
  if (more_came) {
    base::Error error = protocol_violation(std::string("received unencrypted data after ") + name);
    error.detail =
        "This could be either a client-software bug or evidence of an attempted man-in-the-middle attack.";
    return reject(std::move(error), out);
  }
  out.push_back('N');
  state = next;
  return MoreNeeded{};
}

LoginStep ClientLogin::Machine::begin(wire::StartupMessage message, std::string& out) {
  if (auto error = check_replication(message.replication)) return reject(*std::move(error), out);
  if (message.minor > wire::kNewestMinor || !message.protocol_options.empty()) {
    wire::append_negotiate_protocol_version(out, std::min(message.minor, wire::kNewestMinor),
                                            message.protocol_options);
  }
  request = std::move(message);
  if (request.user.empty()) {
    return reject({"28000", "no PostgreSQL user name specified in startup packet"}, out);
  }
  if (request.database.empty()) request.database = request.user;
  if (auto error = rules.may_log_in()) return reject(*std::move(error), out);
  if (rules.knows_peer(request.database)) return challenge(out);
  state = AwaitPeerName{};
  return PeerNameNeeded{};
}

LoginStep ClientLogin::Machine::challenge(std::string& out) {
  switch (rules.method_for(request.user, request.database)) {
    case auth::AuthMethod::Trust:
      return accept(out);
    case auth::AuthMethod::Peer:
      if (rules.peer_may_be(request.user, request.database)) return accept(out);
      return reject({"28000", "Peer authentication failed for user \"" + request.user + "\""}, out);
    case auth::AuthMethod::Password:
      wire::append_authentication_cleartext(out);
      state = AwaitPassword{};
      return MoreNeeded{};
    case auth::AuthMethod::Md5: {
      // Who has a SCRAM secret is offered SCRAM, as PostgreSQL does. Unknown users get the challenge that the
      // method is named after.
      const auth::Secret* secret = rules.secret_of(request.user);
      if (secret != nullptr && !secret->can_md5()) return offer_scram(out);
      std::string salt = rules.random_bytes(4);
      wire::append_authentication_md5(out, salt);
      state = AwaitMd5Answer{std::move(salt)};
      return MoreNeeded{};
    }
    case auth::AuthMethod::ScramSha256:
      return offer_scram(out);
  }
  return reject({"XX000", "unknown authentication method"}, out);
}

LoginStep ClientLogin::Machine::offer_scram(std::string& out) {
  wire::append_authentication_sasl(out, {auth::kScramSha256});
  state = AwaitMechanism{};
  return MoreNeeded{};
}

LoginStep ClientLogin::Machine::read_answer(base::Bytes bytes, size_t& used, std::string& out) {
  const bool is_password =
      std::holds_alternative<AwaitPassword>(state) || std::holds_alternative<AwaitMd5Answer>(state);
  if (bytes.empty()) return MoreNeeded{};
  if (bytes[0] != 'p') {
    state = Ended{};
    return reject(protocol_violation(std::string("expected ") + (is_password ? "password" : "SASL") +
                                     " response, got message type " +
                                     std::to_string(static_cast<unsigned char>(bytes[0]))),
                  out);
  }
  if (bytes.size() < 5) return MoreNeeded{};
  const uint32_t length = base::read_u32(bytes.data() + 1);
  if (length < 4 || length > (is_password ? kMaxPasswordMessage : kMaxSaslMessage)) {
    state = Ended{};
    return hang_up(protocol_violation("invalid message length"));
  }
  if (bytes.size() < length + 1) return MoreNeeded{};
  used = length + 1;

  auto current = std::exchange(state, Ended{});  // an answer that installs no next state has ended the login
  return std::visit(
      [&](auto&& now) -> LoginStep {
        using State = std::decay_t<decltype(now)>;
        if constexpr (std::is_same_v<State, AwaitStartup> || std::is_same_v<State, AwaitPeerName> ||
                      std::is_same_v<State, AwaitVerdict> || std::is_same_v<State, Ended>) {
          return hang_up(protocol_violation("nothing was asked"));
        } else {
          return on(std::forward<decltype(now)>(now), bytes.substr(5, length - 4), out);
        }
      },
      std::move(current));
}

namespace {

// The one string of a PasswordMessage.
base::Result<std::string_view> read_password(base::Bytes body) {
  wire::FieldReader fields(body);
  const std::string_view password = fields.cstring();
  if (!fields.ok_and_at_end()) return protocol_violation("invalid password packet size");
  if (password.empty()) return base::Error{"28P01", "empty password returned by client"};
  return password;
}

}  // namespace

LoginStep ClientLogin::Machine::on(AwaitPassword, base::Bytes body, std::string& out) {
  const auto password = read_password(body);
  if (!password) return reject(password.error(), out);
  const auth::Secret* secret = rules.secret_of(request.user);
  if (secret != nullptr && secret->can_md5() && secret->matches(*password, request.user)) return accept(out);
  // What is not right at once takes the time of a SCRAM verification.
  state = AwaitVerdict{};
  return PasswordToCheck{secret, request.user, std::string(*password)};
}

LoginStep ClientLogin::Machine::on(const AwaitMd5Answer& current, base::Bytes body, std::string& out) {
  const auto answer = read_password(body);
  if (!answer) return reject(answer.error(), out);
  if (!auth::md5_answer_matches(rules.secret_of(request.user), *answer, current.salt, request.user)) {
    return password_is_wrong(out);
  }
  return accept(out);
}

LoginStep ClientLogin::Machine::on(AwaitMechanism, base::Bytes body, std::string& out) {
  wire::FieldReader fields(body);
  const std::string_view mechanism = fields.cstring();
  if (!fields.ok()) return reject(protocol_violation("invalid string in message"), out);
  if (mechanism != auth::kScramSha256) {
    return reject(protocol_violation("client selected an invalid SASL authentication mechanism"), out);
  }
  const uint32_t size = fields.u32();
  const bool has_data = size != 0xffffffffu;
  const base::Bytes data = fields.bytes(has_data ? size : 0);
  if (!fields.ok()) return reject(protocol_violation("insufficient data left in message"), out);
  if (!fields.at_end()) return reject(protocol_violation("invalid message format"), out);

  AwaitScramFirst next{{rules.secret_of(request.user), request.user, rules.mock_key(),
                        auth::base64_of(rules.random_bytes(auth::kRawNonceSize))}};
  if (has_data) return on(std::move(next), data, out);
  wire::append_authentication_sasl_continue(out, {});
  state = std::move(next);
  return MoreNeeded{};
}

LoginStep ClientLogin::Machine::on(AwaitScramFirst current, base::Bytes body, std::string& out) {
  const auto answer = current.scram.first(body);
  if (!answer) return reject(answer.error(), out);
  wire::append_authentication_sasl_continue(out, *answer);
  state = AwaitScramFinal{std::move(current.scram)};
  return MoreNeeded{};
}

LoginStep ClientLogin::Machine::on(const AwaitScramFinal& current, base::Bytes body, std::string& out) {
  const auto answer = current.scram.final(body);
  if (!answer) return reject(answer.error(), out);
  if (!*answer) return password_is_wrong(out);
  wire::append_authentication_sasl_final(out, **answer);
  return accept(out);
}

LoginStep ClientLogin::Machine::password_is_wrong(std::string& out) {
  return reject({"28P01", "password authentication failed for user \"" + request.user + "\""}, out);
}

LoginStep ClientLogin::Machine::accept(std::string& out) {
  if (auto error = rules.authorize(request.user, request.database)) return reject(*std::move(error), out);
  // `options` first: what stands in the packet itself is applied after it.
  StartupSettings settings;
  if (const base::Status status = add_options(request.options, settings); !status) {
    return reject(status.error(), out);
  }
  for (const auto& [name, value] : request.settings) settings.add(name, value);
  if (auto error = rules.admit(request.database)) return reject(*std::move(error), out);
  wire::append_authentication_ok(out);
  // 3.1 was never made; PostgreSQL takes a client that asks for it as one of 3.0.
  const int spoken_minor = request.minor >= wire::kNewestMinor ? wire::kNewestMinor : 0;
  return Accepted{request.user, request.database, spoken_minor, std::move(settings)};
}

ClientLogin::ClientLogin(LoginRules& rules) : machine_(std::make_unique<Machine>(rules)) {}
ClientLogin::~ClientLogin() = default;

LoginStep ClientLogin::receive(base::Bytes bytes, size_t& consumed, std::string& out) {
  std::string& pending = machine_->pending;
  const bool continues = !pending.empty();
  if (continues) pending.append(bytes);
  base::Bytes left = continues ? base::Bytes(pending) : bytes;

  LoginStep step = go_on(MoreNeeded{}, left, out);
  // What is left belongs to the session, and came with these bytes: what was pending was the beginning of the
  // last message.
  const bool goes_on = std::holds_alternative<Accepted>(step) || std::holds_alternative<CancelAsked>(step);
  consumed = goes_on ? bytes.size() - left.size() : bytes.size();
  if (goes_on || std::holds_alternative<Rejected>(step)) left = {};
  pending = std::string(left);
  return step;
}

// Takes what is whole off the front of `bytes`, until there is something to be done.
LoginStep ClientLogin::go_on(LoginStep step, base::Bytes& bytes, std::string& out) {
  for (size_t used = 1; used > 0 && std::holds_alternative<MoreNeeded>(step);) {
    used = 0;
    step = machine_->advance(bytes, used, out);
    bytes.remove_prefix(used);
  }
  return step;
}

LoginStep ClientLogin::resume(LoginStep step, std::string& rest, std::string& out) {
  const std::string pending = std::exchange(machine_->pending, {});
  base::Bytes left = pending;
  step = go_on(std::move(step), left, out);
  const bool goes_on = std::holds_alternative<Accepted>(step);
  (goes_on ? rest : machine_->pending) = left;
  return step;
}

LoginStep ClientLogin::peer_is_known(std::string& rest, std::string& out) {
  machine_->state = Ended{};
  return resume(machine_->challenge(out), rest, out);
}

LoginStep ClientLogin::password_checked(bool is_right, std::string& rest, std::string& out) {
  machine_->state = Ended{};
  return resume(is_right ? machine_->accept(out) : machine_->password_is_wrong(out), rest, out);
}

Rejected ClientLogin::hung_up() const {
  const bool said_nothing = machine_->pending.empty();
  const auto* startup = std::get_if<AwaitStartup>(&machine_->state);
  if (startup == nullptr) {
    // psql leaves like this to ask for a password, and comes back.
    return {{"08006", "client closed the connection during authentication"}, said_nothing};
  }
  const bool disliked_our_answer =
      (startup->ssl_refused || startup->gss_refused) && machine_->pending.size() < 4;
  return {protocol_violation("incomplete startup packet"), said_nothing || disliked_our_answer};
}

Rejected ClientLogin::timed_out(std::string& out) const {
  if (std::holds_alternative<AwaitStartup>(machine_->state)) {
    return {protocol_violation("no startup packet within the time limit"), machine_->pending.empty()};
  }
  base::Error error{"57014", "canceling authentication due to timeout"};
  wire::append_error_response(out, "FATAL", error);
  return {std::move(error)};
}

// Who has said nothing yet need not speak PostgreSQL's protocol.
Rejected ClientLogin::gave_way(base::Error error, std::string& out) const {
  const bool is_unknown = std::holds_alternative<AwaitStartup>(machine_->state);
  if (!is_unknown) wire::append_error_response(out, "FATAL", error);
  return {std::move(error), is_unknown};
}

std::string_view ClientLogin::user() const {
  return machine_->request.user;
}
std::string_view ClientLogin::database() const {
  return machine_->request.database;
}

}  // namespace tidepool::session
