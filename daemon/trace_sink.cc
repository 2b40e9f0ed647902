#include "daemon/trace_sink.h"

#include <string.h>
#include <sys/types.h>

namespace tidepool::daemon {
namespace {

constexpr size_t kMaxText = 1 << 20;

void wipe(std::string& text) {
  text.resize(text.capacity());
  explicit_bzero(text.data(), text.size());
  text.clear();
}

}  // namespace

TraceSink::TraceSink() {
  text_.reserve(16 << 10);
  cookie_io_functions_t functions{};
  functions.write = &TraceSink::write;
  stream_ = fopencookie(this, "w", functions);
  // A buffer of our own: stdio's would be freed with what is in it.
  if (stream_) setvbuf(stream_, stream_buffer_.data(), _IOFBF, stream_buffer_.size());
}

TraceSink::~TraceSink() {
  if (stream_) fclose(stream_);
  explicit_bzero(stream_buffer_.data(), stream_buffer_.size());
  wipe(text_);
}

base::Bytes TraceSink::text() {
  if (stream_) fflush(stream_);
  return text_;
}

ssize_t TraceSink::write(void* sink, const char* bytes, size_t size) {
  static_cast<TraceSink*>(sink)->append({bytes, size});
  return static_cast<ssize_t>(size);
}

void TraceSink::append(base::Bytes bytes) {
  if (text_.size() + bytes.size() > kMaxText) {
    overflowed_ = true;
    return;
  }
  if (text_.size() + bytes.size() >
      text_.capacity()) {  // a string that grows by itself would leave its old bytes behind
    std::string larger;
    larger.reserve(2 * text_.capacity() + bytes.size());
    larger = text_;
    text_.swap(larger);
    wipe(larger);
  }
  text_ += bytes;
}

}  // namespace tidepool::daemon
