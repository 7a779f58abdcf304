// Keeps two brokers out of one store, and remembers how far the holder has come.
//
// Beside its lock the file has a line with the holder's process and the number of its last commit. It is written after
// each commit and never synchronised: it survives the process, and after a power failure it may be old or gone. So a
// store whose last commit is older than the line says has lost commits that were answered; one that is newer has not.
#ifndef PYLABHUB_BROKER_STORE_STORE_LOCK_H_
#define PYLABHUB_BROKER_STORE_STORE_LOCK_H_

#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/statusor.h"

namespace pylabhub::broker {

// Thread safety: thread-compatible.
class StoreLock {
 public:
  // Errors:
  //   kAlreadyExists  somebody else holds it, who is named
  //   kUnavailable    the file cannot be made or locked
  static absl::StatusOr<std::unique_ptr<StoreLock>> Take(const std::string& path);

  // What was remembered last under `path`, by whomever; 0 if nothing.
  static uint64_t LastCommitIn(const std::string& path);

  ~StoreLock();
  StoreLock(const StoreLock&) = delete;
  StoreLock& operator=(const StoreLock&) = delete;

  void Remember(uint64_t commit_number);

 private:
  explicit StoreLock(int descriptor) : descriptor_(descriptor) {}

  const int descriptor_;
};

}  // namespace pylabhub::broker

#endif  // PYLABHUB_BROKER_STORE_STORE_LOCK_H_
