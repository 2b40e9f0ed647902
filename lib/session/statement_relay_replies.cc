// What the server says, and what becomes of what was assumed.
#include <algorithm>

#include "lib/session/notice_names.h"
#include "lib/session/statement_relay.h"
#include "lib/session/statement_relay_texts.h"
#include "lib/sql/analysed.h"
#include "lib/wire/message_reader.h"
#include "lib/wire/message_writer.h"

namespace tidepool::session {

using base::until_nul;

StatementRelay::Reply StatementRelay::server_sent(const wire::Message& message, Client& client,
                                                  std::string& before, std::string& instead) {
  tracker_.server_sent(message.type, message.type == 'Z' ? message.body : base::Bytes{});
  const auto& last = tracker_.last();
  if (last.fakes_before > 0) tell_fakes(last.fakes_before, before);
  Reply reply = Reply::Pass;
  if (message.type == 'C' && may_change_objects(message.body)) changes_objects_ = true;
  if (message.type == 'Z' && std::exchange(leaves_out_ready_, false)) reply = Reply::LeaveOut;
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

// A command that changes what there is, by whatever text it was run.
bool StatementRelay::changes_objects(base::Bytes tag) {
  return tag.starts_with("CREATE ") || tag.starts_with("ALTER ") || tag.starts_with("DROP ");
}

StatementRelay::Reply StatementRelay::notice_sent(base::Bytes body, const ClientStatements& statements,
                                                  std::string& instead) {
  // It is of what runs now; but how long something took PostgreSQL says behind its answer.
  if (!field_of_error(body, 'M').starts_with("duration: ")) tell_fakes(tracker_.take_due_fakes(), instead);
  const auto client_name = [&](uint32_t number) -> std::optional<std::string> {
    using Kind = Mark::Kind;
    const Kind now = has_marks() ? marks_.front().kind : Kind::Nothing;
    if (now == Kind::InjectedParse || now == Kind::InjectedDescribe || now == Kind::InjectedClose)
      return std::nullopt;
    for (size_t i = 0; i < marks_.size(); ++i)
      if (marks_[i].number == number && !marks_[i].name.empty()) return marks_[i].name;
    const auto* copy = statements_.of_number(number);
    return copy != nullptr ? statements.name_of(copy->statement.get()) : std::nullopt;
  };
  switch (rename_in_notice(body, statements_.names(), client_name, instead)) {
    case NoticeNames::None:
      return Reply::Pass;
    case NoticeNames::Renamed:
      return Reply::Replaced;
    case NoticeNames::NotIts:
      break;
  }
  return Reply::LeaveOut;
}

bool StatementRelay::take_missing_sync(std::string& out) {
  if ((in_front_ != InFront::OfQuery && in_front_ != InFront::OfWaitingQuery) || !tracker_.skips_to_sync())
    return false;
  in_front_ = in_front_ == InFront::OfWaitingQuery ? InFront::Failed : InFront::Nothing;
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
    case Kind::InjectedClose:
    case Kind::InjectedSetting:
    case Kind::ParseOfWitness:
      return Reply::LeaveOut;
    case Kind::InjectedDescribe:
      begin_rest(mark, message, client);
      return Reply::LeaveOut;
    case Kind::Use:
      if (mark.tells) begin_rest(mark, message, client);
      return Reply::Pass;
    case Kind::DescribeAsParsed:
      return tell_rows(mark, message, client, instead);
    case Kind::DeallocateAll: {
      const std::string_view tag = message.type == 'C' ? until_nul(message.body) : std::string_view();
      mark.done = mark.done || tag == "DEALLOCATE ALL" || tag == "DISCARD ALL";
      return Reply::Pass;
    }
    case Kind::DeallocateOne:
      mark.done = mark.done || (message.type == 'C' && until_nul(message.body) == "DEALLOCATE");
      return Reply::Pass;
    default:
      return Reply::Pass;
  }
}

StatementRelay::Reply StatementRelay::see_error(Mark& mark, base::Bytes body, Client& client,
                                                std::string& instead) {
  if (wire::read_severity(body) != "ERROR") return Reply::Pass;
  switch (mark.kind) {
    case Mark::Kind::Refusal:
      wire::append_error_response(instead, "ERROR", *mark.error);
      return Reply::Replaced;
    case Mark::Kind::OtherRows:
      append_other_rows(instead);
      return Reply::Replaced;
    default:
      break;
  }
  if (mark.number == 0) return Reply::Pass;
  const std::string ours(statements_.name_of(mark.number));
  if (field_of_error(body, 'M').find(ours) == std::string_view::npos) return Reply::Pass;
  append_renamed_error(body, ours, mark.name, instead);
  // This client has deallocated it, in a way that could not be seen: all of its statements, as far as anybody
  // knows. What others have done was found out before this client got the server.
  const bool is_use = mark.kind == Mark::Kind::Use || mark.kind == Mark::Kind::InjectedDescribe;
  if (is_use && field_of_error(body, 'C') == "26000") {
    lost_ = {mark.number, mark.name};
    client.statements.forget_own();
    client.watch.note_everything("DEALLOCATE");
  }
  return Reply::Replaced;
}

// A Describe is answered: by ParameterDescription, then by RowDescription or NoData.
void StatementRelay::begin_rest(Mark& mark, const wire::Message& message, Client& client) {
  const bool is_left_out = mark.kind == Mark::Kind::InjectedDescribe;
  if (message.type == 'n') return is_described(mark.number, mark.entry, mark.name, RowShape::kNoRows, client);
  if (message.type != 't' && message.type != 'T') return;
  rest_.left = message.size - wire::kHeaderSize;
  rest_.is_left_out = is_left_out;
  rest_.of = message.type == 't' ? Rest::Of::Parameters : Rest::Of::Rows;
  rest_.shape = {};
  rest_.number = mark.number;
  rest_.entry = mark.entry;
  rest_.name = mark.name;
  if (message.type == 't') {
    described_parameters_.clear();
    described_rows_.clear();
    keeps_rows_ = has_rows_of_its_parse(mark, client.statements);
  }
  read_rest(message.body, client);
}

bool StatementRelay::has_rows_of_its_parse(const Mark& mark, ClientStatements& statements) {
  if (mark.number == 0) return sql::has_rows_of_its_parse(statements.text_of_unnamed());
  const Entry* entry = entry_of(mark.name, mark.entry, statements);
  return entry != nullptr && entry->statement->text != nullptr &&
         entry->statement->text->has_rows_of_its_parse;
}

// In the place of what the server says of the stand-in.
StatementRelay::Reply StatementRelay::tell_rows(const Mark& mark, const wire::Message& message,
                                                Client& client, std::string& instead) {
  if (message.type != 'T') return Reply::Pass;
  {
    const wire::MessageFrame frame(instead, 'T');
    instead.append(mark.name);
  }
  rest_.left = message.size - wire::kHeaderSize;
  rest_.is_left_out = true;
  rest_.of = Rest::Of::Nothing;
  read_rest(message.body, client);
  return Reply::Replaced;
}

StatementRelay::Reply StatementRelay::server_sent_rest(base::Bytes piece, Client& client) {
  const Reply reply = rest_.is_left_out ? Reply::LeaveOut : Reply::Pass;
  read_rest(piece, client);
  return reply;
}

void StatementRelay::read_rest(base::Bytes piece, Client& client) {
  constexpr size_t kMostParameters = 2 + 4 * size_t{65535};
  if (rest_.of == Rest::Of::Rows) rest_.shape.read(piece);
  if (rest_.of == Rest::Of::Rows && keeps_rows_) described_rows_.append(piece);
  if (rest_.of == Rest::Of::Parameters && described_parameters_.size() < kMostParameters)
    described_parameters_.append(piece);
  rest_.left -= std::min(rest_.left, piece.size());
  if (rest_.left > 0 || std::exchange(rest_.of, Rest::Of::Nothing) != Rest::Of::Rows) return;
  is_described(rest_.number, rest_.entry, rest_.name, rest_.shape.number(), client);
}

// Whoever has prepared it, PostgreSQL has said what it is: now all may share it who have an equal one.
void StatementRelay::is_described(uint32_t number, uint64_t entry, std::string_view name, uint64_t shape,
                                  Client& client) {
  const auto rows = keeps_rows_ ? std::make_shared<const std::string>(described_rows_) : nullptr;
  if (number == 0) {  // the unnamed one
    ClientStatements& own = client.statements;
    if (own.unnamed_version != entry) return;
    own.unnamed_parameters = described_parameters_;
    own.unnamed_shape = shape;
    own.unnamed_rows = rows;
    return;
  }
  // The copy may have had to go meanwhile: what it was counts all the same.
  const auto* copy = statements_.of_number(number);
  Entry* of_client = entry_of(name, entry, client.statements);
  if (copy == nullptr && of_client == nullptr) return;
  StatementPtr statement = copy != nullptr ? copy->statement : of_client->statement;
  if (!statement->is_known()) {
    PreparedStatement known = *statement;
    known.parameters = described_parameters_;
    known.shape = shape;
    statement = client.source.share(known);
    if (copy != nullptr) statements_.known_as(number, statement);
  }
  if (asked_.number == number) asked_.is_answered = true;
  if (of_client == nullptr) return;
  of_client->rows = rows;
  // The client may have closed it meanwhile, which may be taken back.
  const bool is_there = client.statements.find(name, entry) != nullptr;
  client.statements.becomes(is_there ? name : std::string_view(), *of_client, statement);
}

// Null: it is gone for good.
StatementRelay::Entry* StatementRelay::entry_of(std::string_view name, uint64_t number,
                                                ClientStatements& statements) {
  if (number == 0) return nullptr;
  if (auto* known = statements.find(name, number)) return known;
  for (size_t i = 0; i < marks_.size(); ++i)
    if (auto& before = marks_[i].before; before && before->number == number) return &*before;
  return nullptr;
}

// What the name stood for in front of what is not answered yet.
const StatementRelay::Entry* StatementRelay::entry_in_front(std::string_view name,
                                                            ClientStatements& statements) {
  for (size_t i = 0; i < marks_.size(); ++i)
    if (marks_[i].before && marks_[i].name == name) return &*marks_[i].before;
  return statements.find(name);
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
  if (is_unsettling(front.kind)) --unsettled_;
  if (front.keeps_unnamed) --unsettled_unnamed_;
  marks_.pop();
}

// The front one's answer is complete.
void StatementRelay::settle_front(ClientStatements& statements) {
  if (!has_marks()) return;
  Mark& mark = marks_.front();
  if (mark.kind == Mark::Kind::DeallocateAll && mark.done) {
    statements.end_era(mark.client_era);
    statements_.end_era(mark.server_era);
  } else if (mark.kind == Mark::Kind::DeallocateAll ||
             (mark.kind == Mark::Kind::DeallocateOne && !mark.done)) {
    take_back(mark, statements, true);
  } else if (mark.kind == Mark::Kind::ParseOfWitness) {
    lose(mark.number, mark.name, statements);
    statements_.unwanted.push_back(mark.number);
    asked_.number = 0;
  }
  pop_mark();
  lose_noticed(statements);
}

// They were skipped, or will never be answered. The last first: each leaves things as it found them.
void StatementRelay::drop_front(size_t count, ClientStatements& statements, bool first_has_run) {
  count = std::min(count, marks_.size());
  for (size_t i = count; i-- > 0;) take_back(marks_[i], statements, first_has_run && i == 0);
  for (; count > 0; --count) pop_mark();
  lose_noticed(statements);
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
      later.unnamed_parameters_before = std::move(mark.unnamed_parameters_before);
      later.unnamed_shape_before = mark.unnamed_shape_before;
      later.unnamed_version_before = mark.unnamed_version_before;
      later.unnamed_here_before = mark.unnamed_here_before;
      later.unnamed_of_before = mark.unnamed_of_before;
    }
  }
}

