#include "lib/session/state_question.h"

#include <algorithm>
#include <charconv>
#include <optional>

#include "lib/base/ascii.h"
#include "lib/wire/message_reader.h"
#include "lib/wire/message_writer.h"

namespace tidepool::session {

namespace {

// Everything is schema-qualified, operators too: the search_path is the client's. Each part gives (what,
// name, value).
// A value is of any length, and no message may be longer than what is read at once: it comes in pieces, each
// but the first under the letter in upper case. In hexadecimal, since the client's encoding may lack its
// letters.
std::string in_pieces(char letter, std::string_view names_and_values) {
  return "SELECT CASE WHEN p.at OPERATOR(pg_catalog.=) 1 THEN '" + std::string(1, letter) + "' ELSE '" +
         std::string(1, static_cast<char>(letter - 'a' + 'A')) +
         "' END, v.name, pg_catalog.encode(pg_catalog.substr(v.bytes, p.at, 16000), 'hex') FROM (SELECT "
         "i.name, pg_catalog.convert_to(i.setting, 'UTF8') FROM (" +
         std::string(names_and_values) +
         ") i(name, setting)) v(name, bytes), "
         "pg_catalog.generate_series(1, GREATEST(1, pg_catalog.octet_length(v.bytes)), 16000) p(at)";
}
constexpr std::string_view kSettings =
    "SELECT s.name, s.setting FROM pg_catalog.pg_settings s WHERE s.source OPERATOR(pg_catalog.=) 'session'";
constexpr std::string_view kLogin =
    "SELECT n, pg_catalog.current_setting(n) FROM (VALUES ('role'), ('session_authorization')) l(n)";
constexpr std::string_view kListen =
    "SELECT 'l', '', '' WHERE EXISTS (SELECT FROM pg_catalog.pg_listening_channels())";
// Whatever is in a schema depends on it, and that is indexed.
constexpr std::string_view kTemporary =
    "SELECT 't', '', '' WHERE EXISTS (SELECT FROM pg_catalog.pg_depend d WHERE "
    "d.refclassid OPERATOR(pg_catalog.=) 'pg_catalog.pg_namespace'::pg_catalog.regclass AND "
    "d.refobjid OPERATOR(pg_catalog.=) pg_catalog.pg_my_temp_schema())";
constexpr std::string_view kLocks =
    "SELECT 'a', '', '' WHERE EXISTS (SELECT FROM pg_catalog.pg_locks k WHERE k.locktype "
    "OPERATOR(pg_catalog.=) 'advisory' "
    "AND k.pid OPERATOR(pg_catalog.=) pg_catalog.pg_backend_pid())";
constexpr std::string_view kCursors =
    "SELECT 'h', '', '' WHERE EXISTS (SELECT FROM pg_catalog.pg_cursors c WHERE c.is_holdable)";
// Four numbers in the place of a name: how many statements of the protocol have names of ours, the sum of
// what stands behind the prefix, how many of SQL's PREPARE have, and how many others there are.
std::string prepared(std::string_view prefix) {
  const std::string is_ours = "pg_catalog.starts_with(p.name, '" + std::string(prefix) +
                              "') AND NOT p.from_sql AND p.name OPERATOR(pg_catalog.<>) '" +
                              std::string(prefix) + "0'";
  return "SELECT 'p', pg_catalog.concat(pg_catalog.count(*) FILTER (WHERE s.is_ours), ' ', "
         "COALESCE(pg_catalog.sum(CASE WHEN s.is_ours THEN pg_catalog.substr(s.name, " +
         std::to_string(prefix.size() + 1) +
         ")::pg_catalog.int8 END), 0), ' ', "
         "pg_catalog.count(*) FILTER (WHERE s.is_named_so AND s.from_sql), ' ', "
         "pg_catalog.count(*) FILTER (WHERE s.from_sql OR NOT s.is_named_so)), '' FROM (SELECT p.name, "
         "p.from_sql, pg_catalog.starts_with(p.name, '" +
         std::string(prefix) + "'), " + is_ours +
         " FROM pg_catalog.pg_prepared_statement() p) s(name, from_sql, is_named_so, is_ours)";
}

// What is put behind it is the name of a statement of ours, and a quote.
constexpr std::string_view kForgedBegin =
    "SELECT 'f', '', '' FROM pg_catalog.pg_prepared_statement() p WHERE p.from_sql AND p.name "
    "OPERATOR(pg_catalog.=) '";

struct PinPart {
  Pin pin;
  char letter;
  std::string_view sql;
};
constexpr PinPart kPinParts[] = {
    {Pin::Listen, 'l', kListen},
    {Pin::Temporary, 't', kTemporary},
    {Pin::AdvisoryLock, 'a', kLocks},
    {Pin::HoldCursor, 'h', kCursors},
};

// A question for more names would be longer than a statement should.
constexpr size_t kMostNames = 1000;

bool is_custom(std::string_view name) {
  return name.find('.') != std::string_view::npos;
}

bool from_hex(std::string& text) {
  const auto digit = [](char c) {
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
  };
  std::string bytes;
  for (size_t at = 0; at + 1 < text.size(); at += 2) {
    const int high = digit(text[at]), low = digit(text[at + 1]);
    if (high < 0 || low < 0) return false;
    bytes.push_back(static_cast<char>(high * 16 + low));
  }
  if (text.size() % 2 != 0) return false;
  text = std::move(bytes);
  return true;
}

// These belong to a transaction, not to a session.
bool is_of_transaction(std::string_view name) {
  return name.starts_with("transaction_");
}

}  // namespace

StateQuestion::StateQuestion(const SessionWatch& watch, const std::vector<std::string>& custom_settings,
                             std::string_view prefix) {
  const auto add = [this](std::string_view part) {
    if (!sql_.empty()) sql_ += " UNION ALL ";
    sql_ += part;
  };
  if (watch.asks_settings()) {
    for (const auto* names : {&watch.settings(), &custom_settings}) {
      for (const std::string& name : *names) {
        if (!is_custom(name) || names_.size() >= kMostNames) continue;
        if (std::find(names_.begin(), names_.end(), name) == names_.end()) names_.push_back(name);
      }
    }
    if (watch.asks_listed_settings()) add(in_pieces('s', kSettings));
    add(in_pieces('c', kLogin));
    for (size_t i = 1; i <= names_.size(); ++i) {
      const std::string parameter = "$" + std::to_string(i) + "::pg_catalog.text";
      std::string part = "SELECT ";
      part.append(parameter).append(", pg_catalog.current_setting(").append(parameter).append(", true)");
      add(in_pieces('c', part));
    }
  }
  for (const PinPart& part : kPinParts)
    if ((watch.asked_pins() & bit(part.pin)) != 0) add(part.sql);
  is_usual_ = watch.asks_identity() && !watch.asks_listed_settings() && names_.empty() &&
              watch.asks_statements() && watch.asked_pins() == kAskablePins;
  if (watch.asks_statements() || (watch.asked_pins() & bit(Pin::Prepared)) != 0) add(prepared(prefix));
}

void StateQuestion::ask(TransactionTracker& tracker, std::string& out) const {
  std::vector<wire::Value> parameters(names_.begin(), names_.end());
  wire::append_parse(out, "", sql_);
  wire::append_bind(out, "", "", parameters);
  wire::append_execute(out, "");
  wire::append_close(out, 'S', "");
  wire::append_sync(out);
  for (char type : {'P', 'B', 'E', 'C', 'S'}) tracker.client_sent(type);
}

void StateQuestion::ask_by_name(std::string_view name, bool is_prepared, TransactionTracker& tracker,
                                std::string& out) const {
  wire::append_parse(out, "", std::string(kForgedBegin).append(name) + "'");
  wire::append_bind(out, "", "");
  wire::append_execute(out, "");
  wire::append_close(out, 'S', "");
  for (char type : {'P', 'B', 'E', 'C'}) tracker.client_sent(type);
  if (!is_prepared) {
    wire::append_parse(out, name, sql_);
    tracker.client_sent('P');
  }
  wire::append_bind(out, "", name);
  wire::append_execute(out, "");
  wire::append_sync(out);
  for (char type : {'B', 'E', 'S'}) tracker.client_sent(type);
}

StateQuestion::Step StateQuestion::server_sent(const wire::Message& message) {
  is_being_answered_ = true;
  switch (message.type) {
    case 'D':
      failed_ = failed_ || !read_row(message.body);
      return Step::More;
    case 'E':
      failed_ = true;
      error_ = wire::read_error(message.body);
      return Step::More;
    case 'Z':
      if (is_forged_) {  // whatever it has said
        answer_.pins |= bit(Pin::Prepared);
        answer_.statements = {{}, 1};
      }
      return failed_ || message.body != "I" ? Step::Failed : Step::Answered;
    default:
      return Step::More;
  }
}

bool StateQuestion::read_row(base::Bytes body) {
  wire::FieldReader fields(body);
  if (fields.u16() != 3) return false;
  std::optional<std::string> columns[3];
  for (auto& column : columns) {
    const auto size = static_cast<int32_t>(fields.u32());
    if (size >= 0) column = fields.bytes(static_cast<size_t>(size));
  }
  if (!fields.ok_and_at_end() || !columns[0] || columns[0]->size() != 1 || !columns[1]) return false;
  if (columns[2] && !from_hex(*columns[2])) return false;
  // No text of PostgreSQL's has one.
  for (const auto& column : columns)
    if (column && column->find('\0') != std::string::npos) return false;
  const char what = columns[0]->front();
  std::string name = base::lower(*columns[1]);
  if (what == 's' || what == 'c') {
    auto& settings = what == 's' ? answer_.settings : answer_.asked;
    if (what == 'c' || !is_of_transaction(name)) settings.push_back({std::move(name), std::move(columns[2])});
    return true;
  }
  if (what == 'S' || what == 'C') {
    auto& settings = what == 'S' ? answer_.settings : answer_.asked;
    if (settings.empty() || settings.back().name != name || !settings.back().value || !columns[2])
      return false;
    *settings.back().value += *columns[2];
    return true;
  }
  if (what == 'f') is_forged_ = true;
  if (what == 'p') return read_statements(name);
  for (const PinPart& part : kPinParts)
    if (part.letter == what) answer_.pins |= bit(part.pin);
  return true;
}

bool StateQuestion::read_statements(std::string_view numbers) {
  uint64_t values[4];
  const char* at = numbers.data();
  const char* const end = at + numbers.size();
  for (uint64_t& value : values) {
    const auto read = std::from_chars(at, end, value);
    if (read.ec != std::errc()) return false;
    at = read.ptr != end ? read.ptr + 1 : end;
  }
  if (values[3] > 0) answer_.pins |= bit(Pin::Prepared);
  answer_.statements = {{values[0], values[1]}, values[2]};
  return true;
}

}  // namespace tidepool::session
