#include "daemon/login_rules.h"

#include <pwd.h>
#include <sys/socket.h>

#include <algorithm>
#include <vector>

#include "daemon/worker.h"

namespace tidepool::daemon {

namespace {

constexpr base::Duration kNameLifetime{60'000'000};
constexpr size_t kMostNames = 1000;

bool is_among(const std::vector<std::string>& names, std::string_view name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

}  // namespace

std::optional<pool::WorkerId> ClientCount::worker_of_oldest_login() const {
  const auto oldest = std::min_element(oldest_logins_.begin(), oldest_logins_.end());
  if (*oldest == kNever) return std::nullopt;
  return static_cast<pool::WorkerId>(oldest - oldest_logins_.begin());
}

const std::string* PeerNames::find(uint32_t uid, base::TimePoint now) const {
  const auto known = names_.find(uid);
  return known != names_.end() && now - known->second.asked < kNameLifetime ? &known->second.name : nullptr;
}

std::string PeerNames::look_up(uint32_t uid) {
  std::vector<char> room(16 * 1024);
  passwd entry{};
  passwd* found = nullptr;
  getpwuid_r(uid, &entry, room.data(), room.size(), &found);
  return found != nullptr ? found->pw_name : "";
}

bool PeerNames::wait_for(uint32_t uid, SessionId session) {
  auto& waiting = waiting_[uid];
  waiting.push_back(session);
  return waiting.size() == 1;
}

std::vector<SessionId> PeerNames::found(uint32_t uid, std::string name, base::TimePoint now) {
  if (names_.size() >= kMostNames) names_.clear();
  names_[uid] = {std::move(name), now};
  auto waited = waiting_.extract(uid);
  return waited ? std::move(waited.mapped()) : std::vector<SessionId>();
}

bool is_console(std::string_view database) {
  return database == "tidepool" || database == "pgbouncer";
}

PeerProcess peer_of(int fd) {
  ucred credentials{};
  socklen_t size = sizeof credentials;
  if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &credentials, &size) != 0) return {};
  return {credentials.uid, credentials.pid};
}

SessionRules::SessionRules(Worker& worker, std::shared_ptr<const World> world, const ListenerHere& from,
                           int fd)
    : worker_(worker), world_(std::move(world)), from_(from), fd_(fd) {}

std::optional<base::Error> SessionRules::may_log_in() {
  if (world_->stopping) return base::Error{"57P03", "tidepool is shutting down"};
  return std::nullopt;
}

std::optional<base::Error> SessionRules::admit(std::string_view database) {
  const auto& limits = world_->settings->limits;
  const uint32_t fit = worker_.client_count().most_that_fit.load(std::memory_order_relaxed);
  const uint32_t most = std::min(limits.max_clients, fit);
  if (!worker_.client_count().enter(is_console(database) ? most + limits.console_reserve : most)) {
    return base::Error{"53300",
                       "too many clients: limits.max_clients is " + std::to_string(limits.max_clients) +
                           (fit < limits.max_clients ? ", of which " + std::to_string(fit) +
                                                           " fit under the process's limit of descriptors"
                                                     : "")};
  }
  admitted_ = true;
  return std::nullopt;
}

bool SessionRules::knows_peer(std::string_view database) {
  if (from_.kind != ListenerHere::Kind::Unix) return true;
  if (!is_console(database) && method_of_pool(database) != auth::AuthMethod::Peer) return true;
  const std::string* name = worker_.peer_names().find(peer_of(fd_).uid, worker_.now());
  if (name != nullptr) peer_name_ = *name;
  return name != nullptr;
}

auth::AuthMethod SessionRules::method_for(std::string_view, std::string_view database) {
  if (!is_console(database)) return method_of_pool(database);
  // console.peers come in by who they are; everybody else proves it as the listener asks.
  return is_among(world_->settings->console.peers, peer_name_) ? auth::AuthMethod::Peer : from_.auth;
}

auth::AuthMethod SessionRules::method_of_pool(std::string_view database) const {
  const auto pool = world_->settings->pools.find(database);
  if (pool == world_->settings->pools.end() || !pool->second.auth) return from_.auth;
  return *pool->second.auth;
}

const auth::Secret* SessionRules::secret_of(std::string_view user) {
  const auto found = world_->settings->users.find(user);
  return found == world_->settings->users.end() ? nullptr : &found->second.secret;
}

bool SessionRules::peer_may_be(std::string_view user, std::string_view database) {
  if (peer_name_.empty()) return false;
  if (is_console(database) && is_among(world_->settings->console.peers, peer_name_)) return true;
  if (peer_name_ == user) return true;
  const auto mapped = world_->settings->peer_map.find(peer_name_);
  return mapped != world_->settings->peer_map.end() && is_among(mapped->second, user);
}

std::optional<base::Error> SessionRules::authorize(std::string_view user, std::string_view database) {
  if (is_console(database)) {
    const auto& console = world_->settings->console;
    if (is_among(console.users, user)) return std::nullopt;
    if (is_among(console.peers, peer_name_)) return std::nullopt;
    return base::Error{"28000", "user \"" + std::string(user) + "\" may not use the console", "",
                       "Add it to console.users, or its operating-system user to console.peers."};
  }
  const auto pool = world_->settings->pools.find(database);
  if (pool == world_->settings->pools.end())
    return base::Error{"3D000", "there is no pool named \"" + std::string(database) + "\"", "",
                       "What a client gives as dbname is the name of a pool in tidepool's settings."};
  if (!is_among(pool->second.users, user))
    return base::Error{
        "28000", "user \"" + std::string(user) + "\" may not use pool \"" + std::string(database) + "\"", "",
        "Add it to users of the pool in tidepool's settings."};
  return std::nullopt;
}

std::string SessionRules::random_bytes(size_t size) {
  return worker_.random().take(size);
}

std::string_view SessionRules::mock_key() {
  return worker_.mock_key();
}

}  // namespace tidepool::daemon
