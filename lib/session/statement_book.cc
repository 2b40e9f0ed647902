#include "lib/session/statement_book.h"

#include <algorithm>

namespace tidepool::session {

StatementBook::StatementBook(size_t most_bytes) : most_bytes_(most_bytes), look_again_at_(most_bytes / 4) {}

StatementPtr StatementBook::share(std::string_view text, std::string_view types, std::string_view fingerprint,
                                  std::string_view run_under, const sql::Options& options) {
  const auto found = statements_.find(Key{text, types, fingerprint, run_under});
  if (found != statements_.end()) return found->second;

  auto statement = std::make_shared<PreparedStatement>();
  statement->text = text;
  statement->types = types;
  statement->fingerprint = fingerprint;
  statement->run_under = run_under;
  statement->traits = sql::classify(text, options);
  const size_t size = statement->bytes();
  if (bytes_ + size > look_again_at_) {
    forget_unused();
    look_again_at_ = std::clamp(2 * (bytes_ + size), most_bytes_ / 4, most_bytes_);
    if (bytes_ + size > most_bytes_) return nullptr;
  }
  bytes_ += size;
  const Key key{statement->text, statement->types, statement->fingerprint, statement->run_under};
  return statements_.emplace(key, std::move(statement)).first->second;
}

// Who is the only one to hold a statement cannot be joined by another meanwhile: they all come through here.
void StatementBook::forget_unused() {
  std::erase_if(statements_, [this](const auto& entry) {
    if (entry.second.use_count() > 1) return false;
    bytes_ -= entry.second->bytes();
    return true;
  });
}

}  // namespace tidepool::session
