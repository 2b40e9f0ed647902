// Clients of PostgreSQL, many of them in one thread, that do nothing but ask. Steps on its standard input,
// one per line (or its end), and its standard output make it fit for measuring from outside:
//
//   all are logged in  ->  "ready"            <-  a line: go
//   all have ended     ->  {"transactions": ...}  <-  a line: leave
//
// With --mode prepared, each client has prepared its statement at "ready", once, and executes it by name.
// With --mode connect, each transaction has a connection of its own, and nobody is logged in at "ready";
// with --mode visit the same, and each of them prepares its statement by name, has it described, runs it once
// and leaves, as a driver does for a program that connects for every request. Failures are counted in these
// two, and tried again; in the other modes the first one ends the program.
#include <fcntl.h>

#include <algorithm>
#include <chrono>
#include <cinttypes>
#include <iostream>
#include <map>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "bench/latencies.h"
#include "bench/sockets.h"
#include "lib/wire/frame_cursor.h"
#include "lib/wire/message_reader.h"
#include "lib/wire/message_writer.h"

namespace tidepool::bench {
namespace {

using Clock = std::chrono::steady_clock;  // Python's time.monotonic()
using Seconds = std::chrono::duration<double>;

constexpr size_t kLoginsAtOnce = 64;
constexpr auto kPauseAfterFailure = std::chrono::milliseconds(5);

enum class Mode { Simple, Extended, Prepared, Connect, Visit };

bool comes_and_goes(Mode mode) { return mode == Mode::Connect || mode == Mode::Visit; }

struct Options {
  std::string socket, user = "app", database = "bench", query = "select 1";
  Mode mode = Mode::Simple;
  size_t clients = 1;
  double seconds = 0;
  size_t transactions = 0;  // shared out evenly; 0: as many as the time allows
};

// What all clients count together.
struct Totals {
  size_t transactions = 0;
  uint64_t bytes = 0;
  Clock::time_point last_done;
  Seconds longest_wait{0};     // of one transaction, from its connect or its query on
  Seconds longest_silence{0};  // in which no transaction was completed
  Clock::time_point silence_end;
  Latencies latencies;  // of transactions, as longest_wait has them
  std::map<std::string, size_t> failures;

  void done(Clock::time_point since, Clock::time_point now) {
    ++transactions;
    longest_wait = std::max(longest_wait, Seconds(now - since));
    latencies.add(static_cast<uint64_t>(std::chrono::nanoseconds(now - since).count()));
    if (now - last_done > longest_silence) {
      longest_silence = now - last_done;
      silence_end = now;
    }
    last_done = now;
  }
};

// The bytes that a client sends, the same for all.
struct Script {
  std::string login, first, every;  // `first`: once per connection, behind the login

  explicit Script(const Options& options) {
    wire::append_startup(
        login, 0, {{"user", options.user}, {"database", options.database}, {"application_name", "load"}});
    switch (options.mode) {
      case Mode::Simple:
      case Mode::Connect:
        wire::append_query(every, options.query);
        return;
      case Mode::Extended:
        wire::append_parse(every, "", options.query);
        wire::append_bind(every, "", "");
        break;
      case Mode::Prepared:
        wire::append_parse(first, "P0", options.query);
        wire::append_sync(first);
        wire::append_bind(every, "", "P0");
        break;
      case Mode::Visit:
        wire::append_parse(first, "P0", options.query);
        wire::append_describe(first, 'S', "P0");
        wire::append_sync(first);
        wire::append_bind(every, "", "P0");
        wire::append_execute(every, "");
        wire::append_sync(every);
        return;
    }
    wire::append_describe(every, 'P', "");
    wire::append_execute(every, "");
    wire::append_sync(every);
  }
};

class Client {
 public:
  enum class State { Away, LoggingIn, Preparing, Resting, Asking };
  enum class Event { None, LoggedIn, Prepared, Done, Failed };

  State state() const { return state_; }
  Clock::time_point since() const { return since_; }
  const std::string& failure() const { return failure_; }
  size_t left = 0;  // transactions that this client is still to do
  size_t done = 0;  // and has done

  bool connect(const UnixAddress& address, const Script& script, Epoll& epoll) {
    since_ = Clock::now();
    fd_ = connect_to(address);
    if (fd_ < 0) {
      failure_ = std::string("connect: ") + std::strerror(errno);
      return false;
    }
    epoll.add(fd_, EPOLLIN, this);
    cursor_ = {};
    held_.clear();
    state_ = State::LoggingIn;
    return say(script.login);
  }

  bool prepare(const Script& script) {
    state_ = State::Preparing;
    return say(script.first);
  }

  bool ask(const Script& script, bool keeps_time) {
    if (!keeps_time) since_ = Clock::now();
    state_ = State::Asking;
    return say(script.every);
  }

  void leave() {
    std::string goodbye;
    wire::append_terminate(goodbye);
    say(goodbye);
    close(fd_);
    state_ = State::Away;
  }

  void drop() {
    if (state_ != State::Away) close(fd_);
    state_ = State::Away;
  }

