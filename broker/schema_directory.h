// The schema book at work: one lock, and words for refusals that are about schemas.
//
// Thread safety: thread-safe. May be called under the directory's lock; takes no other.
#ifndef PYLABHUB_BROKER_SCHEMA_DIRECTORY_H_
#define PYLABHUB_BROKER_SCHEMA_DIRECTORY_H_

#include <cstdint>
#include <string>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "broker/limits.h"
#include "broker/log_hook.h"
#include "broker/schema_book.h"
#include "proto/pylabhub/v1/channel.pb.h"

namespace pylabhub::broker {

class SchemaDirectory {
 public:
  SchemaDirectory(const Limits& limits, LogHook log) : log_(std::move(log)), book_(limits) {}

  // Answers what `call(book)` does: for reads.
  template <typename Call>
  auto Read(Call call) const {
    absl::ReaderMutexLock lock(&mutex_);
    return call(book_);
  }

  // As SchemaBook::Register.
  absl::StatusOr<SchemaRegistration> Register(absl::string_view name, const v1::Schema& schema,
                                              absl::string_view identity, v1::Compatibility required,
                                              absl::Time now);

  // The version that a channel's schema has under the channel's name, once it is kept. 0 if none is stated, or it will
  // not be kept.
  uint32_t VersionFor(const v1::ChannelSpec& channel, absl::string_view identity) const;

  // Registers a channel's schema, if it is stated, under the channel's name. Where limits do not allow that the channel
  // works without: it is logged, and no error.
  void Keep(const v1::ChannelSpec& channel, absl::string_view identity, absl::Time now);

 private:
  const LogHook log_;
  mutable absl::Mutex mutex_;
  SchemaBook book_ ABSL_GUARDED_BY(mutex_);
};

// Whether the schema of a channel, if it is stated, keeps its rules and has the hash that is stated. A schema of a
// newer client that has a type of field that this broker does not know is not judged.
//
// Errors:
//   INVALID_REQUEST
absl::Status CheckSchemaOf(const v1::ChannelSpec& channel);

// A SCHEMA_MISMATCH with the difference in words, if both schemas are known: the channel's to `book`, and the one
// expected to it too, unless it is `expected`. Any other status, and one that is OK, stays as it is.
absl::Status ExplainMismatch(const SchemaBook& book, absl::Status status,
                             const v1::Schema* expected = nullptr);

}  // namespace pylabhub::broker

#endif  // PYLABHUB_BROKER_SCHEMA_DIRECTORY_H_