// What was begun behind it begins where it did.
void StatementRelay::undo_eras(const Mark& undone, ClientStatements& statements) {
  statements.undo_era(undone.client_era);
  statements_.undo_era(undone.server_era);
  for (size_t i = 0; i < marks_.size(); ++i) {
    Mark& later = marks_[i];
    if (later.kind != Mark::Kind::DeallocateAll) continue;
    if (later.client_era.before != undone.client_era.number) continue;
    later.client_era.before = undone.client_era.before;
    later.server_era.before = undone.server_era.before;
  }
}

void StatementRelay::take_back(Mark& mark, ClientStatements& statements, bool has_run) {
  using Kind = Mark::Kind;
  switch (mark.kind) {
    case Kind::ClientParse:
      statements_.remove(mark.number);
      if (undescribed_.number == mark.number) undescribed_.number = 0;
      [[fallthrough]];
    case Kind::FakeParse:
      statements.take(mark.name);
      break;
    case Kind::InjectedParse:
      statements_.remove(mark.number);
      if (execute_deallocates_.number == mark.number) execute_deallocates_.number = 0;
      return;
    case Kind::InjectedDescribe:
    case Kind::ParseOfWitness:
      if (asked_.number == mark.number)
        asked_.number = 0;  // what waits for it is skipped, too, or said elsewhere
      return;
    case Kind::InjectedClose:
      if (mark.number != 0)
        statements_.unwanted.push_back(mark.number);
      else
        unnamed_of_ = kSomebody;
      return;
    case Kind::UnnamedParse:
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
        statements.unnamed_changed();
        statements.unnamed_parameters = std::move(mark.unnamed_parameters_before);
        statements.unnamed_shape = mark.unnamed_shape_before;
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
      undo_eras(mark, statements);
      return;
    case Kind::DeallocateOne:
      if (mark.number != 0) statements_.unwanted.push_back(mark.number);
      break;
    case Kind::FakeClose:
    case Kind::OwnClose:
      break;
    case Kind::Nothing:
    case Kind::InjectedSetting:
    case Kind::DuplicateParse:
    case Kind::Use:
    case Kind::DescribeAsParsed:
    case Kind::Refusal:
    case Kind::OtherRows:
      return;
  }
  if (mark.before) statements.put(mark.name, std::move(*mark.before));
}

