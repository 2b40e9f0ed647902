#include "daemon/log.h"

#include <fcntl.h>
#include <spdlog/pattern_formatter.h>
#include <spdlog/sinks/base_sink.h>
#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/sinks/systemd_sink.h>
#include <spdlog/spdlog.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <memory>
#include <mutex>

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

// A line is one write, so that it is whole, whoever else writes there. A line that cannot be written (the
// disk is full) is lost, and how many were is said as soon as one can.
class FileSink final : public spdlog::sinks::base_sink<spdlog::details::null_mutex> {
 public:
  // Throws spdlog_ex.
  explicit FileSink(const std::string& path)
      : fd_(::open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0640)) {
    if (fd_ < 0) throw spdlog::spdlog_ex("cannot open " + path, errno);
  }
  ~FileSink() override { ::close(fd_); }
  FileSink(const FileSink&) = delete;
  FileSink& operator=(const FileSink&) = delete;

 private:
  void sink_it_(const spdlog::details::log_msg& message) override {
    if (lost_ > 0) {
      const std::string words =
          std::to_string(lost_) + " lines of the log were lost: " + std::strerror(why_lost_);
      spdlog::details::log_msg loss(message.time, {}, message.logger_name, spdlog::level::err, words);
      if (!put(loss)) {
        ++lost_;
        return;
      }
      lost_ = 0;
    }
    if (!put(message)) ++lost_;
  }
  bool put(const spdlog::details::log_msg& message) {
    spdlog::memory_buf_t line;
    formatter_->format(message, line);
    const char* rest = line.data();
    for (size_t size = line.size(); size > 0;) {
      const ssize_t done = ::write(fd_, rest, size);
      if (done < 0 && errno == EINTR) continue;
      if (done < 0) {
        why_lost_ = errno;
        return false;
      }
      rest += done;
      size -= static_cast<size_t>(done);
    }
    return true;
  }
  void flush_() override {}

  const int fd_;
  uint64_t lost_ = 0;
  int why_lost_ = 0;
};

// Where all lines go, whatever stands behind it at the moment.
class Outlet final : public spdlog::sinks::base_sink<std::mutex> {
 public:
  explicit Outlet(std::unique_ptr<spdlog::sinks::sink> first) : behind_(std::move(first)) {}
  void lead_to(std::unique_ptr<spdlog::sinks::sink> next) {
    std::lock_guard lock(mutex_);
    behind_.swap(next);
  }

 private:
  void sink_it_(const spdlog::details::log_msg& message) override { behind_->log(message); }
  void flush_() override { behind_->flush(); }

  std::unique_ptr<spdlog::sinks::sink> behind_;
};

// May throw spdlog_ex.
std::unique_ptr<spdlog::sinks::sink> make_sink(const config::LogSettings& settings) {
  std::unique_ptr<spdlog::sinks::sink> sink;
  const bool journal = settings.to == "journald";
  if (settings.to == "stderr") {
    sink = std::make_unique<spdlog::sinks::stderr_sink_st>();
  } else if (journal) {
    sink = std::make_unique<spdlog::sinks::systemd_sink_st>("tidepoold");
  } else {
    sink = std::make_unique<FileSink>(settings.to);
  }
  sink->set_formatter(formatter_for(settings.format, journal));
  return sink;
}

const std::shared_ptr<Outlet> kOutlet = std::make_shared<Outlet>(make_sink({}));
spdlog::logger logger("tidepool", kOutlet);

}  // namespace

std::string configure(const config::LogSettings& settings) {
  try {
    kOutlet->lead_to(make_sink(settings));
  } catch (const spdlog::spdlog_ex& error) {
    return error.what();
  }
  logger.set_level(level_of(settings.level));
  return {};
}

bool is_on(config::LogLevel level) {
  return logger.should_log(level_of(level));
}

void write(config::LogLevel level, std::string_view line) {
  logger.log(level_of(level), spdlog::string_view_t(line.data(), line.size()));
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
