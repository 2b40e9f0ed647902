// A PostgreSQL that answers at once and never looks anything up: what is measured in front of it is the
// pooler. Trusts everybody; answers BEGIN, COMMIT, ROLLBACK, SET, RESET, DISCARD and DEALLOCATE as they
// deserve, keeps and reports the settings that PostgreSQL reports, and says one row, `1`, to everything else.
// Of prepared statements and portals it remembers only those that would be answered otherwise: with a name
// that was never heard of comes the row.
//
//   bench_fake_server SOCKET
#include <algorithm>
#include <cctype>
#include <functional>
#include <map>
#include <memory>
#include <utility>
#include <vector>

#include "bench/sockets.h"
#include "lib/wire/frame_cursor.h"
#include "lib/wire/message_reader.h"
#include "lib/wire/message_writer.h"
#include "lib/wire/startup_packet.h"

namespace tidepool::bench {
namespace {

std::string lower(std::string_view text) {
  std::string out(text);
  std::transform(out.begin(), out.end(), out.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return out;
}

struct CaseBlind {
  bool operator()(const std::string& a, const std::string& b) const { return lower(a) < lower(b); }
};
using Settings = std::map<std::string, std::string, CaseBlind>;

const Settings kReported = {
    {"application_name", ""},         {"client_encoding", "UTF8"},
    {"DateStyle", "ISO, MDY"},        {"default_transaction_read_only", "off"},
    {"in_hot_standby", "off"},        {"integer_datetimes", "on"},
    {"IntervalStyle", "postgres"},    {"is_superuser", "off"},
    {"server_encoding", "UTF8"},      {"server_version", "15.4"},
    {"session_authorization", "app"}, {"standard_conforming_strings", "on"},
    {"TimeZone", "Etc/UTC"},
};

enum class Kind { Row, Begin, Commit, Rollback, Set, SetConfig, Reset, DiscardAll, Deallocate, Empty };

struct Statement {
  Kind kind = Kind::Row;
  std::string sql;
};

Statement read_statement(std::string_view sql) {
  const size_t begin = sql.find_first_not_of(" \t\r\n;");
  if (begin == std::string_view::npos) return {Kind::Empty, ""};
  const std::string_view text = sql.substr(begin);
  if (text.find("set_config(") != std::string_view::npos) return {Kind::SetConfig, std::string(text)};
  constexpr std::pair<std::string_view, Kind> kCommands[] = {{"begin", Kind::Begin},
                                                             {"commit", Kind::Commit},
                                                             {"end", Kind::Commit},
                                                             {"rollback", Kind::Rollback},
                                                             {"set ", Kind::Set},
                                                             {"reset ", Kind::Reset},
                                                             {"discard all", Kind::DiscardAll},
                                                             {"deallocate ", Kind::Deallocate}};
  const std::string start = lower(text.substr(0, 12));
  for (const auto& [word, kind] : kCommands)
    if (start.starts_with(word)) return {kind, std::string(text)};
  return {};
}

// Answers that are always the same bytes.
struct Canned {
  std::string description, row;

  Canned() {
    wire::append_row_description(description, {{"abalance", 23, 4}});
    wire::append_data_row(row, {"1"});
    wire::append_command_complete(row, "SELECT 1");
  }
};
const Canned kCanned;

class Connection {
 public:
  Connection(int fd, uint32_t number) : fd_(fd), number_(number) {}
  ~Connection() { close(fd_); }
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  // The socket has something to read, or room again (it is watched edge-triggered). False: it is over.
  bool serve(std::span<char> buffer) {
    for (;;) {
      const ssize_t size = recv(fd_, buffer.data(), buffer.size(), 0);
      if (size < 0 && errno == EAGAIN) break;
      if (size <= 0) return false;
      in_.append(buffer.data(), static_cast<size_t>(size));
      if (static_cast<size_t>(size) < buffer.size()) break;
    }
    if (!(is_logged_in_ || log_in()) || !answer_all()) return false;
    return send_out();
  }

 private:
  // False: it is over. Whether the startup packet has come is told by is_logged_in_.
  bool log_in() {
    for (;;) {
      size_t size = 0;
      const auto packet = wire::read_startup_packet(in_, size);
      if (std::holds_alternative<wire::Incomplete>(packet)) return true;
      in_.erase(0, size);
      if (const auto* startup = std::get_if<wire::StartupMessage>(&packet)) {
        greet(*startup);
        return true;
      }
      const bool asks = std::holds_alternative<wire::SslRequest>(packet) ||
                        std::holds_alternative<wire::GssEncRequest>(packet);
      if (!asks) return false;
      out_ += 'N';
    }
  }

  void greet(const wire::StartupMessage& startup) {
    is_logged_in_ = true;
    for (const auto& [name, value] : startup.settings)
      if (own_.contains(name)) own_[name] = value;
    own_["session_authorization"] = startup.user;
    settings_ = own_;
    wire::append_authentication_ok(out_);
    for (const auto& [name, value] : settings_) wire::append_parameter_status(out_, name, value);
    wire::append_backend_key_data(out_, number_, "key!");
    wire::append_ready_for_query(out_, 'I');
  }

  bool answer_all() {
    if (!is_logged_in_) return true;
    static const wire::TypeSet kWhole{'Q', 'P', 'B', 'E', 'D', 'C', 'S', 'H', 'X'};
    bool goes_on = true;
    const auto walked = cursor_.walk(in_, kWhole, [&](const wire::Message& message) {
      goes_on = answer(message.type, wire::FieldReader(message.body));
      return goes_on ? wire::Walk::Go : wire::Walk::StopAfter;
    });
    in_.erase(0, walked.consumed);
    return goes_on && !walked.broken;
  }

  // False: it is over.
  bool answer(char type, wire::FieldReader body) {
    switch (type) {
      case 'Q': {
        const Statement statement = read_statement(body.cstring());
        if (statement.kind == Kind::Row) out_ += kCanned.description;
        run(statement, {});
        wire::append_ready_for_query(out_, status_);
        return true;
      }
      case 'P': {
        const auto name = body.cstring();
        remember(statements_, name, read_statement(body.cstring()));
        wire::append_parse_complete(out_);
        return true;
      }
      case 'B':
        bind(body);
        wire::append_bind_complete(out_);
        return true;
      case 'D':
        describe(body);
        return true;
      case 'E': {
        const Portal& portal = find(portals_, body.cstring());
        run(portal.statement, portal.parameters);
        return true;
      }
      case 'C': {
        const bool is_statement = body.byte() == 'S';
        if (is_statement)
          remember(statements_, body.cstring(), {});
        else
          remember(portals_, body.cstring(), {});
        wire::append_close_complete(out_);
        return true;
      }
      case 'S':
        wire::append_ready_for_query(out_, status_);
        return true;
      case 'H':
        return true;
      default:
        return false;
    }
  }

  struct Portal {
    Statement statement;
    std::vector<std::string> parameters;
  };

  template <typename T>
  using ByName = std::map<std::string, T, std::less<>>;

  static bool is_row(const Statement& statement) { return statement.kind == Kind::Row; }
  static bool is_row(const Portal& portal) { return is_row(portal.statement); }

  template <typename T>
  static const T& find(const ByName<T>& all, std::string_view name) {
    static const T kRow;
    const auto found = all.find(name);
    return found == all.end() ? kRow : found->second;
  }

  template <typename T>
  static void remember(ByName<T>& all, std::string_view name, T value) {
    if (!is_row(value))
      all.insert_or_assign(std::string(name), std::move(value));
    else if (const auto old = all.find(name); old != all.end())
      all.erase(old);
  }

  void bind(wire::FieldReader& body) {
    const auto name = body.cstring();
    Portal portal{find(statements_, body.cstring()), {}};
    if (portal.statement.kind == Kind::SetConfig) {
      for (uint16_t formats = body.u16(); formats > 0; --formats) body.u16();
      for (uint16_t count = body.u16(); count > 0 && body.ok(); --count) {
        const uint32_t size = body.u32();
        portal.parameters.emplace_back(size == UINT32_MAX ? "" : body.bytes(size));
      }
    }
    remember(portals_, name, std::move(portal));
  }

  void describe(wire::FieldReader& body) {
    const bool is_statement = body.byte() == 'S';
    const auto name = body.cstring();
    if (is_statement) wire::append_parameter_description(out_, {});
    const Kind kind = (is_statement ? find(statements_, name) : find(portals_, name).statement).kind;
    if (kind == Kind::Row || kind == Kind::SetConfig)
      out_ += kCanned.description;
    else
      wire::append_no_data(out_);
  }

  void run(const Statement& statement, const std::vector<std::string>& parameters) {
    switch (statement.kind) {
      case Kind::Row:
        out_ += kCanned.row;
        return;
      case Kind::Empty:
        return wire::append_empty_query_response(out_);
      case Kind::Begin:
        status_ = 'T';
        return wire::append_command_complete(out_, "BEGIN");
      case Kind::Commit:
        status_ = 'I';
        return wire::append_command_complete(out_, "COMMIT");
      case Kind::Rollback:
        status_ = 'I';
        return wire::append_command_complete(out_, "ROLLBACK");
      case Kind::SetConfig:
        for (size_t i = 0; i + 1 < parameters.size(); i += 2) set(parameters[i], parameters[i + 1]);
        out_ += kCanned.row;
        return;
      case Kind::Set:
        set_by_command(statement.sql);
        return wire::append_command_complete(out_, "SET");
      case Kind::Reset:
        restore();
        return wire::append_command_complete(out_, "RESET");
      case Kind::DiscardAll:
        statements_.clear();
        portals_.clear();
        restore();
        return wire::append_command_complete(out_, "DISCARD ALL");
      case Kind::Deallocate:
        statements_.clear();
        return wire::append_command_complete(out_, "DEALLOCATE");
    }
  }

  // SET name = 'value' or SET name TO 'value', as poolers write it; several may follow each other.
  void set_by_command(std::string_view sql) {
    while (lower(sql.substr(0, 4)) == "set ") {
      sql.remove_prefix(4);
      const size_t name_end = sql.find_first_of(" =");
      const size_t open = sql.find('\'');
      if (name_end == std::string_view::npos || open == std::string_view::npos) return;
      const size_t shut = sql.find('\'', open + 1);
      if (shut == std::string_view::npos) return;
      set(std::string(sql.substr(0, name_end)), std::string(sql.substr(open + 1, shut - open - 1)));
      const size_t next = sql.find_first_not_of("; ", shut + 1);
      sql = next == std::string_view::npos ? "" : sql.substr(next);
    }
  }

  void set(const std::string& name, const std::string& value) {
    const auto found = settings_.find(name);
    if (found == settings_.end() || found->second == value) return;
    found->second = value;
    wire::append_parameter_status(out_, found->first, value);
  }

  void restore() {
    for (const auto& [name, value] : own_) set(name, value);
  }

  bool send_out() {
    if (out_.empty()) return true;
    const ssize_t sent = send(fd_, out_.data(), out_.size(), MSG_NOSIGNAL);
    if (sent < 0) return errno == EAGAIN;
    out_.erase(0, static_cast<size_t>(sent));
    return true;
  }

  const int fd_;
  const uint32_t number_;
  bool is_logged_in_ = false;
  char status_ = 'I';
  std::string in_, out_;
  wire::FrameCursor cursor_;
  Settings own_ = kReported;  // as they were at login
  Settings settings_;
  ByName<Statement> statements_;
  ByName<Portal> portals_;
};

void serve(const std::string& path) {
  const int listener = listen_at(path);
  Epoll epoll;
  epoll.add(listener, EPOLLIN, nullptr);
  std::vector<char> buffer(64 * 1024);
  uint32_t number = 0;
  for (;;) {
    for (const epoll_event& event : epoll.wait()) {
      if (event.data.ptr == nullptr) {
        const int fd = accept4(listener, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd < 0) continue;
        epoll.add(fd, EPOLLIN | EPOLLOUT | EPOLLET, new Connection(fd, ++number));
        continue;
      }
      auto* connection = static_cast<Connection*>(event.data.ptr);
      if (!connection->serve(buffer)) delete connection;
    }
  }
}

}  // namespace
}  // namespace tidepool::bench

int main(int argc, char** argv) {
  if (argc != 2) {
    std::fprintf(stderr, "bench_fake_server SOCKET\n");
    return 2;
  }
  tidepool::bench::raise_descriptor_limit();
  tidepool::bench::serve(argv[1]);
}