void StatementRelay::take_back(ClientStatements& statements) {
  drop_front(marks_.size(), statements, false);
  nothing_is_asked();
}

void StatementRelay::nothing_is_asked() {
  asked_.number = undescribed_.number = 0;
  if (long_.left > 0) long_ = {};
  rest_.left = 0;
  rest_.of = Rest::Of::Nothing;
}

bool StatementRelay::leave() {
  const bool is_known = unsettled_ == 0;
  while (has_marks()) pop_mark();
  nothing_is_asked();
  nothing_is_deallocated();
  lost_.number = 0;
  statements_are_known();
  executed_.clear();
  execute_deallocates_all_ = unnamed_is_noted_ = unnamed_is_unbound_ = false;
  bound_changes_ = changes_ = {};
  batch_binds_ = batch_has_run_ = leaves_out_ready_ = false;
  flushes_ = advanced_ = hides_names_ = makes_temporary_ = false;
  in_front_ = InFront::Nothing;
  end_what_lasted_for_the_transaction();
  if (statements_.has_unknown()) statements_.give_up_unknown();
  return is_known;
}

void StatementRelay::lose_all_but(ServerStatements::Census those, ClientStatements& statements) {
  const auto first = statements_.first_of(those);
  if (!first) return;
  const auto lost = std::find_if(doubts_.rbegin(), doubts_.rend(),
                                 [&](const Doubt& doubt) { return doubt.copies <= *first; });
  statements.forget_if([&](const Entry& entry) {
    const bool is_lost =
        lost != doubts_.rend() ? entry.there_at < lost->entries : statements_.find(*entry.statement) < *first;
    return !entry.is_own && is_lost;
  });
  statements_.clear_before(*first);
}

// What stood there with the client's statement of this name is gone, and so is whatever was prepared before.
void StatementRelay::lose(uint32_t number, std::string_view name, ClientStatements& statements) {
  Doubt before{statements.last_number() + 1, statements_.last_number() + 1};
  if (!doubts_.empty()) {
    const Entry* entry = entry_in_front(name, statements);
    before = {entry != nullptr ? entry->there_at + 1 : 0, number + 1};
    if (is_in_doubt(number))
      before = {std::max(before.entries, doubts_.front().entries),
                std::max(before.copies, doubts_.front().copies)};
  }
  statements.forget_if([&](const Entry& entry) { return !entry.is_own && entry.there_at < before.entries; });
  statements_.clear_before(before.copies);
}

void StatementRelay::lose_noticed(ClientStatements& statements) {
  if (lost_.number != 0) lose(std::exchange(lost_.number, 0), lost_.name, statements);
}

void StatementRelay::discarded() {
  statements_.clear();
}

}  // namespace tidepool::session
