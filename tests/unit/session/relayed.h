// A client and a server in a test with a StatementRelay between them: what the daemon does with their bytes.
// They come in pieces of any size, and are read as the daemon reads them.
#pragma once

#include <algorithm>
#include <optional>
#include <string>
#include <string_view>

#include "lib/session/statement_book.h"
#include "lib/session/statement_relay.h"
#include "lib/wire/frame_cursor.h"
#include "lib/wire/message_limits.h"

namespace tidepool::session {

// Of a session whose settings have this fingerprint.
inline ParseSettingsPtr parse_settings_of(const std::string& fingerprint) {
  return std::make_shared<const ParseSettings>(ParseSettings{fingerprint, literals_in(fingerprint), {}});
}

struct RelayedClient final : StatementSource {
  RelayedClient(uint64_t number, StatementBook& pool_book) : id(number), book(pool_book) {}

  TextPtr text(std::string_view text, std::string_view types, bool is_unsure) override {
    sql::Options now = options;
    now.is_unsure = is_unsure;
    return book.text(text, types, now);
  }
  StatementPtr share(const PreparedStatement& statement) override { return book.share(statement); }

  // What a relay is told of it.
  StatementRelay::Client link() {
    return {id,         statements,   watch, *this, policy, options, max_prepared_statements,
            most_bytes, shares_parses};
  }

  const uint64_t id;
  StatementBook& book;
  uint32_t max_prepared_statements = 200;
  size_t most_bytes = size_t{16} * 1024 * 1024;
  bool shares_parses = false;
  ClientStatements statements;
  SessionWatch watch;
  SessionWatch::Policy policy{SessionWatch::OnState::Pin, false, true, "shop"};
  sql::Options options;
  wire::FrameCursor cursor;
  std::string pending;  // sent by it, but not passed on yet
  std::string heard;    // what it was told
};

class RelayedServer {
 public:
  RelayedServer() = default;
  RelayedServer(const RelayedServer&) = delete;
  RelayedServer& operator=(const RelayedServer&) = delete;

  void lend_to(RelayedClient& client) { client_ = &client; }
  RelayedClient* client() const { return client_; }
  // The client leaves, at any time; what the relay says of it.
  bool leave() {
    client_ = nullptr;
    waits_ = false;
    return relay.leave();
  }
  // Nothing of the client's is on its way, in either direction.
  bool may_go() const {
    return tracker.server_is_free() && client_->pending.empty() && client_->cursor.between_messages();
  }
  bool waits() const { return waits_; }
  // Ends a batch that has only prepared, as is done when it comes to no end for a while. False: it is none.
  bool end_prepared_batch() {
    if (waits_ || !relay.has_only_prepared() || !client_->pending.empty() ||
        !client_->cursor.between_messages())
      return false;
    auto link = client_->link();
    relay.end_prepared_batch(link, to_server);
    return true;
  }
  // One of them has sent what nobody does: the session is at its end.
  bool is_broken() const { return is_broken_; }

  void client_says(std::string_view bytes) {
    client_->pending.append(bytes);
    if (!waits_ && !is_broken_) pass_on();
  }

  void server_says(std::string_view bytes) {
    static const wire::TypeSet kUsual{'S', 'Z', 'C'};
    static const wire::TypeSet kWatching{'S', 'Z', 'C', 'E'};
    tail_.append(bytes);
    std::string& told = client_->heard;
    size_t told_to = 0;
    auto link = client_->link();
    if (relay.wants_rest()) {
      const auto rest = std::string_view(tail_).substr(0, cursor_.body_left());
      if (relay.server_sent_rest(rest, link) == StatementRelay::Reply::LeaveOut) told_to = rest.size();
    }
    const auto walked = cursor_.walk(tail_, relay.has_marks() ? kWatching : kUsual, [&](const auto& message) {
      told.append(tail_, told_to, message.at - told_to);
      told_to = std::min(message.end(), tail_.size());
      std::string before, instead;
      const auto reply = relay.server_sent(message, link, before, instead);
      told.append(before);
      if (reply == StatementRelay::Reply::Pass)
        told.append(tail_, message.at, told_to - message.at);
      else
        told.append(instead);
      return wire::Walk::Go;
    });
    is_broken_ = is_broken_ || walked.broken;
    told.append(tail_, told_to, walked.consumed - told_to);
    tail_.erase(0, walked.consumed);
    if (relay.has_marks() && cursor_.between_messages() && tail_.empty()) relay.server_paused(told);
    relay.take_missing_sync(to_server);
    if (waits_ && tracker.ready_owed() == 0 && !relay.asks()) pass_on();
  }

  TransactionTracker tracker;
  StatementRelay relay{tracker};
  std::string to_server;  // what it was sent, until somebody takes it

 private:
  void pass_on() {
    waits_ = false;
    const std::string bytes = std::exchange(client_->pending, {});
    auto link = client_->link();
    if (relay.wants_client_rest())
      relay.client_sent_rest(std::string_view(bytes).substr(0, client_->cursor.body_left()), link);
    std::string piece;
    size_t sent_to = 0;
    const auto walked =
        client_->cursor.walk_if(bytes, StatementRelay::is_enough, [&](const wire::Message& message) {
          if (message.type == 'X' || !wire::is_acceptable(message)) {
            is_broken_ = true;
            return wire::Walk::StopBefore;
          }
          piece.clear();
          const auto pass = relay.client_sent(message, link, piece);
          waits_ = pass == StatementRelay::Pass::Wait;
          to_server.append(bytes, sent_to, message.at - sent_to).append(piece);
          sent_to =
              pass == StatementRelay::Pass::Changed ? std::min(message.end(), bytes.size()) : message.at;
          return waits_ || pass == StatementRelay::Pass::NeedsMore ? wire::Walk::StopBefore : wire::Walk::Go;
        });
    is_broken_ = is_broken_ || walked.broken;
    to_server.append(bytes, sent_to, walked.consumed - sent_to);
    client_->pending = bytes.substr(walked.consumed);
    if (cursor_.between_messages() && tail_.empty()) relay.take_flushed(client_->heard);
  }

  RelayedClient* client_ = nullptr;
  wire::FrameCursor cursor_;
  std::string tail_;
  bool waits_ = false;
  bool is_broken_ = false;
};

}  // namespace tidepool::session
