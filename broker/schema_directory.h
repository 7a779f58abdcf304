// The schema book at work: one lock, the store that keeps it, and words for refusals that are about schemas.
//
// Thread safety: thread-safe. May be called under the directory's lock; takes no other but the store's.
#ifndef PYLABHUB_BROKER_SCHEMA_DIRECTORY_H_
#define PYLABHUB_BROKER_SCHEMA_DIRECTORY_H_

#include <cstdint>
#include <map>
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
#include "broker/store/group_commit.h"
#include "proto/pylabhub/v1/channel.pb.h"

namespace pylabhub::broker {

class SchemaDirectory {
 public:
  // `commit` outlives this. `kept`: records by key, of which those that are schemas go back into the book.
  SchemaDirectory(const Limits& limits, GroupCommit& commit, const std::map<std::string, std::string>& kept,
                  LogHook log);

  // Answers what `call(book)` does: for reads.
  template <typename Call>
  auto Read(Call call) const {
    absl::ReaderMutexLock lock(&mutex_);
    return call(book_);
  }

  // As SchemaBook::Register, and answers when the version is durable.
  //
  // Errors: those of SchemaBook::Register, and
  //   STORE_READ_ONLY  it is new, and was not registered; or it was, and is not durable yet
  absl::StatusOr<SchemaRegistration> Register(absl::string_view name, const v1::Schema& schema,
                                              absl::string_view identity, v1::Compatibility required,
                                              absl::Time now);

  // The version that a channel's schema has under the channel's name, once it is kept. 0 if none is stated, or it will
  // not be kept.
  uint32_t VersionFor(const v1::ChannelSpec& channel, absl::string_view identity) const;

  // Registers a channel's schema, if it is stated, under the channel's name. Where limits do not allow that the channel
  // works without: it is logged, and no error. Durable with whatever is handed to the store next.
  void Keep(const v1::ChannelSpec& channel, absl::string_view identity, absl::Time now);

 private:
  struct Added {
    absl::StatusOr<SchemaRegistration> registration;
    GroupCommit::Ticket ticket;
  };
  Added RegisterAndHandOver(absl::string_view name, const v1::Schema& schema, absl::string_view identity,
                            v1::Compatibility required, absl::Time now);

  const LogHook log_;
  GroupCommit& commit_;
  mutable absl::Mutex mutex_;
  SchemaBook book_ ABSL_GUARDED_BY(mutex_);
};

// Whether `schema` keeps its rules and has the hash that is stated. `schema_field` and `hash_field` are their
// paths in the request. A schema of a newer client that has a type of field that this broker does not know is
// not judged.
//
// Errors:
//   INVALID_REQUEST
absl::Status CheckSchema(const v1::Schema& schema, absl::string_view schema_field, absl::string_view hash,
                         absl::string_view hash_field);

// A SCHEMA_MISMATCH with the difference in words, if both schemas are known: the channel's to `book`, and the
// one expected to it too, unless it is `expected` (null: not stated). Any other status stays as it is.
absl::Status ExplainMismatch(const SchemaBook& book, absl::Status status, const v1::Schema* expected);

}  // namespace pylabhub::broker

#endif  // PYLABHUB_BROKER_SCHEMA_DIRECTORY_H_