  Event on_readable(std::span<char> buffer, Totals& totals) {
    const ssize_t size = recv(fd_, buffer.data(), buffer.size(), 0);
    if (size < 0 && errno == EAGAIN) return Event::None;
    if (size <= 0) return failed(size < 0 ? std::strerror(errno) : "the connection was closed");
    totals.bytes += static_cast<uint64_t>(size);
    std::string_view bytes(buffer.data(), static_cast<size_t>(size));
    if (!held_.empty()) bytes = held_.append(bytes);

    static const wire::TypeSet kWhole{'E', 'R', 'Z'};
    Event event = Event::None;
    const auto walked = cursor_.walk(bytes, kWhole, [&](const wire::Message& message) {
      event = on_message(message);
      return event == Event::None ? wire::Walk::Go : wire::Walk::StopAfter;
    });
    if (walked.broken) return failed("nonsense");
    held_ = std::string(bytes.substr(walked.consumed));
    return event;
  }

 private:
  Event on_message(const wire::Message& message) {
    switch (message.type) {
      case 'R':
        return message.body == std::string_view("\0\0\0\0", 4) ? Event::None : failed("a password is wanted");
      case 'E': {
        const auto error = wire::read_error(message.body);
        return failed(error.sqlstate + " " + error.message);
      }
      case 'Z': {
        const auto before = std::exchange(state_, State::Resting);
        return before == State::Asking      ? Event::Done
               : before == State::Preparing ? Event::Prepared
                                            : Event::LoggedIn;
      }
      default:
        return Event::None;
    }
  }

  // `login` and `query` say when it happened: a query that was sent may have been running.
  Event failed(std::string_view words) {
    failure_ = std::string(state_ == State::Asking ? "query: " : "login: ").append(words);
    return Event::Failed;
  }

  bool say(std::string_view bytes) {
    if (send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL) == static_cast<ssize_t>(bytes.size()))
      return true;
    failed(std::strerror(errno));
    return false;
  }

  int fd_ = -1;
  State state_ = State::Away;
  Clock::time_point since_;
  wire::FrameCursor cursor_;
  std::string held_;  // the beginning of a message
  std::string failure_;
};

class Load {
 public:
  explicit Load(const Options& options)
      : options_(options), script_(options), address_(options.socket), clients_(options.clients) {
    const size_t share = options.transactions / options.clients;
    const size_t rest = options.transactions % options.clients;
    for (size_t i = 0; i < clients_.size(); ++i)
      clients_[i].left = options.transactions == 0 ? SIZE_MAX : share + (i < rest ? 1 : 0);
  }

  void log_all_in() {
    if (comes_and_goes(options_.mode)) return;
    size_t begun = 0, in = 0;
    while (in < clients_.size()) {
      for (; begun < clients_.size() && begun - in < kLoginsAtOnce; ++begun)
        if (!clients_[begun].connect(address_, script_, epoll_)) give_up(clients_[begun]);
      for (const epoll_event& event : epoll_.wait()) {
        auto& client = *static_cast<Client*>(event.data.ptr);
        const auto what = client.on_readable(buffer_, totals_);
        if (what == Client::Event::Failed) give_up(client);
        if (what == Client::Event::LoggedIn && !script_.first.empty()) {
          if (!client.prepare(script_)) give_up(client);
        } else if (what != Client::Event::None) {
          ++in;
        }
      }
    }
  }

  void run() {
    const auto begin = Clock::now();
    totals_.last_done = begin;
    totals_.bytes = 0;
    if (options_.seconds > 0)
      end_ = begin + std::chrono::duration_cast<Clock::duration>(Seconds(options_.seconds));
    for (auto& client : clients_) next(client);
    while (at_work_ > 0 || !failed_.empty()) {
      for (const epoll_event& event : epoll_.wait(failed_.empty() ? -1 : 5))
        on_event(*static_cast<Client*>(event.data.ptr));
      retry_failed();
    }
    seconds_ = Clock::now() - begin;
    if (Clock::now() - totals_.last_done > totals_.longest_silence) {
      totals_.longest_silence = Clock::now() - totals_.last_done;
      totals_.silence_end = Clock::now();
    }
  }

  void print() const {
    const Seconds silence_end = totals_.silence_end.time_since_epoch();
    const auto [fewest, median] = shares();
    std::printf("{\"transactions\": %zu, \"seconds\": %.6f, \"bytes\": %" PRIu64
                ", \"longest_wait\": %.6f, \"longest_silence\": %.6f, \"silence_end\": %.6f"
                ", \"p50\": %.9f, \"p99\": %.9f, \"fewest\": %zu, \"median\": %zu, \"failures\": {",
                totals_.transactions, seconds_.count(), totals_.bytes, totals_.longest_wait.count(),
                totals_.longest_silence.count(), silence_end.count(),
                totals_.latencies.nanoseconds(0.5) / 1e9, totals_.latencies.nanoseconds(0.99) / 1e9, fewest,
                median);
    const char* comma = "";
    for (const auto& [words, count] : totals_.failures) {
      std::string quoted;
      for (char c : words)
        if (c >= ' ') quoted += c == '"' || c == '\\' ? std::string{'\\', c} : std::string{c};
      std::printf("%s\"%s\": %zu", comma, quoted.c_str(), count);
      comma = ", ";
    }
    std::printf("}}\n");
    std::fflush(stdout);
  }

