// Where a broker keeps what it must not forget: rows of bytes by key, changed several at once or not at all.
//
// What the bytes say is records.h's affair. A second implementation needs nothing but this: a cluster's store, say, whose
// Commit is one transaction.
//
// Thread safety: thread-compatible; GroupCommit calls Commit from one thread at a time.
// Errors:        a failed Commit changed nothing, or everything: the same rows can be committed again.
#ifndef PYLABHUB_BROKER_STORE_STORE_H_
#define PYLABHUB_BROKER_STORE_STORE_H_

#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace pylabhub::broker {

struct Row {
  std::string key = {};
  std::optional<std::string> value = {};  // nothing: the row is removed
};

struct StoredRows {
  std::vector<Row> rows = {};  // each has a value
  // What is damaged, in words, and what to do about it. Not empty: `rows` are those that are sound, others may be
  // missing, and Commit is refused.
  std::string damage = {};
};

class Store {
 public:
  virtual ~Store() = default;

  // Everything that is kept. Called once, before the first Commit.
  virtual absl::StatusOr<StoredRows> Load() = 0;

  // Makes all of `rows` durable: when it returns OK, they survive the end of this process and of the machine.
  virtual absl::Status Commit(const std::vector<Row>& rows) = 0;
};

}  // namespace pylabhub::broker

#endif  // PYLABHUB_BROKER_STORE_STORE_H_
