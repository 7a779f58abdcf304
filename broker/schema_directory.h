// The schema book at work: one lock, and words for refusals that are about schemas.
//
// Thread safety: thread-safe. May be called under the directory's lock; takes no other.
#ifndef PYLABHUB_BROKER_SCHEMA_DIRECTORY_H_
#define PYLABHUB_BROKER_SCHEMA_DIRECTORY_H_

#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "broker/limits.h"
#include "broker/schema_book.h"
#include "proto/pylabhub/v1/channel.pb.h"

namespace pylabhub::broker {

class SchemaDirectory {
 public:
  explicit SchemaDirectory(const Limits& limits) : book_(limits) {}

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

 private:
  mutable absl::Mutex mutex_;
  SchemaBook book_ ABSL_GUARDED_BY(mutex_);
};

// Whether the schema of a channel, if it is stated, keeps its rules and has the hash that is stated. A schema of a
// newer client that has a type of field that this broker does not know is not judged.
//
// Errors:
//   INVALID_REQUEST
absl::Status CheckSchemaOf(const v1::ChannelSpec& channel);

// Whether CheckSchemaOf judged a schema: there is one, and this broker knows each of its types.
bool HasKnownSchema(const v1::ChannelSpec& channel);

// A SCHEMA_MISMATCH with the difference in words, if both schemas are known: the channel's to `book`, and the one
// expected to it too, unless it is `expected`. Any other status, and one that is OK, stays as it is.
absl::Status ExplainMismatch(const SchemaBook& book, absl::Status status, const v1::Schema* expected = nullptr);

}  // namespace pylabhub::broker

#endif  // PYLABHUB_BROKER_SCHEMA_DIRECTORY_H_
