// Talks with a Console as its shell does, and writes the talk down: replies in the words of wire/trace.h,
// what the shell was asked to do as lines that begin with "-> ".
#pragma once

#include <doctest/doctest.h>

#include <string>
#include <string_view>
#include <variant>

#include "lib/admin/console.h"
#include "lib/wire/message_writer.h"
#include "lib/wire/trace.h"

namespace tidepool::admin {

inline stats::Snapshot two_pools() {
  stats::Snapshot snapshot;
  snapshot.version = "tidepool 0.1.0";
  for (const char* name : {"orders", "report"}) {
    stats::PoolRow pool;
    pool.name = name;
    pool.server_user = "app";
    snapshot.pools.push_back(pool);
  }
  return snapshot;
}

class ConsoleConversation {
 public:
  stats::Snapshot snapshot = two_pools();
  base::Status effect_ends = base::Done{};

  void receive(const std::string& bytes) {
    std::string out;
    ConsoleStep step = console_.receive(bytes, out);
    while (true) {
      written_ += wire::trace_server(out);
      out.clear();
      if (std::holds_alternative<NeedMore>(step)) return;
      if (std::holds_alternative<CloseConsole>(step)) {
        if (!closed_) written_ += "-> close\n";
        closed_ = true;
        return;
      }
      if (std::holds_alternative<NeedSnapshot>(step)) {
        step = console_.resume(snapshot, out);
        continue;
      }
      if (std::holds_alternative<DoReload>(step)) written_ += "-> reload\n";
      if (const auto* shutdown = std::get_if<DoShutdown>(&step))
        written_ += shutdown->drain ? "-> shutdown, drained\n" : "-> shutdown\n";
      if (const auto* reconnect = std::get_if<DoReconnect>(&step))
        written_ += "-> reconnect '" + reconnect->pool + "'\n";
      step = console_.resume(effect_ends, out);
    }
  }

  const std::string& written() const { return written_; }

 private:
  Console console_;
  std::string written_;
  bool closed_ = false;
};

// The talk, which is the same however the bytes arrive, and has the same beginning if the client vanishes.
inline std::string talk(const std::string& sent, const base::Status& effect_ends = base::Done{}) {
  ConsoleConversation whole;
  whole.effect_ends = effect_ends;
  whole.receive(sent);

  ConsoleConversation by_bytes;
  by_bytes.effect_ends = effect_ends;
  for (char byte : sent) by_bytes.receive(std::string(1, byte));
  CHECK(by_bytes.written() == whole.written());

  for (size_t cut = 0; cut < sent.size(); ++cut) {
    ConsoleConversation cut_off;
    cut_off.effect_ends = effect_ends;
    cut_off.receive(sent.substr(0, cut));
    const bool is_beginning = whole.written().starts_with(cut_off.written());
    CHECK(is_beginning);
  }
  return whole.written();
}

// The client's messages, one after the other: Client().parse("", "SHOW POOLS").sync()
class Client {
 public:
  Client& query(std::string_view sql) {
    return add([&] { wire::append_query(bytes_, sql); });
  }
  Client& parse(std::string_view name, std::string_view sql, std::span<const uint32_t> oids = {}) {
    return add([&] { wire::append_parse(bytes_, name, sql, oids); });
  }
  Client& bind(std::string_view portal, std::string_view statement,
               std::span<const wire::Value> values = {}) {
    return add([&] { wire::append_bind(bytes_, portal, statement, values); });
  }
  Client& describe(char kind, std::string_view name) {
    return add([&] { wire::append_describe(bytes_, kind, name); });
  }
  Client& execute(std::string_view portal, uint32_t rows = 0) {
    return add([&] { wire::append_execute(bytes_, portal, rows); });
  }
  Client& close(char kind, std::string_view name) {
    return add([&] { wire::append_close(bytes_, kind, name); });
  }
  Client& sync() {
    return add([&] { wire::append_sync(bytes_); });
  }
  Client& flush() {
    return add([&] { wire::append_flush(bytes_); });
  }
  Client& terminate() {
    return add([&] { wire::append_terminate(bytes_); });
  }
  Client& message(char type, std::string_view body) {
    return add([&] {
      wire::MessageFrame frame(bytes_, type);
      bytes_ += body;
    });
  }

  operator const std::string&() const { return bytes_; }  // NOLINT: it is what it says

 private:
  template <class Append>
  Client& add(Append&& append) {
    append();
    return *this;
  }

  std::string bytes_;
};

inline std::string query(std::string_view sql) {
  return Client().query(sql);
}

}  // namespace tidepool::admin
