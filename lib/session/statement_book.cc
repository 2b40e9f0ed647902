#include "lib/session/statement_book.h"

#include <algorithm>

#include "lib/sql/analysed.h"

namespace tidepool::session {

StatementBook::StatementBook(size_t most_bytes) : most_bytes_(most_bytes), look_again_at_(most_bytes / 4) {}

void StatementBook::set_most_bytes(size_t most_bytes) {
  most_bytes_ = most_bytes;
  look_again_at_ = std::min(look_again_at_, most_bytes);
  was_nearly_full_ = false;
}

TextPtr StatementBook::text(std::string_view text, std::string_view types, const sql::Options& options) {
  const unsigned read_as = sql::depends_on_letters(text)
                               ? 1U + (options.standard_conforming_strings ? 2U : 0U) +
                                     (options.has_doubtful_letters ? 4U : 0U) + (options.is_unsure ? 8U : 0U)
                               : 0U;
  const auto found = texts_.find(TextKey{text, types, read_as});
  if (found != texts_.end()) return found->second;

  auto fresh = std::make_shared<StatementText>();
  fresh->text = text;
  fresh->types = types;
  if (!make_room(fresh->bytes())) return nullptr;
  fresh->traits = sql::classify(text, options);
  fresh->is_analysed = sql::is_analysed(text);
  fresh->has_rows_of_its_parse = sql::has_rows_of_its_parse(text);
  fresh->has_literals = sql::has_literals(text);
  fresh->has_odd_letters = sql::has_odd_letters(text);
  bytes_ += fresh->bytes();
  const TextKey key{fresh->text, fresh->types, read_as};
  return texts_.emplace(key, std::move(fresh)).first->second;
}

// What is shared beside a text is small: it always finds room, but counts.
StatementPtr StatementBook::share(const PreparedStatement& statement) {
  const auto found = statements_.find(&statement);
  if (found != statements_.end()) return found->second;
  make_room(statement.bytes());
  bytes_ += statement.bytes();
  auto fresh = std::make_shared<const PreparedStatement>(statement);
  const PreparedStatement* key = fresh.get();
  return statements_.emplace(key, std::move(fresh)).first->second;
}

size_t StatementBook::Hash::operator()(const PreparedStatement* statement) const {
  const std::hash<std::string_view> hash;
  return std::hash<const void*>()(statement->text.get()) ^ hash(statement->fingerprint) * 31 ^
         hash(statement->run_under) * 131 ^ hash(statement->parameters) * 8191 ^ statement->shape;
}

bool StatementBook::make_room(size_t size) {
  if (bytes_ + size <= look_again_at_) return true;
  forget_unused();
  look_again_at_ = std::clamp(2 * (bytes_ + size), most_bytes_ / 4, most_bytes_);
  const bool is_nearly_full = bytes_ + size > most_bytes_ / 10 * 8;
  is_nearly_full_ = is_nearly_full_ || (is_nearly_full && !was_nearly_full_);
  was_nearly_full_ = is_nearly_full;
  return bytes_ + size <= most_bytes_;
}

// Who is the only one to hold a statement cannot be joined by another meanwhile: they all come through here.
void StatementBook::forget_unused() {
  const auto forget_in = [this](auto& all) {
    std::erase_if(all, [this](const auto& entry) {
      if (entry.second.use_count() > 1) return false;
      bytes_ -= entry.second->bytes();
      return true;
    });
  };
  forget_in(statements_);
  forget_in(texts_);
}

}  // namespace tidepool::session
