// A model of PostgreSQL as far as prepared statements go: named and unnamed ones, portals, errors, what is
// skipped up to Sync, transaction status. It reads a client's messages and answers in bytes, with
// PostgreSQL's words. Its SQL is a few statements, in lower case as they stand here:
//   select ... [$1] ...    a row: the text itself; $1: one parameter, of the type that its Parse names, or
//   text values ...             the same, of a table: how its rows look, an ALTER changes (in one of three
//   ways they
//                          are none); a statement that was prepared before fails, "cached plan must not
//                          change result type", until the table is as it was
//   begin commit rollback fail listen reset all
//   select date '...'      the same, and the DateStyle under which it was parsed
//   show datestyle         that of the moment
//   set [local] datestyle to ...    savepoint ...    rollback to ...    release ...
//   create temporary ...   the table of the session, which looks like no other; what was prepared before is
//   read again
//                          if it is the process's first one
//   prepare NAME as ...    execute NAME    deallocate [prepare] NAME|all    discard all    alter
//   discard plans          texts are read again when they run next
// Everything else is a syntax error.
#pragma once

#include <algorithm>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "lib/base/ascii.h"
#include "lib/wire/frame_cursor.h"
#include "lib/wire/message_reader.h"
#include "lib/wire/message_writer.h"

namespace tidepool::session {

class StatementServerModel {
 public:
  // The ways in which a table can look; servers may share one.
  struct Table {
    static constexpr int kWays = 3, kNoRows = 2, kTemporary = 5;
    void alter() { way = (way + 1) % kWays; }
    int way = 0;
  };
  explicit StatementServerModel(Table* shared = nullptr) {
    table_ = shared != nullptr ? shared : &own_table_;
  }
  StatementServerModel(const StatementServerModel&) = delete;
  StatementServerModel& operator=(const StatementServerModel&) = delete;

  // Bytes arrive at the socket. The server does nothing yet.
  void receive(std::string_view bytes) { inbox_.append(bytes); }
  bool has_work() const {
    return inbox_.size() >= wire::kHeaderSize && inbox_.size() >= 1 + base::read_u32(inbox_.data() + 1);
  }
  // Reads one message and does what follows from it.
  void step() {
    const size_t size = 1 + base::read_u32(inbox_.data() + 1);
    const std::string body = inbox_.substr(wire::kHeaderSize, size - wire::kHeaderSize);
    const char type = inbox_.front();
    inbox_.erase(0, size);
    if (skips_to_sync_ && type != 'S') return;
    wire::FieldReader fields(body);
    switch (type) {
      case 'Q':
        unnamed_.reset();
        portals_.erase("");
        simple_query(fields.cstring());
        return end_of_batch();
      case 'S':
        skips_to_sync_ = false;
        return end_of_batch();
      case 'P': {
        const std::string name(fields.cstring());
        const std::string text(fields.cstring());
        const uint32_t oid = fields.u16() > 0 ? fields.u32() : 0;
        return parse(name, text, oid != 0 ? oid : 25);
      }
      case 'B':
        return bind(fields);
      case 'D': {
        const char kind = fields.byte();
        return describe(kind, std::string(fields.cstring()));
      }
      case 'E':
        return execute(std::string(fields.cstring()));
      case 'C': {
        const char kind = fields.byte();
        return close(kind, std::string(fields.cstring()));
      }
      default:
        return;
    }
  }
  std::string take_answers() { return std::exchange(outbox_, {}); }
  const std::string& answers() const { return outbox_; }
  void take_answers(size_t size) { outbox_.erase(0, size); }

  // The DateStyle: the session's, and what the pool brings it to between two clients.
  static constexpr std::string_view kOwnStyle = "iso";
  const std::string& style() const { return style_.now; }
  // False: behind DISCARD PLANS a text means what it did, as through a relay (docs/transaction-mode.md).
  bool reads_again = true;
  void bring_style_to(std::string_view style) {
    style_ = {std::string(style), std::string(style), std::string(style)};
  }
  // Between two clients, by the pool's own hands.
  void forget_unnamed() { unnamed_.reset(); }
  // The table cannot change now: this server's transaction has looked at it.
  bool has_locked() const { return has_locked_ || !inbox_.empty(); }

