// A dataset of one dimension that grows by rows at its end, and can be read while it does.
//
// Thread safety: hdf5.h.
// Errors:        hdf5.h; the message names the dataset.
#ifndef PYLABHUB_CLIENT_RECORDING_TABLE_H_
#define PYLABHUB_CLIENT_RECORDING_TABLE_H_

#include <cstdint>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "client/recording/hdf5.h"

namespace pylabhub::recording {

struct TableShape {
  uint64_t chunk_rows = 1024;  // rows that lie together in the file
  int compression_level = 0;   // of deflate, after a shuffle of the bytes; 0: none
};

class Table {
 public:
  // Adds an empty table to `group`.
  static absl::Status Create(const Hid& group, const std::string& name, const Hid& row_type,
                             const TableShape& shape);

  // Uncompressed rows are written through: what Append was given is in the file, but for how many there are.
  static absl::StatusOr<Table> Open(const Hid& group, const std::string& name);

  const std::string& name() const { return name_; }
  uint64_t rows() const { return rows_; }
  size_t row_bytes() const { return row_bytes_; }
  const Hid& row_type() const { return row_type_; }

  // `rows` as they lie in memory, of the row type.
  absl::Status Append(const void* rows, uint64_t count);
  // Nothing is written any more, not even what a closed dataset needs.
  void Abandon();
  // From now on a reader sees what was appended, whatever becomes of this process.
  absl::Status Flush();
  // Rows [first, first + count), which must be there.
  absl::Status Read(uint64_t first, uint64_t count, void* rows) const;

 private:
  Table(std::string name, Hid dataset, Hid row_type, uint64_t rows);

  std::string name_;
  Hid dataset_;
  Hid row_type_;
  uint64_t rows_;
  size_t row_bytes_;
};

}  // namespace pylabhub::recording

#endif  // PYLABHUB_CLIENT_RECORDING_TABLE_H_
