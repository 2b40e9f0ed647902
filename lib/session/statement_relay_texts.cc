#include "lib/session/statement_relay_texts.h"

#include "lib/base/ascii.h"
#include "lib/wire/message_writer.h"

namespace tidepool::session {

namespace {

bool is_blank(char c) {
  return c == ' ' || (c >= '\t' && c <= '\r') || c == ';';
}

// Whether `text` ends with `word` (in lower case), blanks behind it aside; takes both off.
bool take_last_word(std::string_view& text, std::string_view word) {
  while (!text.empty() && is_blank(text.back())) text.remove_suffix(1);
  if (text.size() < word.size() || !base::same_letters(text.substr(text.size() - word.size()), word))
    return false;
  text.remove_suffix(word.size());
  return true;
}

}  // namespace

void append_renamed(const wire::Message& message, std::string_view name, std::string_view other,
                    std::string& out) {
  const auto at = static_cast<size_t>(name.data() - message.body.data());
  out.push_back(message.type);
  base::append_u32(out, static_cast<uint32_t>(message.size - 1 - name.size() + other.size()));
  out.append(message.body.substr(0, at)).append(other).append(message.body.substr(at + name.size()));
}

bool is_deallocate(std::string_view text, const sql::StatementTraits& traits, bool alone) {
  if (traits.named_statements.size() != 1) return false;
  const auto& named = traits.named_statements.front();
  std::string_view before = text.substr(0, named.at);
  take_last_word(before, "prepare");
  if (!take_last_word(before, "deallocate")) return false;
  const std::string_view behind = text.substr(named.at + named.size);
  return !alone || (std::all_of(before.begin(), before.end(), is_blank) &&
                    std::all_of(behind.begin(), behind.end(), is_blank));
}

base::Error other_rows() {
  return {"0A000", "cached plan must not change result type"};
}

void append_other_rows(std::string& out) {
  const wire::MessageFrame frame(out, 'E');
  for (const std::string_view field :
       {"SERROR", "VERROR", "C0A000", "Mcached plan must not change result type", "Fplancache.c",
        "RRevalidateCachedQuery"})
    wire::append_cstring(out, field);
  out.push_back('\0');
}

void append_renamed_error(base::Bytes body, std::string_view ours, std::string_view name, std::string& out) {
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

}  // namespace tidepool::session
