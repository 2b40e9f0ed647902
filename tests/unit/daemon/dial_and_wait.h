// Dials and waits for the result, for at most a minute.
#pragma once

#include <doctest/doctest.h>

#include <chrono>
#include <future>
#include <memory>
#include <string>

#include "daemon/server_dialer.h"
#include "daemon/server_stream.h"
#include "lib/wire/message_writer.h"

namespace tidepool::daemon {

struct Dialed {
  DialResult result;
  base::Duration took;

  OpenServer& server() {
    if (const auto* failed = std::get_if<DialFailed>(&result))
      FAIL(failed->error.sqlstate, " ", failed->error.message);
    return *std::get<std::unique_ptr<OpenServer>>(result);
  }
  const DialFailed& failure() const {
    REQUIRE(std::holds_alternative<DialFailed>(result));
    return std::get<DialFailed>(result);
  }
};

inline Dialed dial_and_wait(DialOrder order, ServerDialer& dialer) {
  auto dialed = std::make_shared<std::promise<Dialed>>();
  auto future = dialed->get_future();
  dialer.dial(std::move(order), [dialed](DialResult result, base::Duration took) {
    dialed->set_value({std::move(result), took});
  });
  REQUIRE(future.wait_for(std::chrono::minutes(1)) == std::future_status::ready);
  return future.get();
}

inline Dialed dial_and_wait(DialOrder order) {
  ServerDialer dialer(1);
  return dial_and_wait(std::move(order), dialer);
}

// A query on the raw stream, as the relay would send it; true: answered without an error.
inline bool run_raw(OpenServer& server, const std::string& sql) {
  std::string query;
  wire::append_query(query, sql);
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(30);
  auto answer = ServerStream(server.fd(), server.tls(), -1).ask(query, deadline, server.parameters);
  return answer && answer->status == 'I' && answer->error.message.empty();
}

// What SHOW tells about a setting, by way of the one reported parameter that takes any text.
inline std::string show(OpenServer& server, const std::string& setting) {
  REQUIRE(
      run_raw(server, "select set_config('application_name', current_setting('" + setting + "'), false)"));
  return *server.parameters.find("application_name");
}

}  // namespace tidepool::daemon