  bool is_idle() const { return status_ == 'I' && !batch_is_open_ && !skips_to_sync_ && inbox_.empty(); }
  size_t statements() const { return statements_.size(); }
  bool has_statement(std::string_view name) const { return statements_.count(std::string(name)) > 0; }
  bool has_temporary_table() const { return has_temporary_; }
  // PREPARE's, by a name that is not the pool's.
  bool has_statements_of_its_own() const {
    return std::any_of(statements_.begin(), statements_.end(),
                       [](const auto& entry) { return !entry.first.starts_with("tidepool_"); });
  }

 private:
  struct Statement {
    std::string text;
    int way = 0;
    uint32_t type = 25;  // of its parameter
    bool is_of_temporary = false;
    bool is_discarded = false;  // what was made of its text
  };
  struct Portal {
    std::string text;
    int way = 0;
    bool is_done = false;
  };

  void fail(std::string_view sqlstate, const std::string& message, std::string_view routine = "") {
    {
      const wire::MessageFrame frame(outbox_, 'E');
      for (const auto& [letter, value] : std::initializer_list<std::pair<char, std::string_view>>{
               {'S', "ERROR"}, {'V', "ERROR"}, {'C', sqlstate}, {'M', message}, {'R', routine}}) {
        if (value.empty()) continue;
        outbox_.push_back(letter);
        wire::append_cstring(outbox_, value);
      }
      outbox_.push_back('\0');
    }
    if (status_ == 'T') status_ = 'E';
    style_.now = style_.at_commit = style_.at_begin;
    portals_.clear();
    failed_ = true;
    skips_to_sync_ = !in_query_;
  }
  void fail_aborted() {
    fail("25P02", "current transaction is aborted, commands ignored until end of transaction block");
  }
  void end_of_batch() {
    if (status_ == 'I') portals_.clear();
    if (status_ == 'I') has_locked_ = false;
    if (status_ == 'I') style_.now = style_.at_begin = style_.at_commit;
    batch_is_open_ = false;
    wire::append_ready_for_query(outbox_, status_);
  }

  static bool ends_transaction(std::string_view text) { return text == "commit" || text == "rollback"; }
  static bool is_readable(std::string_view text) {
    for (std::string_view word : {"select",
                                  "values",
                                  "begin",
                                  "commit",
                                  "rollback",
                                  "fail",
                                  "listen",
                                  "reset all",
                                  "prepare ",
                                  "execute ",
                                  "deallocate ",
                                  "discard all",
                                  "alter",
                                  "create temporary ",
                                  "set ",
                                  "show ",
                                  "savepoint ",
                                  "release ",
                                  "discard sequences",
                                  "discard plans"})
      if (text.starts_with(word)) return true;
    return text.empty();
  }
  static bool has_rows(std::string_view text, int way) {
    return text.starts_with("select") || text.starts_with("show ") || text.starts_with("execute ") ||
           (text.starts_with("values") && way != Table::kNoRows);
  }
  static size_t parameters_of(std::string_view text) {
    return text.find("$1") != std::string_view::npos ? 1 : 0;
  }
  static std::string name_in(std::string_view text) {
    const size_t end = text.find_first_of(" ;");
    return std::string(text.substr(0, end));
  }

  void parse(const std::string& name, const std::string& written, uint32_t type) {
    batch_is_open_ = true;
    const std::string text = base::lower(written);
    if (name.empty()) unnamed_.reset();
    if (!is_readable(text)) return fail("42601", "syntax error at or near \"" + text + "\"");
    if (status_ == 'E' && !ends_transaction(text)) return fail_aborted();
    if (!name.empty() && has_statement(name))
      return fail("42P05", "prepared statement \"" + name + "\" already exists");
    look_at(text);
    if (name.empty())
      unnamed_ = Statement{analyzed(text), way_now(), type, has_temporary_};
    else
      statements_[name] = {analyzed(text), way_now(), type, has_temporary_};
    wire::append_parse_complete(outbox_);
  }

