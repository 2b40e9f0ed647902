#include "lib/config/settings_reader.h"

#include <sched.h>

#include <algorithm>
#include <array>

#include "lib/config/conninfo_secrets.h"
#include "lib/config/section_reader.h"
#include "lib/config/text_file.h"

namespace tidepool::config {
namespace {

constexpr size_t kLongestPasswordFile = 64 * 1024;
constexpr size_t kLongestSocketPath = 107;  // sockaddr_un, less its final zero byte

constexpr std::array<std::string_view, 8> kSections{"listen", "workers", "users",  "peer_map",
                                                    "pools",  "console", "limits", "log"};
// The console's names, to which clients connect as to a pool.
constexpr std::array<std::string_view, 2> kConsoleNames{"tidepool", "pgbouncer"};

const char* const kListenShape = "a list, as in - {unix: /run/tidepool} or - {tcp: 127.0.0.1}";
const char* const kPoolsShape =
    "a map of pools, as in orders: {conninfo: \"host=/var/run/postgresql dbname=orders user=app\"}";
const char* const kUserShape = "{password: ...} or {password_file: ...}";

template <class Names>
bool is_among(std::string_view name, const Names& names) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

void check_sizes(const Given& given, const std::string& path, PoolSettings& pool, Findings& findings) {
  const YamlEntry* min_size = given.taken("min_size");
  const YamlEntry* max_size = given.taken("max_size");
  const bool min_is_known = min_size != nullptr || given.written("min_size") == nullptr;
  if (given.written("max_size") == nullptr) {
    pool.max_size = pool.min_size;
    if (min_size != nullptr && pool.min_size == 0 && !given.is_misspelt("max_size")) {
      findings.wrong(min_size->value_place, path_of(path, "min_size"),
                     "is 0 and max_size is left out, which makes a pool without connections; write max_size: "
                     "1 or more beside it");
    }
  } else if (max_size != nullptr && min_is_known && pool.max_size < pool.min_size) {
    const std::string least = std::to_string(pool.min_size), most = std::to_string(pool.max_size);
    findings.wrong(
        max_size->value_place, path_of(path, "max_size"),
        min_size != nullptr
            ? most + " is less than min_size (" + least + "); write " + least + " or more, or lower min_size"
            : most + " is less than min_size, which is " + least + " if left out; write min_size: " + most +
                  " or less beside it, or max_size: " + least + " or more");
  }
}

// max_size is known by now, or a mistake.
void check_pinned(const Given& given, const std::string& path, PoolSettings& pool, Findings& findings) {
  if (given.written("max_pinned") == nullptr) {
    pool.max_pinned = most_pinned_by_default(pool.max_size);
    return;
  }
  const YamlEntry* max_pinned = given.taken("max_pinned");
  const auto is_wrong = [&](std::string_view key) {
    return given.is_misspelt(key) || (given.written(key) != nullptr && given.taken(key) == nullptr);
  };
  const bool size_is_wrong = is_wrong("max_size") || is_wrong("min_size");
  if (max_pinned == nullptr || size_is_wrong || pool.max_pinned <= pool.max_size) return;
  const std::string most = std::to_string(pool.max_size);
  findings.wrong(max_pinned->value_place, path_of(path, "max_pinned"),
                 std::to_string(pool.max_pinned) + " is more than max_size (" + most + "); write " + most +
                     " or less, or raise max_size");
}

// Users are known by now.
void check_user_modes(const Given& given, const std::string& path, const PoolSettings& pool,
                      Findings& findings) {
  const YamlEntry* user_modes = given.written("user_modes");
  if (user_modes == nullptr) return;
  const std::vector<std::string_view> users(pool.users.begin(), pool.users.end());
  for (const YamlEntry& entry : user_modes->value->entries) {
    if (pool.user_modes.count(entry.key) == 0 || is_among(entry.key, users)) continue;
    const std::string_view meant = nearest(entry.key, users);
    findings.wrong(entry.place, path_of(path_of(path, "user_modes"), shortened(entry.key)),
                   "may not use this pool; write the name in users, or remove it here" +
                       (meant.empty() ? "" : " (did you mean " + std::string(meant) + "?)"));
  }
}

bool can_log_in(const UserSettings* user, auth::AuthMethod method) {
  switch (method) {
    case auth::AuthMethod::Trust:
    case auth::AuthMethod::Peer:
      return true;
    case auth::AuthMethod::Password:
    case auth::AuthMethod::Md5:
      return user != nullptr;
    case auth::AuthMethod::ScramSha256:
      return user != nullptr && user->secret.scram() != nullptr;
  }
  return false;
}

}  // namespace

Settings SettingsReader::read(const YamlNode& root) {
  settings_.file = file_name_;
  if (root.kind != YamlNode::Kind::Map) {
    findings_.wrong(root.place, kFileKey,
                    "is not a map of settings; write \"listen:\" and \"pools:\" with what belongs to them");
    return {};
  }
  read_top(root);
  if (settings_.workers_auto) settings_.workers = usable_cpus();
  check_who_can_log_in();
  settings_.holds_secrets = first_secret_.has_value();
  return std::move(settings_);
}

void SettingsReader::read_top(const YamlNode& root) {
  Given given;
  for_each_entry(root, "", findings_, [&](const YamlEntry& entry) {
    if (is_among(entry.key, kSections)) given.was_written(entry);
    const YamlNode& value = *entry.value;
    // Of these, a name alone is an empty section: its lines may be commented out.
    const bool may_be_empty = value.kind == YamlNode::Kind::Null;

    if (entry.key == "listen") return read_listen(value, entry.value_place);
    if (entry.key == "pools") return read_pools(value, entry.value_place);
    if (entry.key == "console") return read_plain_section(entry, settings_.console);
    if (entry.key == "limits") return read_plain_section(entry, settings_.limits);
    if (entry.key == "log") return read_plain_section(entry, settings_.log);
    if (entry.key == "workers") {
      read_setting(settings_of<Settings>().front(), entry, entry.key, settings_, findings_);
    } else if (entry.key == "users" || entry.key == "peer_map") {
      const bool is_users = entry.key == "users";
      const std::string shape =
          is_users ? "a map of users, as in app: {password: ...}" : "a map, as in www-data: [app, report]";
      const Wrong wrong = may_be_empty ? std::nullopt : not_of_kind(value, YamlNode::Kind::Map, shape);
      if (wrong) {
        findings_.wrong(entry.value_place, entry.key, *wrong);
      } else {
        is_users ? read_users(value) : read_peer_map(value);
      }
    } else {
      report_unknown_key(entry, "", {kSections.begin(), kSections.end()}, findings_, given);
    }
  });
  for (const auto& [key, shape] : {std::pair("listen", kListenShape), std::pair("pools", kPoolsShape)}) {
    if (given.written(key) != nullptr || given.is_misspelt(key)) continue;
    findings_.wrong(root.place, key, std::string("is missing; write ") + shape);
  }
}

template <class Section>
void SettingsReader::read_plain_section(const YamlEntry& entry, Section& section) {
  if (entry.value->kind == YamlNode::Kind::Null) return;
  if (const Wrong wrong = not_of_kind(*entry.value, YamlNode::Kind::Map, "its settings as key: value")) {
    findings_.wrong(entry.value_place, entry.key, *wrong);
    return;
  }
  const Given given = read_section(*entry.value, entry.key, section, findings_);
  if (const YamlEntry* users = given.taken("users")) places_[path_of(entry.key, "users")] = users->place;
}

// Listeners

void SettingsReader::read_listen(const YamlNode& list, Place place) {
  if (const Wrong wrong = not_of_kind(list, YamlNode::Kind::List, kListenShape)) {
    findings_.wrong(place, "listen", *wrong);
  } else if (list.items.empty()) {
    findings_.wrong(place, "listen", std::string("is empty; write ") + kListenShape);
  }
  for (size_t index = 0; index < list.items.size(); ++index) read_listener(list.items[index], index);
}

void SettingsReader::read_listener(const YamlItem& item, size_t index) {
  const std::string path = "listen[" + std::to_string(index) + "]";
  if (const Wrong wrong =
          not_of_kind(*item.value, YamlNode::Kind::Map, "{unix: /run/tidepool} or {tcp: 127.0.0.1}")) {
    findings_.wrong(item.place, path, *wrong);
    return;
  }
  ListenSettings listen;
  const Given given = read_section(*item.value, path, listen, findings_);
  const YamlEntry* unix_entry = given.written("unix");
  const YamlEntry* tcp_entry = given.written("tcp");
  if (unix_entry != nullptr && tcp_entry != nullptr) {
    const bool unix_is_first = unix_entry->place < tcp_entry->place;
    findings_.wrong((unix_is_first ? tcp_entry : unix_entry)->place, path,
                    "has both unix and tcp; write an entry for each");
    return;
  }
  if (unix_entry == nullptr && tcp_entry == nullptr) {
    if (given.is_misspelt("unix") || given.is_misspelt("tcp")) return;
    findings_.wrong(item.place, path,
                    "has neither unix nor tcp; write unix: and a folder, or tcp: and an address");
    return;
  }
  const bool is_unix = unix_entry != nullptr;
  for (const Setting<ListenSettings>& setting : settings_of<ListenSettings>()) {
    const YamlEntry* entry = given.written(setting.key);
    const bool is_misplaced = is_unix ? is_for_tcp_only(setting.key) : is_for_unix_only(setting.key);
    if (entry == nullptr || !is_misplaced) continue;
    findings_.wrong(entry->place, path_of(path, setting.key),
                    is_unix ? "means nothing for a Unix socket; remove it, or write it in an entry with tcp"
                            : "means nothing for TCP; remove it, or write it in an entry with unix");
  }
  if (given.written("auth") == nullptr && is_unix) listen.auth = auth::AuthMethod::Peer;
  const YamlEntry* auth_entry = given.taken("auth");
  if (!is_unix && auth_entry != nullptr && listen.auth == auth::AuthMethod::Peer) {
    findings_.wrong(auth_entry->value_place, path_of(path, "auth"),
                    "peer works on Unix sockets only; write scram-sha-256, md5, password or trust");
  }
  if (given.taken(is_unix ? "unix" : "tcp") == nullptr) return;
  const size_t socket_path =
      listen.unix_directory.size() + std::string("/.s.PGSQL.").size() + std::to_string(listen.port).size();
  if (is_unix && socket_path > kLongestSocketPath) {
    findings_.wrong(unix_entry->value_place, path_of(path, "unix"),
                    "the socket's path would have " + std::to_string(socket_path) +
                        " bytes, and the system allows " + std::to_string(kLongestSocketPath) +
                        "; write a folder with a shorter path");
  }
  if (given.written("port") == nullptr || given.taken("port") != nullptr) {
    check_listener_is_new(listen, is_unix ? unix_entry->value_place : tcp_entry->value_place, path);
  }
  settings_.listen.push_back(std::move(listen));
}

void SettingsReader::check_listener_is_new(const ListenSettings& listen, Place place,
                                           const std::string& path) {
  for (const ListenSettings& other : settings_.listen) {
    const bool is_same_kind = listen.tcp_address.empty() == other.tcp_address.empty();
    const bool is_same_place =
        listen.unix_directory == other.unix_directory && listen.tcp_address == other.tcp_address;
    const bool covers =
        !listen.tcp_address.empty() && (listen.tcp_address == "*" || other.tcp_address == "*");
    if (listen.port != other.port || !is_same_kind || !(is_same_place || covers)) continue;
    findings_.wrong(place, path,
                    std::string(is_same_place ? "is the same as an entry above"
                                              : "overlaps with an entry above, as \"*\" is all addresses") +
                        " (port " + std::to_string(listen.port) + "); remove one, or give it another port");
    return;
  }
}

// Users

void SettingsReader::read_users(const YamlNode& map) {
  std::vector<StoredPassword> stored;
  std::vector<PasswordInFile> places;
  for_each_entry(map, "users", findings_, [&](const YamlEntry& entry) {
    auto password = read_user(entry);
    if (!password) return;
    stored.push_back({entry.key, std::move(password->text)});
    places.push_back(*std::move(password));
  });
  const auto secrets = make_secrets_(stored);
  for (size_t at = 0; at < secrets.size(); ++at) {
    const auto& user = stored[at].user;
    if (secrets[at]) {
      settings_.users.emplace(user, UserSettings{user, *secrets[at]});
    } else {
      findings_.wrong(places[at].place, places[at].path,
                      secrets[at].error().message + "; write a password, or what PostgreSQL stores for it");
    }
  }
}

std::optional<SettingsReader::PasswordInFile> SettingsReader::read_user(const YamlEntry& entry) {
  const std::string path = path_of("users", shortened(entry.key));
  if (const std::string mistake = mistake_in_name(entry.key); !mistake.empty()) {
    findings_.wrong(entry.place, path, mistake);
    return std::nullopt;
  }
  if (const Wrong wrong = not_of_kind(*entry.value, YamlNode::Kind::Map, kUserShape)) {
    findings_.wrong(entry.value_place, path, *wrong);
    return std::nullopt;
  }
  UserText text;
  const Given given = read_section(*entry.value, path, text, findings_);
  const YamlEntry* password = given.written("password");
  const YamlEntry* file = given.written("password_file");
  if (password != nullptr) note_secret(*password, path_of(path, "password"));
  if (password != nullptr && file != nullptr) {
    findings_.wrong(std::max(password->place, file->place), path,
                    "has both password and password_file; remove one");
    return std::nullopt;
  }
  if (password == nullptr && file == nullptr) {
    if (given.is_misspelt("password") || given.is_misspelt("password_file")) return std::nullopt;
    findings_.wrong(entry.place, path, std::string("has no password; write ") + kUserShape);
    return std::nullopt;
  }
  const YamlEntry* taken = given.taken(password != nullptr ? "password" : "password_file");
  if (taken == nullptr) return std::nullopt;
  const std::string taken_path = path_of(path, taken->key);
  if (file != nullptr) {
    std::string content;
    read_password_file(*file, taken_path, content);
    if (content.empty()) return std::nullopt;
    text.password = std::move(content);
  }
  return PasswordInFile{std::move(text.password), taken->value_place, taken_path};
}

// Leaves `password` empty after a mistake.
void SettingsReader::read_password_file(const YamlEntry& entry, const std::string& path,
                                        std::string& password) {
  UserText text;
  const auto written = read_scalar(*entry.value, entry.value_place, path, "the path of a file", findings_);
  if (!written) return;
  std::string file_path = written->text;
  const size_t slash = file_name_.rfind('/');
  if (!file_path.starts_with('/') && slash != std::string::npos)
    file_path = file_name_.substr(0, slash + 1) + file_path;

  const TextFile file = read_text_file(file_path, kLongestPasswordFile, true);
  if (!file.mistake.empty()) {
    findings_.wrong(entry.value_place, path, in_quotes(file_path) + " " + file.mistake);
    return;
  }
  if ((file.mode & 0004) != 0) {
    findings_.warn(entry.value_place, path,
                   in_quotes(file_path) + " holds a password and everyone may read it (mode " +
                       print_mode(file.mode) + "); chmod o-rwx it");
  }
  password = file.text.substr(0, file.text.find('\n'));
  if (password.ends_with('\r')) password.pop_back();
  if (password.empty()) {
    findings_.wrong(entry.value_place, path,
                    in_quotes(file_path) + " has an empty first line; write the password there");
  }
}

void SettingsReader::read_peer_map(const YamlNode& map) {
  for_each_entry(map, "peer_map", findings_, [&](const YamlEntry& entry) {
    const std::string path = path_of("peer_map", shortened(entry.key));
    if (const std::string mistake = mistake_in_name(entry.key); !mistake.empty()) {
      findings_.wrong(entry.place, path, mistake);
      return;
    }
    PeerNames peer;
    read_setting(settings_of<PeerNames>().front(), entry, path, peer, findings_);
    settings_.peer_map.emplace(entry.key, std::move(peer.names));
  });
}

// Pools

void SettingsReader::read_pools(const YamlNode& map, Place place) {
  if (const Wrong wrong = not_of_kind(map, YamlNode::Kind::Map, kPoolsShape)) {
    findings_.wrong(place, "pools", *wrong);
  } else if (map.entries.empty()) {
    findings_.wrong(place, "pools", std::string("is empty; write ") + kPoolsShape);
  }
  for_each_entry(map, "pools", findings_, [&](const YamlEntry& entry) { read_pool(entry); });
}

void SettingsReader::read_pool(const YamlEntry& entry) {
  const std::string path = path_of("pools", shortened(entry.key));
  if (const std::string mistake = mistake_in_name(entry.key); !mistake.empty()) {
    findings_.wrong(entry.place, path, mistake);
  }
  if (is_among(entry.key, kConsoleNames)) {
    findings_.wrong(entry.place, path, "is the console's name; give the pool another one");
  }
  if (const Wrong wrong = not_of_kind(*entry.value, YamlNode::Kind::Map, "its settings, conninfo at least")) {
    findings_.wrong(entry.value_place, path, *wrong);
    return;
  }
  PoolSettings pool;
  pool.name = entry.key;
  const Given given = read_section(*entry.value, path, pool, findings_);
  check_sizes(given, path, pool, findings_);
  check_pinned(given, path, pool, findings_);

  const YamlEntry* conninfo = given.written("conninfo");
  if (conninfo != nullptr) {
    read_conninfo(*conninfo, path_of(path, "conninfo"), pool);
  } else if (!given.is_misspelt("conninfo")) {
    findings_.wrong(entry.place, path_of(path, "conninfo"),
                    "is missing; write how to reach the server, as in \"host=/var/run/postgresql "
                    "dbname=orders user=app\"");
  }
  if (const YamlEntry* users = given.written("users")) {
    places_[path_of(path, "users")] = users->place;
    if (given.taken("users") != nullptr && pool.users.empty()) {
      findings_.wrong(users->value_place, path_of(path, "users"),
                      "lets nobody use the pool; write a name, or remove it: then the conninfo's user may");
    }
  } else {
    pool.users = {pool.server_user};
    places_[path_of(path, "users")] = (conninfo != nullptr ? *conninfo : entry).place;
  }
  const bool users_are_known = given.written("users") != nullptr
                                   ? given.taken("users") != nullptr && !pool.users.empty()
                                   : !given.is_misspelt("users") && !pool.server_user.empty();
  if (users_are_known) check_user_modes(given, path, pool, findings_);
  if (const YamlEntry* auth_entry = given.taken("auth"))
    places_[path_of(path, "auth")] = auth_entry->value_place;
  settings_.pools.emplace(entry.key, std::move(pool));
}

void SettingsReader::read_conninfo(const YamlEntry& entry, const std::string& path, PoolSettings& pool) {
  if (entry.value->kind != YamlNode::Kind::Scalar || !expand_variables(entry.value->text).mistake.empty())
    return;  // reported
  const auto in_file = passwords_in(entry.value->text);
  const bool is_in_file =
      std::any_of(in_file.begin(), in_file.end(), [](std::string_view it) { return !is_one_variable(it); });
  if (is_in_file) note_secret(entry, path);

  const auto facts = conninfo_(pool.conninfo);
  if (facts) {
    pool.server_user = facts->user;
    return;
  }
  std::string words = facts.error().message;
  while (!words.empty() && (words.back() == '\n' || words.back() == ' ')) words.pop_back();
  const bool may_quote_secret = pool.conninfo != entry.value->text || !passwords_in(pool.conninfo).empty();
  findings_.wrong(entry.value_place, path,
                  (may_quote_secret ? without_quotes(words) : words) +
                      "; write what this libpq understands, as in \"host=... dbname=... user=...\"");
}

// What only the whole file shows

void SettingsReader::check_who_can_log_in() {
  if (findings_.any_mistake()) return;  // they would only add to the noise
  for (const auto& [name, pool] : settings_.pools) {
    const std::string path = path_of("pools", shortened(name));
    const auto is_tcp = [](const ListenSettings& listen) { return listen.unix_directory.empty(); };
    const auto tcp = std::count_if(settings_.listen.begin(), settings_.listen.end(), is_tcp);
    if (pool.auth == auth::AuthMethod::Peer && tcp > 0) {
      const std::string key = path_of(path, "auth");
      if (tcp == static_cast<ptrdiff_t>(settings_.listen.size())) {
        findings_.wrong(places_[key], key,
                        "peer works on Unix sockets only, and no entry of listen is one; write another "
                        "method, or add one");
      } else {
        findings_.warn(places_[key], key,
                       "peer works on Unix sockets only: clients over TCP cannot use this pool");
      }
      continue;
    }
    for (const std::string& user : pool.users) {
      const std::string why = why_nobody_logs_in_as(user, &pool);
      if (!why.empty()) findings_.warn(places_[path_of(path, "users")], path_of(path, "users"), why);
    }
  }
  for (const std::string& user : settings_.console.users) {
    const std::string why = why_nobody_logs_in_as(user, nullptr);
    if (!why.empty()) findings_.warn(places_["console.users"], "console.users", why);
  }
}

// Empty: somebody can. A user who logs in by peer or trust needs no password, so it is a warning, and only if
// no listener has these.
std::string SettingsReader::why_nobody_logs_in_as(const std::string& name, const PoolSettings* pool) const {
  const auto found = settings_.users.find(name);
  const UserSettings* user = found == settings_.users.end() ? nullptr : &found->second;
  for (const ListenSettings& listen : settings_.listen) {
    if (can_log_in(user, pool != nullptr && pool->auth ? *pool->auth : listen.auth)) return "";
  }
  if (user != nullptr) {
    return in_quotes(name) +
           " cannot log in: its password is an md5 one, and only scram-sha-256 is offered; set a new "
           "password";
  }
  std::vector<std::string_view> known;
  for (const auto& [other, unused] : settings_.users) known.push_back(other);
  const std::string_view meant = nearest(name, known);
  return in_quotes(name) + " cannot log in: it has no password" +
         (meant.empty() ? "; write it under users"
                        : "; write it under users (or did you mean " + std::string(meant) + "?)");
}

void SettingsReader::note_secret(const YamlEntry& entry, const std::string& path) {
  const bool is_in_file = entry.value->kind == YamlNode::Kind::Scalar && !is_one_variable(entry.value->text);
  if (!is_in_file) return;
  if (!first_secret_ || entry.value_place < first_secret_->place)
    first_secret_ = SecretInFile{entry.value_place, path};
}

uint32_t usable_cpus() {
  cpu_set_t cpus;
  CPU_ZERO(&cpus);
  if (sched_getaffinity(0, sizeof(cpus), &cpus) != 0) return 1;
  return static_cast<uint32_t>(std::max(1, CPU_COUNT(&cpus)));
}

}  // namespace tidepool::config
