#include "daemon/server_connection.h"

#include <sys/socket.h>

#include <cerrno>
#include <utility>

#include "daemon/client_session.h"
#include "daemon/log.h"
#include "daemon/random.h"
#include "daemon/worker.h"
#include "lib/session/server_role.h"
#include "lib/wire/message_reader.h"
#include "lib/wire/message_writer.h"

namespace tidepool::daemon {

using session::ServerCleanup;

namespace {

// PostgreSQL gets so long to hang up after Terminate, and longer if something has to end first that ran
// there; then the connection does not count any more.
constexpr base::Duration kHangUpTime{5'000'000};
constexpr base::Duration kEndingTime{30'000'000};
// So long an unclean server waits for a client whose first message could take the DISCARD ALL along.
constexpr base::Duration kUncleanTime{5'000};

// All that it says in its life while it rests: settings that are reloaded, and notices that nobody hears.
// Whoever says more keeps the worker from its clients.
constexpr size_t kMostSaidAtRest = size_t{1} << 20;
constexpr const char* kMisreports =
    "a ParameterStatus that is malformed or too long, or more than any server would";

// Giving a server another application_name costs PostgreSQL some 40 us each time, and a login 3 ms.
constexpr uint32_t kMostRenamings = 64;

std::string name_at_login(const OpenServer& open) {
  const std::string* name = open.parameters.find("application_name");
  return name != nullptr ? *name : std::string();
}

bool reset_may_wait_on(const session::ParameterMap& parameters) {
  const std::string* version = parameters.find("server_version");
  return version != nullptr && ServerCleanup::may_wait_on(*version);
}

// What the names of prepared statements that are ours begin with: nobody can guess it, so that no text that a
// client writes can mean them.
std::string names_of_ours() {
  constexpr std::string_view kDigits = "0123456789abcdef";
  std::string names = "tidepool_";
  for (const char byte : random_bytes(16)) {
    names.push_back(kDigits[static_cast<unsigned char>(byte) >> 4]);
    names.push_back(kDigits[static_cast<unsigned char>(byte) & 15]);
  }
  return names + "_";
}

bool discard_keeps_role(const session::StartupFlavour& flavour, const session::ParameterMap& parameters) {
  if (flavour.find("role") == nullptr && flavour.find("session_authorization") == nullptr) return true;
  const std::string* version = parameters.find("server_version");
  return version != nullptr && ServerCleanup::keeps_startup_role(*version);
}

}  // namespace

ServerConnection::ServerConnection(std::unique_ptr<OpenServer> open, session::FlavourPtr flavour,
                                   pool::ConnectionId id, uint64_t number, ServerHolders& holders)
    : relay(tracker, names_of_ours()),
      parameters(open->parameters),
      open_(std::move(open)),
      flavour_(std::move(flavour)),
      holder_(holders.enter(open_->process_id, open_->peer_address)),
      socket_(open_->fd(), open_->tls(), *this),
      parameters_when_clean_(parameters),
      own_name_(name_at_login(*open_)),
      is_local_(reinterpret_cast<const sockaddr*>(open_->peer_address.data())->sa_family == AF_UNIX),
      connected_at_us_(now_wall_us()),
      id_(id),
      number_(number),
      keeps_role_(discard_keeps_role(*flavour_, parameters)),
      reset_may_wait_(keeps_role_ && reset_may_wait_on(parameters)) {}

ServerConnection::~ServerConnection() {
  socket_.unwatch();
}

void ServerConnection::arrive(Worker& worker, PoolHere& pool) {
  worker_ = &worker;
  pool_ = &pool;
  if (is_unclean()) worker.need_cleaning();
  socket_.watch(worker.loop(), worker.read_buffer());
}

void ServerConnection::depart() {
  socket_.unwatch();
  worker_ = nullptr;
  pool_ = nullptr;
}

void ServerConnection::set_state(State state) {
  state_ = state;
}

void ServerConnection::lend_to(LinkEnd<ClientSession, ServerConnection>& client) {
  learn();
  set_state(State::Lent);
  client_.tie(client);
  holder_->lent_to(client_->process_id());
  trace = {};
}

// What it reports by itself: as it is cleaned, or by the way. The pool hears of what has changed: the server
// was promoted, or PostgreSQL's files were read again.
void ServerConnection::learn() {
  if (learnt_version_ == parameters.version()) return;
  learnt_version_ = parameters.version();
  std::vector<SharedPool::Reported> changes;
  const auto note = [&](const std::string& name, const std::string& now) {
    const std::string* before = parameters_when_clean_.find(name);
    if (before != nullptr && *before != now && name != "application_name")
      changes.push_back({name, *before, now});
  };
  if (!is_unclean() && !is_in_doubt() && applied.entries().empty()) {
    // Under other policies it may be what the last client has SET.
    if (pool_->cleanup.reset == session::CleanupPolicy::Reset::DiscardAll ||
        pool_->cleanup.reset == session::CleanupPolicy::Reset::Close)
      parameters.each_difference(parameters_when_clean_, note);
    else
      learn_whether_standby();
    parameters_when_clean_ = parameters;
  } else {
    learn_whether_standby();
  }
  if (!changes.empty()) pool_->shared->reported(changes);
}

// No session can set that.
void ServerConnection::learn_whether_standby() {
  const std::string name(session::kInHotStandby);
  const std::string *now = parameters.find(name), *before = parameters_when_clean_.find(name);
  if (now == nullptr || before == nullptr || *now == *before) return;
  pool_->shared->reported({{name, *before, *now}});
  parameters_when_clean_.set(name, *now);
}

// What it was dialed to be, as far as it says itself.
bool ServerConnection::is_as_asked_for() {
  learn();
  return session::has_session_attributes(parameters_when_clean_, open_->session_attributes);
}

bool ServerConnection::may_be_lent() const {
  if (state_ != State::Resting) return false;
  if (is_local_) return true;
  char byte = 0;
  const ssize_t size = recv(open_->fd(), &byte, 1, MSG_PEEK | MSG_DONTWAIT);
  return size > 0 || (size < 0 && (errno == EAGAIN || errno == EINTR));
}

bool ServerConnection::discard_in_front() {
  if (!is_unclean() && reset_may_wait_) unclean_since_ = worker_->now();
  return is_unclean();
}

void ServerConnection::release() {
  // A cancel that is on its way keeps it, and so does what else a cleanup looks at.
  if (is_held() || parameters_unknown)
    return leave_client(ServerCleanup::Leave::Terminated, false, Left::Known);
  client_.part();
  may_have_temporary_ = true;
  rest(true);
}

void ServerConnection::leave_client(ServerCleanup::Leave leave, bool half_sent, Left left) {
  client_.part();
  if (state_ == State::Closing) return;
  set_state(State::Cleaning);
  then_ = Then::GiveBack;
  if (left == Left::Session && trace.lasts()) left = Left::Lasting;
  // A pool that checks a server before each use has a round trip to wait for anyway.
  const bool may_wait = left == Left::Session && reset_may_wait_ && !trace.is_found() &&
                        pool_->settings->check != base::Duration(0);
  const auto reset = may_wait ? ServerCleanup::Reset::MayWait : ServerCleanup::Reset::AtOnce;
  const auto& policy = left == Left::Known     ? pool_->cleanup_of_known
                       : !keeps_role_          ? pool_->cleanup_of_lasting
                       : left == Left::Session ? pool_->cleanup
                       : left == Left::Unknown ? pool_->cleanup_of_unknown
                                               : pool_->cleanup_of_lasting;
  if (left == Left::Unknown) discarded();
  relay.unnamed_is_unknown();
  if (left != Left::Session ||
      (trace.may_have_temporary() && policy.reset == session::CleanupPolicy::Reset::DiscardAll))
    may_have_temporary_ = true;
  cleanup_.emplace(policy, tracker, leave, half_sent, reset, left == Left::Session && may_have_temporary_);
  std::string out;
  const auto step = cleanup_->start(worker_->now(), out);
  carry_out(step, out);
  // Last: bytes that TLS holds may come at once.
  if (state_ == State::Cleaning) socket_.resume_reading();
}

void ServerConnection::leave_refused(bool needs_sync, std::string rest) {
  tracker = session::TransactionTracker();
  tracker.client_sent('S');
  if (needs_sync) {
    std::string out;
    wire::append_sync(out);
    socket_.write(out);
  }
  tail = std::move(rest);
  relay.leave();
  leave_client(ServerCleanup::Leave::Terminated, false, Left::Unknown);
  if (state_ == State::Cleaning && !tail.empty()) on_server_bytes({});
}

// Nothing is owed and no transaction is open: all that there is to do is the reset.
void ServerConnection::clean(Then then) {
  set_state(State::Cleaning);
  then_ = then;
  const auto& policy = is_shared() ? pool_->cleanup_of_unknown : pool_->cleanup;
  if (is_shared()) discarded();
  relay.unnamed_is_unknown();
  cleanup_.emplace(policy, tracker, ServerCleanup::Leave::Terminated, false, ServerCleanup::Reset::AtOnce,
                   may_have_temporary_);
  std::string out;
  const auto step = cleanup_->start(worker_->now(), out);
  carry_out(step, out);
}

bool ServerConnection::clean_if_due(base::TimePoint now) {
  if (state_ != State::Resting || !is_unclean()) return false;
  if (now - *unclean_since_ < kUncleanTime) return true;
  // If it is granted already, the client's message will take the reset along.
  if (!pool_->shared->begin_cleaning(id_, now)) return true;
  clean(Then::Rest);
  return false;
}

void ServerConnection::cleaned() {
  cleanup_.reset();
  deadline_.reset();
  switch (then_) {
    case Then::GiveBack:
      return rest(true);
    case Then::Rest:
      set_state(State::Resting);
      return pool_->shared->check_passed(id_, worker_->now());
    case Then::Check:
      set_state(State::Resting);
      return check();
  }
}

void ServerConnection::give_back_unused() {
  client_.part();
  if (state_ == State::Closing) return;
  rest(false);
}

// Those that were dialed before any client came have no application_name. When so many clients in a row
// wanted the same one that another login would have been as cheap, the server is replaced by one that has it.
void ServerConnection::note_renaming(std::string_view application_name) {
  // PostgreSQL made something else of it (of letters that are not ASCII), and would again.
  if (application_name == open_->dialed_name) return;
  if (new_name_ != application_name) {
    new_name_ = application_name;
    renamings_ = 0;
  }
  ++renamings_;
}

void ServerConnection::rest(bool used) {
  if (!is_as_asked_for()) return close(pool::CloseReason::OtherRole, "");
  set_state(State::Resting);
  if (is_unclean()) worker_->need_cleaning();
  const bool outgrown = renamings_ >= kMostRenamings;
  if (outgrown) renamings_ = 0;  // if it may not go now, then after as many again
  pool_->shared->give_back(id_, used, outgrown, worker_->now());
}

void ServerConnection::check() {
  if (state_ != State::Resting) return;
  if (is_unclean()) return clean(Then::Check);
  set_state(State::Checking);
  check_failed_ = false;
  deadline_ = worker_->now() + pool_->settings->check_timeout;
  worker_->need_tick();
  std::string out;
  wire::append_query(out, pool_->settings->check_query);
  tracker.client_sent('Q');
  relay.unnamed_is_gone();
  if (!socket_.write(out)) close(pool::CloseReason::CheckFailed, "its check could not be sent");
}

void ServerConnection::close(pool::CloseReason reason, std::string_view why, bool decided) {
  if (state_ == State::Closing) return;
  ClientSession* const client = client_.part();
  if (log::is_on(config::LogLevel::Debug) || !decided) {
    const std::string line =
        "pool=" + pool_->shared->name() + " server_pid=" + std::to_string(open_->process_id) +
        " server closed: " + pool::name_of(reason) + (why.empty() ? "" : ": ") + std::string(why);
    log::write(decided ? config::LogLevel::Debug : config::LogLevel::Info, line);
  }
  // What still runs there would keep PostgreSQL from hanging up, and until then the connection counts.
  const bool waits_for_end = something_runs();
  if (waits_for_end && pool_->cleanup.cancel_orphans) worker_->send_cancel(*this, {});
  set_state(State::Closing);
  cleanup_.reset();
  if (!decided) lose(reason);
  std::string out;
  wire::append_terminate(out);
  socket_.end_writing(out);
  deadline_ = worker_->now() + (waits_for_end ? kEndingTime : kHangUpTime);
  worker_->need_tick();
  if (client != nullptr) client->on_server_lost(*this);
}

bool ServerConnection::something_runs() const {
  return !tracker.is_quiet() && state_ != State::Checking;
}

void ServerConnection::lose(pool::CloseReason reason) {
  pool_->shared->lose(id_, reason, worker_->now(), fault_ ? &*fault_ : nullptr);
}

void ServerConnection::note_first_answer() {
  has_answered_ = true;
  pool_->shared->answered(id_, worker_->now());
}

void ServerConnection::gone() {
  set_state(State::Closing);
  deadline_.reset();
  socket_.unwatch();
  pool_->shared->closed(id_, worker_->now());
  worker_->retire(*this);
}

void ServerConnection::cancel_done() {
  --cancels_;
  if (cleanup_ && state_ == State::Cleaning && cancels_ == 0) {
    if (clean_but_held_) {
      clean_but_held_ = false;
      return cleaned();
    }
    std::string out;
    const auto step = cleanup_->cancel_sent(worker_->now(), out);
    carry_out(step, out);
  }
}

bool ServerConnection::tick(base::TimePoint now) {
  if (cleanup_) {
    const auto deadline = cleanup_->deadline();
    if (deadline && *deadline <= now) {
      std::string out;
      const auto step = cleanup_->tick(now, out);
      // At rest it is not that client's doing: whatever keeps it from answering may concern the others too.
      const bool rested = then_ == Then::Rest || then_ == Then::Check;
      carry_out(step, out, rested ? pool::CloseReason::CheckFailed : pool::CloseReason::Bad);
    }
    return true;
  }
  if (!deadline_) return false;
  if (*deadline_ > now) return true;
  deadline_.reset();
  if (state_ == State::Closing) {
    gone();
  } else if (state_ == State::Checking) {
    blame({"08006", "a check of the server was not answered within check_timeout"});
    close(pool::CloseReason::CheckFailed, "no answer within check_timeout");
    deadline_ = now;  // it had its time: clients that wait for its place do not wait for it once more
  }
  return true;
}

void ServerConnection::carry_out(ServerCleanup::Step step, const std::string& out,
                                 pool::CloseReason if_closed) {
  if (!out.empty() && step != ServerCleanup::Step::Close) socket_.write(out);
  switch (step) {
    case ServerCleanup::Step::Wait:
      return worker_->need_tick();
    case ServerCleanup::Step::SendCancel:
      worker_->need_tick();
      return worker_->send_cancel(*this, {});
    case ServerCleanup::Step::Clean:
    case ServerCleanup::Step::CleanLater:
      if (step == ServerCleanup::Step::CleanLater)
        unclean_since_ = worker_->now();
      else
        unclean_since_.reset();
      if (step == ServerCleanup::Step::Clean && cleanup_->asks_temporary()) may_have_temporary_ = false;
      if (parameters_unknown) return close(pool::CloseReason::Bad, kMisreports);
      if (cancels_ > 0) {
        clean_but_held_ = true;
        return;
      }
      return cleaned();
    case ServerCleanup::Step::Close: {
      const std::string why = cleanup_->reason();
      // A reset may fail by the time limit that it was dialed with.
      if (cleanup_->is_servers_fault())
        blame({flavour_->number == 0 ? "08006" : "57014", "after its login the server was no good: " + why});
      return close(if_closed, why);
    }
  }
}

// Whole messages only, for everything but the relay: what is incomplete is kept for the next read, within the
// headroom of the buffer; longer messages are walked over without their bodies.
template <class Handle>
void ServerConnection::each_message(base::Bytes bytes, Handle&& handle) {
  static const wire::TypeSet kWhole{'S', 'Z', 'E', 'C', 'N'};
  static const wire::TypeSet kShortOnly{};
  const State before = state_;
  bytes = worker_->read_buffer().join(tail, bytes);
  size_t at = 0;
  for (;;) {
    auto visit = [&](const wire::Message& message) {
      handle(message);
      return state_ == before ? wire::Walk::Go : wire::Walk::StopAfter;
    };
    auto walked = from_server.walk(bytes.substr(at), kWhole, visit);
    at += walked.consumed;
    if (walked.broken) return break_off(kImpossibleLength);
    if (state_ != before) {
      // What follows belongs to the next state, and only a closing server still talks.
      if (at == bytes.size() || state_ == State::Closing) return;
      blame({"08P01", "the server sent bytes that nobody asked for"});
      return close(pool::CloseReason::Bad, "bytes that nobody asked for");
    }
    if (walked.needed > event::ReadBuffer::kHeadroom) {
      if (bytes[at] == 'S') return break_off(kMisreports);
      walked = from_server.walk(bytes.substr(at), kShortOnly, visit);
      at += walked.consumed;
      continue;
    }
    break;
  }
  tail.assign(bytes.substr(at));
}

void ServerConnection::on_server_bytes(base::Bytes bytes) {
  switch (state_) {
    case State::Lent:
      if (client_ == nullptr) return close(pool::CloseReason::Bad, "bytes that nobody asked for");
      return client_->on_server_bytes(bytes);
    case State::Cleaning:
      return each_message(bytes, [this](const wire::Message& message) { on_cleaning(message); });
    case State::Checking:
      return each_message(bytes, [this](const wire::Message& message) { on_checking(message); });
    case State::Resting:
      said_at_rest_ += bytes.size();
      if (said_at_rest_ > kMostSaidAtRest) return break_off("more than any server would that nobody asks");
      return each_message(bytes, [this](const wire::Message& message) { on_resting(message); });
    case State::Closing:
      return;
  }
}

void ServerConnection::on_resting(const wire::Message& message) {
  switch (message.type) {
    case 'S':  // settings of the server were reloaded
      return on_reported_at_rest(message.body);
    case 'N':
      return;
    case 'E':
      blame(wire::read_error(message.body));
      return close(pool::CloseReason::Lost, log::shown(fault_->message));
    default:
      blame({"08P01", "the server sent something that nobody asked for"});
      return close(pool::CloseReason::Bad, "it sent something that nobody asked for");
  }
}

// Whatever its last client has left there: PostgreSQL reports what holds without it.
void ServerConnection::on_reported_at_rest(base::Bytes body) {
  const auto status = wire::read_parameter_status(body);
  const std::string* known = status ? parameters_when_clean_.find(status->name) : nullptr;
  const std::string before = known != nullptr ? *known : "";
  if (!parameters.apply_status(body) || !parameters_when_clean_.apply_status(body))
    return break_off(kMisreports);
  if (known != nullptr && before != status->value)
    pool_->shared->reported({{std::string(status->name), before, std::string(status->value)}});
  if (!is_as_asked_for()) close(pool::CloseReason::OtherRole, "");
}

void ServerConnection::on_cleaning(const wire::Message& message) {
  if (message.type == 'S' && !parameters.apply_status(message.body)) return break_off(kMisreports);
  std::string out;
  const auto step = cleanup_->server_sent(message, worker_->now(), out);
  carry_out(step, out);
}

void ServerConnection::on_checking(const wire::Message& message) {
  if (message.type == 'S' && !parameters.apply_status(message.body)) return break_off(kMisreports);
  if (message.type == 'E') {
    check_failed_ = true;
    blame(wire::read_error(message.body));
  }
  tracker.server_sent(message.type, message.body);
  if (message.type != 'Z') return;
  if (check_failed_ || !tracker.server_is_free()) {
    if (!fault_) blame({"08P01", "the server answered its check otherwise than it should"});
    return close(pool::CloseReason::CheckFailed, "its check failed");
  }
  if (!is_as_asked_for()) return close(pool::CloseReason::OtherRole, "");
  set_state(State::Resting);
  deadline_.reset();
  pool_->shared->check_passed(id_, worker_->now());
}

void ServerConnection::on_server_end(int error) {
  if (state_ == State::Closing) return gone();
  hung_up_itself_ = error == 0 || error == ECONNRESET || error == EPIPE;
  hung_up(error == 0 ? "the server hung up" : uv_strerror(uv_translate_sys_error(error)));
}

void ServerConnection::break_off(const std::string& what) {
  if (state_ == State::Closing) return;
  blame({"08P01", "the server sent " + what});
  if (something_runs() && pool_->cleanup.cancel_orphans) worker_->send_cancel(*this, {});
  hung_up(what);
}

void ServerConnection::hung_up(const std::string& why) {
  ClientSession* const client = client_.part();
  auto reason = pool::CloseReason::Bad;
  if (state_ == State::Resting) reason = pool::CloseReason::Lost;
  if (state_ == State::Checking) reason = pool::CloseReason::CheckFailed;
  log::write(config::LogLevel::Info, "pool=" + pool_->shared->name() + " server_pid=" +
                                         std::to_string(open_->process_id) + " server lost: " + why);
  cleanup_.reset();
  set_state(State::Closing);
  if (!fault_) blame({"08006", "the server closed the connection before it had answered anything: " + why});
  lose(reason);
  gone();
  if (client != nullptr) client->on_server_lost(*this);
}

stats::ServerRow ServerConnection::row() const {
  stats::ServerRow row{};
  switch (state_) {
    case State::Resting:
      row.state = stats::ServerState::Idle;
      break;
    case State::Lent:
      row.state = stats::ServerState::Active;
      break;
    default:
      row.state = stats::ServerState::Tested;
  }
  if (is_held()) row.state = stats::ServerState::Cancelling;
  row.user = open_->user;
  row.database = pool_->shared->name();
  row.address = open_->host;
  row.port = open_->port;
  row.connect_time_us = connected_at_us_;
  row.close_needed = state_ == State::Closing;
  row.id = number_;
  row.link = client_ != nullptr ? client_->process_id() : 0;
  row.remote_pid = open_->process_id;
  row.tls = open_->tls_version;
  row.prepared_statements = static_cast<uint32_t>(relay.statements().size());
  if (const std::string* name = parameters.find("application_name")) row.application_name = *name;
  return row;
}

void ServerConnection::on_server_drained() {
  if (state_ == State::Lent && client_ != nullptr) client_->on_server_drained();
}

}  // namespace tidepool::daemon