  // Literals are read when a text is parsed.
  int way_now() const { return has_temporary_ ? Table::kTemporary : table_->way; }
  void look_at(std::string_view text) { has_locked_ = has_locked_ || text.starts_with("values"); }
  std::string analyzed(const std::string& text) const {
    return text.starts_with("select date") ? text + " in " + style_.now : text;
  }

  Statement* find(const std::string& name) {
    if (name.empty()) return unnamed_ ? &*unnamed_ : nullptr;
    const auto found = statements_.find(name);
    return found != statements_.end() ? &found->second : nullptr;
  }
  void fail_unknown(const std::string& name) {
    fail("26000", name.empty() ? "unnamed prepared statement does not exist"
                               : "prepared statement \"" + name + "\" does not exist");
  }
  // False: it has failed.
  bool is_as_it_was(Statement& statement) {
    look_at(statement.text);
    if (std::exchange(statement.is_discarded, false))
      statement.text = analyzed(statement.text.substr(0, statement.text.find(" in ")));
    const int way = statement.is_of_temporary ? Table::kTemporary : table_->way;
    if (!statement.text.starts_with("values") || statement.way == way) return true;
    return fail("0A000", "cached plan must not change result type", "RevalidateCachedQuery"), false;
  }

  void bind(wire::FieldReader& fields) {
    batch_is_open_ = true;
    const std::string portal(fields.cstring());
    const std::string name(fields.cstring());
    for (uint16_t formats = fields.u16(); formats > 0 && fields.ok(); --formats) fields.u16();
    const uint16_t count = fields.u16();
    Statement* statement = find(name);
    if (statement == nullptr) return fail_unknown(name);
    // In front of the next check in PostgreSQL: a statement that must be prepared anew cannot know it.
    if (status_ == 'E' && !ends_transaction(statement->text)) return fail_aborted();
    if (const size_t wanted = parameters_of(statement->text); wanted != count)
      return fail("08P01", "bind message supplies " + std::to_string(count) +
                               " parameters, but prepared statement \"" + name + "\" requires " +
                               std::to_string(wanted));
    if (!portal.empty() && portals_.count(portal) > 0)
      return fail("42P03", "cursor \"" + portal + "\" already exists");
    if (!is_as_it_was(*statement)) return;
    portals_[portal] = {statement->text, statement->way};
    wire::append_bind_complete(outbox_);
  }

  void describe(char kind, const std::string& name) {
    batch_is_open_ = true;
    if (kind == 'P') {
      const auto found = portals_.find(name);
      if (found == portals_.end()) return fail("34000", "portal \"" + name + "\" does not exist");
      const Portal& portal = found->second;
      if (status_ == 'E' && has_rows(portal.text, portal.way)) return fail_aborted();
      return describe_rows(portal.text, portal.way, true);
    }
    Statement* statement = find(name);
    if (statement == nullptr) return fail_unknown(name);
    // PostgreSQL describes what has no rows; it cannot be prepared anew for that.
    if (status_ == 'E' && !ends_transaction(statement->text)) return fail_aborted();
    if (!is_as_it_was(*statement)) return;
    const uint32_t oids[] = {statement->type};
    wire::append_parameter_description(outbox_, {oids, parameters_of(statement->text)});
    describe_rows(statement->text, statement->way, false);
  }
  std::string shown(const std::string& text, int way) const {
    if (text.starts_with("show ")) return text + " " + style_.now;
    return text.starts_with("values") && way > 0 ? text + "#" + std::to_string(way) : text;
  }
  // What its plan makes of a portal's type modifier is another than that of the statement.
  void describe_rows(const std::string& text, int way, bool of_portal) {
    if (!has_rows(text, way)) return wire::append_no_data(outbox_);
    const wire::MessageFrame frame(outbox_, 'T');
    base::append_u16(outbox_, 1);
    const bool is_command = text.starts_with("show ") || text.starts_with("execute ");
    wire::append_cstring(outbox_, is_command ? text.substr(0, 4) : shown(text.substr(0, 12), way));
    base::append_u32(outbox_, 0);
    base::append_u16(outbox_, 0);
    base::append_u32(outbox_, 25);
    base::append_u16(outbox_, 0xffff);
    base::append_u32(outbox_, of_portal ? 9 : 0xffffffff);
    base::append_u16(outbox_, 0);
  }