  void leave() {
    for (auto& client : clients_)
      if (client.state() != Client::State::Away) client.leave();
  }

 private:
  // Transactions of the most unlucky client, and of the median one.
  std::pair<size_t, size_t> shares() const {
    std::vector<size_t> done;
    for (const auto& client : clients_) done.push_back(client.done);
    std::sort(done.begin(), done.end());
    return {done.front(), done[done.size() / 2]};
  }

  bool is_over() const { return end_ && Clock::now() >= *end_; }

  // Begins the next transaction of one that rests or is away, if there is one.
  void next(Client& client) {
    if (client.left == 0 || is_over()) return;
    ++at_work_;
    const bool went_well = comes_and_goes(options_.mode) ? client.connect(address_, script_, epoll_)
                                                         : client.ask(script_, false);
    if (!went_well) fail(client);
  }

  void on_event(Client& client) {
    switch (client.on_readable(buffer_, totals_)) {
      case Client::Event::None:
        return;
      case Client::Event::Failed:
        return fail(client);
      case Client::Event::LoggedIn:
        if (!(options_.mode == Mode::Visit ? client.prepare(script_) : client.ask(script_, true)))
          fail(client);
        return;
      case Client::Event::Prepared:
        if (!client.ask(script_, true)) fail(client);
        return;
      case Client::Event::Done:
        --at_work_;
        --client.left;
        ++client.done;
        totals_.done(client.since(), Clock::now());
        if (comes_and_goes(options_.mode)) client.leave();
        return next(client);
    }
  }

  void fail(Client& client) {
    if (!comes_and_goes(options_.mode)) give_up(client);
    ++totals_.failures[client.failure()];
    client.drop();
    --at_work_;
    failed_.push_back({&client, Clock::now() + kPauseAfterFailure});
  }

  void retry_failed() {
    const auto now = Clock::now();
    auto failed = std::exchange(failed_, {});
    for (const auto& [client, when] : failed) {
      if (when <= now)
        next(*client);
      else
        failed_.push_back({client, when});
    }
  }

  [[noreturn]] static void give_up(const Client& client) {
    std::fprintf(stderr, "%s\n", client.failure().c_str());
    std::exit(1);
  }

  struct Failed {
    Client* client;
    Clock::time_point again;
  };

  const Options& options_;
  const Script script_;
  const UnixAddress address_;
  std::vector<Client> clients_;
  Epoll epoll_;
  std::vector<char> buffer_ = std::vector<char>(256 * 1024);
  std::vector<Failed> failed_;
  std::optional<Clock::time_point> end_;
  size_t at_work_ = 0;
  Seconds seconds_{0};
  Totals totals_;
};

constexpr const char* kUsage =
    "bench_load --socket PATH [--mode simple|extended|prepared|connect|visit] [--clients N] [--seconds S]\n"
    "           [--transactions N] [--user U] [--database D] [--query SQL]\n";

bool read(int argc, char** argv, Options& options) {
  const std::map<std::string_view, Mode> modes = {{"simple", Mode::Simple},
                                                  {"extended", Mode::Extended},
                                                  {"prepared", Mode::Prepared},
                                                  {"connect", Mode::Connect},
                                                  {"visit", Mode::Visit}};
  for (int i = 1; i + 1 < argc; i += 2) {
    const std::string_view key = argv[i];
    const std::string value = argv[i + 1];
    if (key == "--socket")
      options.socket = value;
    else if (key == "--user")
      options.user = value;
    else if (key == "--database")
      options.database = value;
    else if (key == "--query")
      options.query = value;
    else if (key == "--clients")
      options.clients = std::stoul(value);
    else if (key == "--seconds")
      options.seconds = std::stod(value);
    else if (key == "--transactions")
      options.transactions = std::stoul(value);
    else if (key == "--mode" && modes.contains(value))
      options.mode = modes.at(value);
    else
      return false;
  }
  return argc % 2 == 1 && !options.socket.empty() && options.clients > 0 &&
         (options.seconds > 0 || options.transactions > 0);
}

void wait_for_line() {
  std::string line;
  std::getline(std::cin, line);
}

int main_(int argc, char** argv) {
  Options options;
  if (!read(argc, argv, options)) {
    std::fputs(kUsage, stderr);
    return 2;
  }
  raise_descriptor_limit();
  Load load(options);
  load.log_all_in();
  std::printf("ready\n");
  std::fflush(stdout);
  wait_for_line();
  load.run();
  load.print();
  wait_for_line();
  load.leave();
  return 0;
}

}  // namespace
}  // namespace tidepool::bench

int main(int argc, char** argv) {
  return tidepool::bench::main_(argc, argv);
}
