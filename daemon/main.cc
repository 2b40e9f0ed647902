#include <signal.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <string>

#include "daemon/daemon.h"
#include "daemon/log.h"
#include "daemon/ping.h"
#include "daemon/random.h"
#include "daemon/server_dialer.h"
#include "daemon/settings_loading.h"

namespace {

using namespace tidepool;

constexpr const char* kDefaultFile = "/etc/tidepool/tidepool.yaml";
constexpr int kMistakes = 1;
constexpr int kWrongUsage = 2;

int check(const std::string& file) {
  const config::Loaded loaded = daemon::load_settings(file, daemon::random_bytes(32));
  for (const auto& warning : loaded.warnings)
    std::fprintf(stderr, "warning: %s\n", warning.to_string().c_str());
  for (const auto& mistake : loaded.mistakes) std::printf("%s\n", mistake.to_string().c_str());
  if (!loaded.settings) return kMistakes;
  std::printf("ok\n");
  return 0;
}

int ping(const std::string& file) {
  const config::Loaded loaded = daemon::load_settings(file, daemon::random_bytes(32));
  for (const auto& mistake : loaded.mistakes) std::fprintf(stderr, "%s\n", mistake.to_string().c_str());
  return static_cast<int>(loaded.settings ? daemon::ping(*loaded.settings) : daemon::Ping::NotAsked);
}

int serve(const std::string& file) {
  const std::string mock_key = daemon::random_bytes(32);
  const config::Loaded loaded = daemon::load_settings(file, mock_key);
  for (const auto& mistake : loaded.mistakes) std::fprintf(stderr, "%s\n", mistake.to_string().c_str());
  if (!loaded.settings) return kMistakes;
  if (const std::string why = daemon::log::configure(loaded.settings->log); !why.empty()) {
    std::fprintf(stderr, "log.to: %s\n", why.c_str());
    return kMistakes;
  }
  const daemon::log::Thread log_thread;
  for (const auto& warning : loaded.warnings) daemon::log::warning(warning.to_string());
  daemon::Daemon daemon(loaded.settings, mock_key);
  if (const auto started = daemon.start(); !started) {
    daemon::log::error(started.error().message);
    return kMistakes;
  }
  return daemon.run();
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("tidepoold: a connection-pooling daemon for PostgreSQL");
  std::string file = kDefaultFile;
  std::string to_check, to_ping;
  bool version = false;
  app.add_option("-c,--config", file, "the settings file")->capture_default_str();
  app.add_option("--check", to_check, "checks this settings file, prints every mistake or ok, and ends");
  app.add_option(
      "--ping", to_ping,
      "asks the daemon that runs with this settings file whether it answers, and ends with 0 (yes), "
      "1 (it refuses), 2 (no answer) or 3 (the file has mistakes)");
  app.add_flag("-V,--version", version, "prints the version and ends");
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : kWrongUsage;
  }
  if (version) {
    std::printf("tidepool " TIDEPOOL_VERSION "\n");
    return 0;
  }
  signal(SIGPIPE, SIG_IGN);
  daemon::forget_libpq_environment();
  if (!to_check.empty()) return check(to_check);
  return to_ping.empty() ? serve(file) : ping(to_ping);
}