  void execute(const std::string& portal) {
    batch_is_open_ = true;
    const auto found = portals_.find(portal);
    if (found == portals_.end()) return fail("34000", "portal \"" + portal + "\" does not exist");
    const auto [text, way, is_done] = found->second;
    if (status_ == 'E' && !ends_transaction(text)) return fail_aborted();
    if (is_done && !has_rows(text, way)) return fail("55000", "portal \"" + portal + "\" cannot be run");
    if (is_done) return wire::append_command_complete(outbox_, "SELECT 0");
    found->second.is_done = true;
    if (text.empty()) return wire::append_empty_query_response(outbox_);
    run(text, way, false);
  }

  void close(char kind, const std::string& name) {
    batch_is_open_ = true;
    if (kind == 'P')
      portals_.erase(name);
    else if (name.empty())
      unnamed_.reset();
    else
      statements_.erase(name);
    wire::append_close_complete(outbox_);
  }

  void simple_query(std::string_view written) {
    in_query_ = true;
    failed_ = false;
    const std::string all = base::lower(written);
    std::vector<std::string> texts;
    for (size_t at = 0; at <= all.size();) {
      const size_t end = std::min(all.find(';', at), all.size());
      const size_t begin = std::min(all.find_first_not_of(' ', at), end);
      if (begin < end) texts.push_back(all.substr(begin, end - begin));
      at = end + 1;
    }
    const auto unreadable =
        std::find_if(texts.begin(), texts.end(), [](const auto& text) { return !is_readable(text); });
    if (unreadable != texts.end()) {
      fail("42601", "syntax error at or near \"" + *unreadable + "\"");
    } else if (texts.empty()) {
      wire::append_empty_query_response(outbox_);
    }
    for (const std::string& text : texts) {
      if (failed_) break;
      if (status_ == 'E' && !ends_transaction(text)) {
        fail_aborted();
        break;
      }
      if (parameters_of(text) > 0 && !text.starts_with("prepare")) {
        fail("42P02", "there is no parameter $1");
        break;
      }
      run(analyzed(text), way_now(), texts.size() > 1);
    }
    in_query_ = false;
  }

  void set_style(const std::string& text) {
    std::string value = text.substr(text.rfind(' ') + 1);
    std::erase_if(value, [](char c) { return c == '\''; });
    if (value.starts_with("e") && text.back() == '\'') value.erase(0, 1);
    if (value == "default") value = kOwnStyle;
    if (text.find(" datestyle ") == std::string::npos) return;
    const bool is_local = text.starts_with("set local ");
    if (is_local && status_ != 'T') return;
    style_.now = value;
    if (!is_local) style_.at_commit = value;
  }

  void complete(std::string_view tag) { wire::append_command_complete(outbox_, tag); }
  void row(const std::string& text, int way) {
    if (!has_rows(text, way)) return complete("SELECT 0");
    if (in_query_) describe_rows(text, way, true);
    wire::append_data_row(outbox_, {shown(text, way)});
    complete("SELECT 1");
  }

