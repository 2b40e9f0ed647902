#include "daemon/settings_loading.h"

#include <pthread.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include "daemon/conninfo.h"
#include "lib/auth/scram_server.h"
#include "lib/config/settings_reader.h"

namespace tidepool::daemon {

namespace {

// A thread for fewer new passwords than this costs more than it saves.
constexpr size_t kWorthAThread = 16;
// Clients come first.
constexpr int kNiceOfReload = 10;

// Calls job(0) to job(count - 1), each once, on as many threads as help.
template <class Job>
void for_each_in_parallel(size_t count, const Job& job) {
  std::atomic<size_t> next = 0;
  const auto work = [&] {
    for (size_t at = next++; at < count; at = next++) job(at);
  };
  const size_t helpers = std::min<size_t>(config::usable_cpus() - 1, count / kWorthAThread);
  std::vector<std::thread> threads;
  try {
    for (size_t i = 0; i < helpers; ++i) threads.emplace_back(work);
  } catch (const std::system_error&) {
    // There are no more to be had: it takes longer.
  }
  work();
  for (std::thread& thread : threads) thread.join();
}

using Secrets = std::vector<base::Result<auth::Secret>>;

// Null: there is none yet.
const auth::Secret* known_secret(const config::StoredPassword& stored, const config::Settings* before) {
  if (before == nullptr) return nullptr;
  const auto found = before->users.find(stored.user);
  const bool is_same = found != before->users.end() && found->second.secret.is_of_plain(stored.text);
  return is_same ? &found->second.secret : nullptr;
}

Secrets make_secrets(const std::vector<config::StoredPassword>& stored, const std::string& mock_key,
                     const config::Settings* before) {
  Secrets secrets(stored.size(), base::Error{});
  std::vector<size_t> unknown;
  for (size_t at = 0; at < stored.size(); ++at) {
    if (const auth::Secret* known = known_secret(stored[at], before))
      secrets[at] = *known;
    else
      unknown.push_back(at);
  }
  for_each_in_parallel(unknown.size(), [&](size_t i) {
    const config::StoredPassword& each = stored[unknown[i]];
    secrets[unknown[i]] = auth::Secret::parse(each.text, auth::mock_salt(mock_key, each.user));
  });
  return secrets;
}

}  // namespace

config::Loaded load_settings(const std::string& file, const std::string& mock_key,
                             const config::Settings* before) {
  const auto read_conninfo = [](const std::string& conninfo) -> base::Result<config::ConninfoFacts> {
    auto summary = summarize_conninfo(conninfo);
    if (!summary) return summary.error();
    return config::ConninfoFacts{summary->user};
  };
  return config::load_file(file, read_conninfo, [&](const std::vector<config::StoredPassword>& stored) {
    return make_secrets(stored, mock_key, before);
  });
}

void load_settings_elsewhere(std::string mock_key, std::shared_ptr<const config::Settings> before,
                             std::function<void(config::Loaded)> done) {
  const auto load = [mock_key = std::move(mock_key), before = std::move(before), done = std::move(done)] {
    done(load_settings(before->file, mock_key, before.get()));
  };
  try {
    std::thread([load] {
      pthread_setname_np(pthread_self(), "settings");  // for top -H
      // Linux keeps it for each thread; those that this one starts have it from it.
      setpriority(PRIO_PROCESS, static_cast<id_t>(gettid()), kNiceOfReload);
      load();
    }).detach();
  } catch (const std::system_error&) {
    load();  // there is no thread to be had: here, then
  }
}

}  // namespace tidepool::daemon
