// What the server says, and what becomes of what was assumed.
#include "lib/session/statement_relay.h"

#include <algorithm>

#include "lib/wire/message_reader.h"
#include "lib/wire/message_writer.h"

namespace tidepool::session {

using base::until_nul;

namespace {

std::string_view field_of_error(base::Bytes body, char wanted) {
  wire::FieldReader fields(body);
  while (fields.ok() && !fields.at_end()) {
    const char letter = fields.byte();
    if (letter == '\0') break;
    const std::string_view value = fields.cstring();
    if (letter == wanted) return value;
  }
  return {};
}

// The error with the client's name for the statement in place of ours.
void append_renamed_error(base::Bytes body, const std::string& ours, std::string_view name,
                          std::string& out) {
  const wire::MessageFrame frame(out, 'E');
  wire::FieldReader fields(body);
  while (fields.ok() && !fields.at_end()) {
    const char letter = fields.byte();
    if (letter == '\0') break;
    std::string value(fields.cstring());
    if (const size_t at = letter == 'M' ? value.find(ours) : std::string::npos; at != std::string::npos)
      value.replace(at, ours.size(), name);
    out.push_back(letter);
    wire::append_cstring(out, value);
  }
  out.push_back('\0');
}

// As PostgreSQL says it: some drivers look for the routine, and prepare again.
void append_other_rows(std::string& out) {
  const wire::MessageFrame frame(out, 'E');
  for (const std::string_view field :
       {"SERROR", "VERROR", "C0A000", "Mcached plan must not change result type", "Fplancache.c",
        "RRevalidateCachedQuery"})
    wire::append_cstring(out, field);
  out.push_back('\0');
}

}  // namespace

StatementRelay::Reply StatementRelay::server_sent(const wire::Message& message, Client& client,
                                                  std::string& before, std::string& instead) {
  tracker_.server_sent(message.type, message.type == 'Z' ? message.body : base::Bytes{});
  const auto& last = tracker_.last();
  if (last.fakes_before > 0) tell_fakes(last.fakes_before, before);
  Reply reply = Reply::Pass;
  if (repair_ == Repair::Running && message.type == 'Z') {
    repair_ = Repair::Due;
    reply = Reply::LeaveOut;
  }
  if (last.is_answer_of_marked && has_marks()) reply = see_answer(marks_.front(), message, client, instead);
  // With an error in a batch those behind it are skipped: they are taken back first, the last before all.
  if (message.type == 'E' && last.ended_marked)
    drop_front(size_t{1} + last.dropped, client.statements, true);
  else if (last.ended_marked)
    settle_front(client.statements);
  else if (last.dropped > 0)
    drop_front(last.dropped, client.statements, false);
  return reply;
}

bool StatementRelay::take_missing_sync(std::string& out) {
  if (!syncs_after_error_ || !tracker_.skips_to_sync()) return false;
  syncs_after_error_ = false;
  wire::append_sync(out);
  tracker_.client_sent('S');
  return true;
}

void StatementRelay::server_paused(std::string& out) {
  tell_fakes(tracker_.take_due_fakes(), out);
}

StatementRelay::Reply StatementRelay::see_answer(Mark& mark, const wire::Message& message, Client& client,
                                                 std::string& instead) {
  using Kind = Mark::Kind;
  if (message.type == 'E') return see_error(mark, message.body, client, instead);
  switch (mark.kind) {
    case Kind::InjectedParse:
    case Kind::InjectedUnnamed:
    case Kind::InjectedClose:
    case Kind::InjectedSetting:
      return Reply::LeaveOut;
    case Kind::InjectedDescribe:
      begin_rest(mark, message, client.statements);
      return Reply::LeaveOut;
    case Kind::Bind:
      if (mark.tells != Mark::Tells::Nothing) begin_rest(mark, message, client.statements);
      return Reply::Pass;
    case Kind::DeallocateAll: {
      const std::string_view tag = message.type == 'C' ? until_nul(message.body) : std::string_view();
      mark.done = mark.done || tag == "DEALLOCATE ALL" || tag == "DISCARD ALL";
      return Reply::Pass;
    }
    case Kind::DeallocateOne:
      if (message.type != 'C') return Reply::Pass;
      if (!std::exchange(mark.prepared, true)) return Reply::LeaveOut;  // ours
      mark.done = mark.done || until_nul(message.body) == "DEALLOCATE";
      return Reply::Pass;
    default:
      return Reply::Pass;
  }
}

StatementRelay::Reply StatementRelay::see_error(Mark& mark, base::Bytes body, Client& client,
                                                std::string& instead) {
  if (wire::read_severity(body) != "ERROR") return Reply::Pass;
  const std::string_view sqlstate = field_of_error(body, 'C');
  switch (mark.kind) {
    case Mark::Kind::Refusal:
      wire::append_error_response(instead, "ERROR", *mark.error);
      return Reply::Replaced;
    case Mark::Kind::OtherRows:
      append_other_rows(instead);
      return Reply::Replaced;
    case Mark::Kind::Bind:
      // "cached plan must not change result type": this copy will not do any more.
      if (sqlstate == "0A000" && field_of_error(body, 'R') == "RevalidateCachedQuery") {
        statements_.give_up(mark.number);
        if (mark.may_repair && tracker_.status() == 'I') {
          repair_ = Repair::Running;
          return Reply::LeaveOut;
        }
      }
      // Something has deallocated it that could not be seen.
      if (sqlstate == "26000") {
        statements_.clear();
        client.watch.note_everything("DEALLOCATE");
      }
      break;
    default:
      break;
  }
  if (mark.number == 0 || mark.name.empty()) return Reply::Pass;
  const std::string ours = ServerStatements::name_of(mark.number);
  if (field_of_error(body, 'M').find(ours) == std::string_view::npos) return Reply::Pass;
  append_renamed_error(body, ours, mark.name, instead);
  return Reply::Replaced;
}

// A Describe is answered: by ParameterDescription, then by RowDescription or NoData.
void StatementRelay::begin_rest(Mark& mark, const wire::Message& message, ClientStatements& statements) {
  const bool is_of_rows = message.type == 'T' || message.type == 'n';
  const bool is_left_out = mark.kind == Mark::Kind::InjectedDescribe;
  if (is_of_rows && mark.tells == Mark::Tells::OfPortal) {
    const auto* copy = statements_.of_number(mark.number);
    const bool is_known = copy != nullptr && copy->shape != RowShape::kUnknown;
    return client_was_told(is_known ? copy->shape : last_shape_, mark.name, mark.entry, statements);
  }
  if (message.type == 'n') {
    shape_is(mark.number, RowShape::kNoRows);
    if (mark.entry != 0) client_was_told(RowShape::kNoRows, mark.name, mark.entry, statements);
    return;
  }
  if (!is_of_rows && !is_left_out) return;
  rest_.left = message.size - wire::kHeaderSize;
  rest_.is_left_out = is_left_out;
  rest_.is_of_rows = is_of_rows;
  rest_.shape = {};
  rest_.number = mark.number;
  rest_.entry = is_of_rows ? mark.entry : 0;
  rest_.name = mark.name;
  if (rest_.entry != 0) ++telling_;
  read_rest(message.body, statements);
}

StatementRelay::Reply StatementRelay::server_sent_rest(base::Bytes piece, ClientStatements& statements) {
  const Reply reply = rest_.is_left_out ? Reply::LeaveOut : Reply::Pass;
  read_rest(piece, statements);
  return reply;
}

void StatementRelay::read_rest(base::Bytes piece, ClientStatements& statements) {
  if (rest_.is_of_rows) rest_.shape.read(piece);
  rest_.left -= std::min(rest_.left, piece.size());
  if (rest_.left > 0 || !rest_.is_of_rows) return;
  const uint64_t shape = rest_.shape.number();
  shape_is(rest_.number, shape);
  if (rest_.entry == 0) return;
  client_was_told(shape, rest_.name, rest_.entry, statements);
  rest_.entry = 0;
  --telling_;
}

void StatementRelay::shape_is(uint32_t number, uint64_t shape) {
  last_shape_ = shape;
  if (auto* copy = statements_.of_number(number)) copy->shape = shape;
  if (asked_.number == number) asked_.shape = shape;
}

// The client may have closed it meanwhile, which may be taken back.
void StatementRelay::client_was_told(uint64_t shape, std::string_view name, uint64_t entry,
                                     ClientStatements& statements) {
  if (auto* told = statements.find(name, entry)) {
    told->told_shape = shape;
    return;
  }
  for (size_t i = 0; i < marks_.size(); ++i)
    if (auto& before = marks_[i].before; before && before->number == entry) before->told_shape = shape;
}

void StatementRelay::tell_fakes(uint32_t count, std::string& out) {
  for (; count > 0 && has_marks(); --count) {
    if (marks_.front().kind == Mark::Kind::FakeClose)
      wire::append_close_complete(out);
    else
      wire::append_parse_complete(out);
    pop_mark();
  }
}

void StatementRelay::pop_mark() {
  const Mark& front = marks_.front();
  const bool takes_name = front.kind == Mark::Kind::UnnamedParse && !front.name.empty();
  if (takes_name || is_unsettling(front.kind)) --unsettled_;
  if (front.keeps_unnamed) --unsettled_unnamed_;
  if (front.tells != Mark::Tells::Nothing) --telling_;
  marks_.pop();
}

// The front one's answer is complete.
void StatementRelay::settle_front(ClientStatements& statements) {
  if (!has_marks()) return;
  Mark& mark = marks_.front();
  if (mark.kind == Mark::Kind::DeallocateAll && mark.done) {
    statements.end_era();
    statements_.end_era();
  } else if (mark.kind == Mark::Kind::DeallocateAll ||
             (mark.kind == Mark::Kind::DeallocateOne && !mark.done)) {
    take_back(mark, statements, true);
  }
  pop_mark();
}

// They were skipped, or will never be answered. The last first: each leaves things as it found them.
void StatementRelay::drop_front(size_t count, ClientStatements& statements, bool first_has_run) {
  count = std::min(count, marks_.size());
  for (size_t i = count; i-- > 0;) take_back(marks_[i], statements, first_has_run && i == 0);
  for (; count > 0; --count) pop_mark();
}

// What a later one replaces is not what this one would have made: if it was skipped, it is what there was
// before; if it failed, that was taken along.
void StatementRelay::leave_to_next_unnamed(Mark& mark, bool has_run) {
  for (size_t i = 0; i < marks_.size(); ++i) {
    Mark& later = marks_[i];
    if (later.kind != Mark::Kind::UnnamedParse || later.unnamed_follows != mark.number ||
        !later.keeps_unnamed)
      continue;
    if (has_run || !mark.keeps_unnamed) {
      later.unnamed_before.clear();
      later.unnamed_of_before = kSomebody;
    } else {
      later.unnamed_follows = mark.unnamed_follows;
      later.unnamed_before = std::move(mark.unnamed_before);
      later.unnamed_traits_before = std::move(mark.unnamed_traits_before);
      later.unnamed_fingerprint_before = std::move(mark.unnamed_fingerprint_before);
      later.unnamed_version_before = mark.unnamed_version_before;
      later.unnamed_here_before = mark.unnamed_here_before;
      later.unnamed_of_before = mark.unnamed_of_before;
    }
  }
}

void StatementRelay::take_back(Mark& mark, ClientStatements& statements, bool has_run) {
  using Kind = Mark::Kind;
  switch (mark.kind) {
    case Kind::ClientParse:
      statements_.remove(mark.number);
      [[fallthrough]];
    case Kind::FakeParse:
      statements.take(mark.name);
      bound_ = nullptr;
      break;
    case Kind::InjectedParse:
      statements_.remove(mark.number);
      return;
    case Kind::InjectedDescribe:
      if (asked_.number == mark.number) asked_ = {};  // what waits for it is skipped, too, or said elsewhere
      return;
    case Kind::InjectedClose:
      if (mark.number != 0)
        statements_.unwanted.push_back(mark.number);
      else
        unnamed_of_ = kSomebody;
      return;
    case Kind::InjectedUnnamed:
      unnamed_of_ = kSomebody;
      return;
    case Kind::UnnamedParse:
      if (mark.deallocates != 0) statements_.unwanted.push_back(mark.deallocates);
      if (mark.number != last_unnamed_) {  // something later has taken its place
        leave_to_next_unnamed(mark, has_run);
        break;
      }
      if (!has_run) --last_unnamed_;
      if (!has_run && mark.keeps_unnamed) {
        statements.unnamed = std::move(mark.unnamed_before);
        statements.unnamed_traits = std::move(mark.unnamed_traits_before);
        statements.unnamed_is_read = false;
        statements.unnamed_fingerprint = std::move(mark.unnamed_fingerprint_before);
        statements.unnamed_version = mark.unnamed_version_before;
        unnamed_version_ = mark.unnamed_here_before;
        unnamed_of_ = mark.unnamed_of_before;
      } else {
        statements.unnamed.clear();
        statements.unnamed_changed();
        unnamed_of_ = kSomebody;
      }
      break;
    case Kind::DeallocateAll:
      statements.undo_era(mark.client_era);
      statements_.undo_era(mark.server_era);
      return;
    case Kind::FakeClose:
    case Kind::DeallocateOne:
      break;
    case Kind::Nothing:
    case Kind::InjectedSetting:
    case Kind::DuplicateParse:
    case Kind::Bind:
    case Kind::Refusal:
    case Kind::OtherRows:
      return;
  }
  if (mark.before) statements.put(mark.name, std::move(*mark.before));
}

void StatementRelay::take_back(ClientStatements& statements) {
  drop_front(marks_.size(), statements, false);
  bound_ = nullptr;
  nothing_is_asked();
}

void StatementRelay::nothing_is_asked() {
  asked_ = {};
  rest_.left = 0;
  rest_.entry = 0;
  telling_ = 0;
}

bool StatementRelay::leave() {
  const bool is_known = unsettled_ == 0;
  while (has_marks()) pop_mark();
  bound_ = nullptr;
  nothing_is_asked();
  execute_deallocates_ = bound_resets_ = resets_ = unnamed_is_noted_ = false;
  repair_ = Repair::No;
  holds_back_ = flushes_ = syncs_after_error_ = advanced_ = false;
  sets_locally_ = sets_literals_locally_ = changes_letters_ = false;
  if (statements_.has_doubtful()) statements_.give_up_doubtful();
  return is_known;
}

void StatementRelay::discarded() {
  statements_.clear();
  statements_.end_era();
}

}  // namespace tidepool::session
