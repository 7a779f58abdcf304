// What an administrator does with a store: look, copy, put a copy in its place.
//
// Thread safety: free functions; any number of processes may call them at once.
#ifndef PYLABHUB_BROKER_STORE_MAINTENANCE_H_
#define PYLABHUB_BROKER_STORE_MAINTENANCE_H_

#include <cstddef>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "broker/registry_state.h"

namespace pylabhub::broker {

struct StoreReport {
  size_t sessions = 0;
  size_t channels = 0;
  size_t consumers = 0;
  size_t other_records = 0;
  HistoryRecord history = {};
  std::string damage = {};  // in words; empty if the store is sound
};

// Reads the store in `folder`, and checks everything that can be checked. Changes nothing; a broker may be at work on it.
//
// Errors:
//   kNotFound      there is none
//   kDataLoss      nothing of it can be read
//   others         as OpenSqliteStore's
absl::StatusOr<StoreReport> CheckStore(const std::string& folder);

// Copies the store in `folder`, as it is at one moment, to `file`, which is checked before it gets its name. A broker may
// be at work on the store, and is not held up.
//
// Errors:
//   kAlreadyExists  `file` is there
//   kDataLoss       the store is damaged
absl::Status BackUpStore(const std::string& folder, const std::string& file);

// Puts the copy in `file` in the place of the store in `folder`, whose files are renamed, not removed. Epochs and revisions
// go on above those of the copy, of the store that is replaced as far as it can be read, and for epochs of `now`; the
// history gets a new name, so that every watcher lists anew. Returns where the replaced store is; empty if there was none.
//
// Errors:
//   kAlreadyExists  a broker is at work on the store; stop it first
//   kDataLoss       the copy is damaged: nothing was changed
absl::StatusOr<std::string> RestoreStore(const std::string& folder, const std::string& file, absl::Time now);

}  // namespace pylabhub::broker

#endif  // PYLABHUB_BROKER_STORE_MAINTENANCE_H_
