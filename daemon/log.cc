#include "daemon/log.h"

#include <fcntl.h>
#include <poll.h>
#include <spdlog/pattern_formatter.h>
#include <spdlog/sinks/base_sink.h>
#include <spdlog/sinks/systemd_sink.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <memory>
#include <utility>

#include "daemon/log_queue.h"

namespace tidepool::daemon::log {

namespace {

spdlog::level::level_enum level_of(config::LogLevel level) {
  switch (level) {
    case config::LogLevel::Trace:
      return spdlog::level::trace;
    case config::LogLevel::Debug:
      return spdlog::level::debug;
    case config::LogLevel::Info:
      return spdlog::level::info;
    case config::LogLevel::Warning:
      return spdlog::level::warn;
    case config::LogLevel::Error:
      return spdlog::level::err;
  }
  return spdlog::level::info;
}

void append_json_string(spdlog::memory_buf_t& to, std::string_view text) {
  auto put = [&to](std::string_view piece) { to.append(piece.data(), piece.data() + piece.size()); };
  for (char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\') {
      to.push_back('\\');
      to.push_back(c);
    } else if (byte < 0x20) {
      static constexpr char kHex[] = "0123456789abcdef";
      put("\\u00");
      to.push_back(kHex[byte >> 4]);
      to.push_back(kHex[byte & 15]);
    } else {
      to.push_back(c);
    }
  }
}

// %* in a pattern: the message, escaped as the inside of a JSON string.
class JsonMessage : public spdlog::custom_flag_formatter {
 public:
  void format(const spdlog::details::log_msg& message, const std::tm&, spdlog::memory_buf_t& to) override {
    append_json_string(to, {message.payload.data(), message.payload.size()});
  }
  std::unique_ptr<custom_flag_formatter> clone() const override { return std::make_unique<JsonMessage>(); }
};

std::unique_ptr<spdlog::formatter> formatter_for(config::LogFormat format, bool journal) {
  auto formatter = std::make_unique<spdlog::pattern_formatter>();
  formatter->add_flag<JsonMessage>('*');
  if (format == config::LogFormat::Json) {
    formatter->set_pattern(R"({"time":"%Y-%m-%dT%H:%M:%S.%e%z","level":"%l","thread":%t,"message":"%*"})");
  } else {
    formatter->set_pattern(journal ? "%v" : "%Y-%m-%d %H:%M:%S.%e %l %v");
  }
  return formatter;
}

// A line is one write, so that it is whole, whoever else writes there. Throws spdlog_ex if it cannot be
// written (the disk is full).
class DescriptorSink final : public spdlog::sinks::base_sink<spdlog::details::null_mutex> {
 public:
  explicit DescriptorSink(int fd) : fd_(fd) {}
  ~DescriptorSink() override {
    if (fd_ != STDERR_FILENO) ::close(fd_);
  }
  DescriptorSink(const DescriptorSink&) = delete;
  DescriptorSink& operator=(const DescriptorSink&) = delete;

 private:
  void sink_it_(const spdlog::details::log_msg& message) override {
    spdlog::memory_buf_t line;
    formatter_->format(message, line);
    const char* rest = line.data();
    for (size_t size = line.size(); size > 0;) {
      const ssize_t done = ::write(fd_, rest, size);
      if (done < 0 && errno == EINTR) continue;
      if (done < 0 && errno == EAGAIN) {  // stderr, if another process has made it so
        pollfd room{fd_, POLLOUT, 0};
        ::poll(&room, 1, -1);
        continue;
      }
      if (done < 0) throw spdlog::spdlog_ex(std::strerror(errno));
      rest += done;
      size -= static_cast<size_t>(done);
    }
  }
  void flush_() override {}

  const int fd_;
};

// Throws spdlog_ex.
int open_file(const std::string& path) {
  const int fd = ::open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0640);
  if (fd < 0) throw spdlog::spdlog_ex("cannot open " + path, errno);
  return fd;
}

// May throw spdlog_ex.
std::shared_ptr<spdlog::sinks::sink> make_sink(const config::LogSettings& settings) {
  std::shared_ptr<spdlog::sinks::sink> sink;
  const bool journal = settings.to == "journald";
  if (settings.to == "stderr") {
    sink = std::make_shared<DescriptorSink>(STDERR_FILENO);
  } else if (journal) {
    sink = std::make_shared<spdlog::sinks::systemd_sink_st>("tidepoold");
  } else {
    sink = std::make_shared<DescriptorSink>(open_file(settings.to));
  }
  sink->set_formatter(formatter_for(settings.format, journal));
  return sink;
}

constexpr size_t kLongestLine = 4000;  // with its time no longer than what a pipe takes as a whole
constexpr std::chrono::seconds kPatience{1};

struct Log {
  std::atomic<config::LogLevel> level{config::LogLevel::Info};
  std::shared_ptr<spdlog::sinks::sink> sink = make_sink({});
  LogQueue queue{[this](const LogLine& line) { write(line); }};
  uint64_t lost = 0;  // lines that the sink did not take: the disk is full, the journal is away
  std::string why_lost;

  // How many lines were lost is said as soon as one is taken.
  void write(const LogLine& line) {
    try {
      if (lost > 0)
        put({config::LogLevel::Error, std::to_string(lost) + " lines of the log were lost: " + why_lost,
             line.time});
      lost = 0;
      put(line);
    } catch (const spdlog::spdlog_ex& error) {
      ++lost;
      why_lost = error.what();
    }
  }
  void put(const LogLine& line) const {
    spdlog::details::log_msg message(line.time, {}, "tidepool", level_of(line.level), line.text);
    message.thread_id = static_cast<size_t>(line.said_by);
    sink->log(message);
  }
};

// Never destroyed: its thread may hang in a line when the process ends.
Log& the_log() {
  static Log& log = *new Log;
  return log;
}

}  // namespace

std::string configure(const config::LogSettings& settings) {
  Log& log = the_log();
  try {
    log.queue.change([&log, next = make_sink(settings)] { log.sink = next; });
  } catch (const spdlog::spdlog_ex& error) {
    return error.what();
  }
  log.level = settings.level;
  return {};
}

Thread::Thread() {
  the_log().queue.start();
}

void Thread::finish() {
  static_cast<void>(the_log().queue.finish(kPatience));
}

bool is_on(config::LogLevel level) {
  return level >= the_log().level.load(std::memory_order_relaxed);
}

void write(config::LogLevel level, std::string_view line) {
  if (!is_on(level)) return;
  std::string text(line.substr(0, kLongestLine));
  if (text.size() < line.size()) text.append("...");
  the_log().queue.put({level, std::move(text)});
}

std::string shown(std::string_view untrusted) {
  static constexpr char kHex[] = "0123456789abcdef";
  std::string text;
  for (char c : untrusted.substr(0, 128)) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte < 0x20 || byte == 0x7f) {
      text.append("\\x").push_back(kHex[byte >> 4]);
      text.push_back(kHex[byte & 15]);
    } else {
      text.push_back(c);
    }
  }
  if (untrusted.size() > 128) text.append("...");
  return text;
}

}  // namespace tidepool::daemon::log
