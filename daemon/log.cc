#include "daemon/log.h"

#include <spdlog/pattern_formatter.h>
#include <spdlog/sinks/basic_file_sink.h>
#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/sinks/systemd_sink.h>
#include <spdlog/spdlog.h>

#include <memory>

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

std::shared_ptr<spdlog::logger> logger = [] {
  auto made = std::make_shared<spdlog::logger>("tidepool", std::make_shared<spdlog::sinks::stderr_sink_mt>());
  made->set_formatter(formatter_for(config::LogFormat::Text, false));
  return made;
}();
// Loggers that a reload replaced: other threads may still be writing to them.
std::vector<std::shared_ptr<spdlog::logger>> replaced;
std::atomic<spdlog::logger*> current{logger.get()};

}  // namespace

std::string configure(const config::LogSettings& settings) {
  std::shared_ptr<spdlog::sinks::sink> sink;
  bool journal = false;
  try {
    if (settings.to == "stderr") {
      sink = std::make_shared<spdlog::sinks::stderr_sink_mt>();
    } else if (settings.to == "journald") {
      sink = std::make_shared<spdlog::sinks::systemd_sink_mt>("tidepoold");
      journal = true;
    } else {
      sink = std::make_shared<spdlog::sinks::basic_file_sink_mt>(settings.to);
    }
  } catch (const spdlog::spdlog_ex& error) {
    return error.what();
  }
  auto made = std::make_shared<spdlog::logger>("tidepool", std::move(sink));
  made->set_level(level_of(settings.level));
  made->flush_on(spdlog::level::trace);
  made->set_formatter(formatter_for(settings.format, journal));
  replaced.push_back(std::exchange(logger, std::move(made)));
  current.store(logger.get());
  return {};
}

void shut_down() {
  logger->flush();
}

bool is_on(config::LogLevel level) {
  return current.load(std::memory_order_relaxed)->should_log(level_of(level));
}

void write(config::LogLevel level, std::string_view line) {
  current.load(std::memory_order_acquire)
      ->log(level_of(level), spdlog::string_view_t(line.data(), line.size()));
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