  void run(const std::string& text, int way, bool among_others) {
    if (text == "fail") return fail("22012", "division by zero");
    if (text == "begin") {
      if (status_ == 'I') status_ = 'T';
      return complete("BEGIN");
    }
    if (ends_transaction(text)) {
      const bool failed = status_ == 'E';
      status_ = 'I';
      if (failed || text == "rollback") style_.at_commit = style_.at_begin;
      style_.now = style_.at_begin = style_.at_commit;
      return complete(failed || text == "rollback" ? "ROLLBACK" : "COMMIT");
    }
    if (text == "listen") return complete("LISTEN");
    if (text == "reset all") {
      style_.now = style_.at_commit = kOwnStyle;
      return complete("RESET");
    }
    if (text.starts_with("set ")) {
      set_style(text);
      return complete("SET");
    }
    if (text.starts_with("savepoint ")) saved_style_ = style_;
    if (text.starts_with("rollback to ")) style_ = saved_style_;
    if (text.starts_with("savepoint ") || text.starts_with("rollback to ") || text.starts_with("release "))
      return complete("SAVEPOINT");
    if (text == "alter") {
      table_->alter();
      return complete("ALTER TABLE");
    }
    if (text.starts_with("create temporary ")) {
      if (has_temporary_) return fail("42P07", "relation \"t\" already exists");
      has_temporary_ = true;
      if (!std::exchange(had_temporary_, true))
        for (auto& [name, statement] : statements_) statement.is_of_temporary = true;
      return complete("CREATE TABLE");
    }
    if (text == "discard all") {
      if (status_ != 'I' || among_others)
        return fail("25001", "DISCARD ALL cannot run inside a transaction block");
      has_temporary_ = false;
      statements_.clear();  // the unnamed one stays
      style_.now = style_.at_commit = kOwnStyle;
      portals_.clear();
      return complete("DISCARD ALL");
    }
    if (text == "discard plans") {
      for (auto& [name, statement] : statements_) statement.is_discarded = reads_again;
      return complete("DISCARD PLANS");
    }
    if (text.starts_with("prepare ")) {
      const std::string name = name_in(text.substr(8));
      if (has_statement(name)) return fail("42P05", "prepared statement \"" + name + "\" already exists");
      statements_[name] = {text.substr(std::min(text.find(" as ") + 4, text.size())), way_now(), 25,
                           has_temporary_};
      return complete("PREPARE");
    }
    if (text.starts_with("execute ")) {
      const std::string name = name_in(text.substr(8));
      Statement* statement = find(name);
      if (name.empty() || statement == nullptr) return fail_unknown(name.empty() ? "?" : name);
      if (parameters_of(statement->text) > 0)
        return fail("42601", "wrong number of parameters for prepared statement \"" + name + "\"");
      if (!is_as_it_was(*statement)) return;
      if (!has_rows(statement->text, statement->way) || statement->text.starts_with("execute"))
        return complete("EXECUTED");
      return row(statement->text, statement->way);
    }
    if (text.starts_with("deallocate ")) {
      std::string_view left = std::string_view(text).substr(11);
      if (left.starts_with("prepare ")) left.remove_prefix(8);
      if (left == "all") {
        statements_.clear();
        return complete("DEALLOCATE ALL");
      }
      const std::string name = name_in(left);
      if (statements_.erase(name) == 0) return fail_unknown(name);
      return complete("DEALLOCATE");
    }
    look_at(text);
    row(text, way);
  }

  std::string inbox_, outbox_;
  std::map<std::string, Statement> statements_;
  std::optional<Statement> unnamed_;
  std::map<std::string, Portal> portals_;
  Table own_table_;
  Table* table_ = nullptr;
  struct {
    std::string now, at_commit, at_begin;
  } style_{std::string(kOwnStyle), std::string(kOwnStyle), std::string(kOwnStyle)}, saved_style_;
  char status_ = 'I';
  bool batch_is_open_ = false;
  bool skips_to_sync_ = false;
  bool in_query_ = false, failed_ = false;
  bool has_locked_ = false;
  bool has_temporary_ = false, had_temporary_ = false;
};

}  // namespace tidepool::session
