// What a store's SQLite file holds, and whether what it holds is sound.
//
//   record(key, value, checksum)               one for each row; the checksum is of key and value
//   digest(commit_number, row_count, sum, checksum)   one line: how many rows there are, and the sum of their checksums
//
// A byte that changes in a row shows in its checksum; a row that vanishes, or comes back, shows in the digest.
//
// Thread safety: free functions with no shared state.
#ifndef PYLABHUB_BROKER_STORE_SQLITE_FORMAT_H_
#define PYLABHUB_BROKER_STORE_SQLITE_FORMAT_H_

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "broker/store/sqlite_connection.h"
#include "broker/store/store.h"

namespace pylabhub::broker {

struct Digest {
  uint64_t commit_number = 0;
  uint64_t row_count = 0;
  uint64_t sum = 0;  // of the rows' checksums, modulo 2^64

  bool operator==(const Digest&) const = default;
};

uint64_t ChecksumOfRow(absl::string_view key, absl::string_view value);
uint64_t ChecksumOf(const Digest& digest);

// Makes an empty store under `path`, where nothing is.
absl::Status MakeStoreFile(const std::string& path);

// Whether the file is one of ours at all, by its first bytes: SQLite's own error would not say what to do.
//
// Errors:
//   kDataLoss            it is not, or it is damaged where nothing can be read any more
//   kFailedPrecondition  it is of another program, or of a newer version of this one
absl::Status CheckStoreHeader(const std::string& path);

struct CheckedRows {
  std::vector<Row> rows = {};  // those that are sound, by key
  Digest digest = {};          // of these rows, with the commit number that the store says
  std::string damage = {};     // in words; empty if everything is sound
};

// Reads everything, and checks all that can be checked. `least_commit_number`: a commit that was certainly made.
//
// Errors:
//   kUnavailable  the file cannot be read at all
absl::StatusOr<CheckedRows> ReadAndCheck(SqliteConnection& connection, uint64_t least_commit_number);

}  // namespace pylabhub::broker

#endif  // PYLABHUB_BROKER_STORE_SQLITE_FORMAT_H_
