// A store in one SQLite file on this host, broker.db in the state folder, with a write-ahead log beside it.
//
// Each commit is one transaction, durable when Commit returns (synchronous = FULL). A thread of its own moves the log
// into the database; a commit waits for that once in hundreds, under a steady load. The log is written
// over and over in blocks that the file has already: a commit then costs the disk no change of a file's size.
//
// Thread safety: thread-compatible, as Store says.
// Errors:        a store that is damaged but can be read opens, and Load says what is damaged.
#ifndef PYLABHUB_BROKER_STORE_SQLITE_STORE_H_
#define PYLABHUB_BROKER_STORE_SQLITE_STORE_H_

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "broker/store/store.h"

namespace pylabhub::broker {

// The files in a state folder.
struct StoreFiles {
  explicit StoreFiles(const std::string& folder);

  std::string folder;
  std::string database;
  std::string lock;
};

// Opens the store in `folder`, or makes one there, and keeps everybody else from opening it.
//
// Errors:
//   kAlreadyExists       another broker has it
//   kDataLoss            it is damaged so that nothing can be read; the message says which command mends it
//   kFailedPrecondition  the file is another program's, or a newer version's
//   kResourceExhausted   the disk is full
//   kUnavailable         anything else that the system says
absl::StatusOr<std::unique_ptr<Store>> OpenSqliteStore(const std::string& folder);

}  // namespace pylabhub::broker

#endif  // PYLABHUB_BROKER_STORE_SQLITE_STORE_H_
