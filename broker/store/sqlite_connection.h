// The few things that the store does with SQLite, with statuses in place of result codes, and ends in destructors.
//
// Thread safety: thread-compatible: a connection and its statements belong to one thread at a time.
#ifndef PYLABHUB_BROKER_STORE_SQLITE_CONNECTION_H_
#define PYLABHUB_BROKER_STORE_SQLITE_CONNECTION_H_

#include <sqlite3.h>

#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace pylabhub::broker {

// kDataLoss for a file that is damaged or no database, kResourceExhausted for a full disk, else kUnavailable.
absl::Status SqliteStatus(sqlite3* database, absl::string_view doing);

// A prepared statement. Bind, then Step until it is false, then Reset to use it again. Places count from 1, columns
// from 0.
class SqliteStatement {
 public:
  SqliteStatement() = default;

  void BindText(int place, absl::string_view text);
  void BindBlob(int place, absl::string_view bytes);
  void BindInteger(int place, int64_t value);

  // True if there is a row.
  absl::StatusOr<bool> Step();
  // Steps to the end, and resets.
  absl::Status Run();
  void Reset();

  // Of the row. Views hold until the next Step or Reset.
  absl::string_view Bytes(int column) const;
  int64_t Integer(int column) const;

 private:
  friend class SqliteConnection;
  struct Finalize {
    void operator()(sqlite3_stmt* statement) const { sqlite3_finalize(statement); }
  };
  std::unique_ptr<sqlite3_stmt, Finalize> statement_;
};

class SqliteConnection {
 public:
  // Opens a file that is there, to read and write. Nothing is written to it by closing.
  static absl::StatusOr<SqliteConnection> Open(const std::string& path);
  // Makes the file if it is not there.
  static absl::StatusOr<SqliteConnection> Create(const std::string& path);

  absl::StatusOr<SqliteStatement> Prepare(absl::string_view sql);
  // Of several statements; rows are dropped.
  absl::Status Execute(const std::string& sql);
  // The integer that the one row of `sql` has.
  absl::StatusOr<int64_t> QueryInteger(absl::string_view sql);

  // Copies everything of `source` here, as it is at one moment.
  absl::Status CopyFrom(SqliteConnection& source);

  sqlite3* get() const { return database_.get(); }

 private:
  static absl::StatusOr<SqliteConnection> OpenWith(const std::string& path, int flags);

  struct Close {
    void operator()(sqlite3* database) const { sqlite3_close_v2(database); }
  };
  std::unique_ptr<sqlite3, Close> database_;
};

}  // namespace pylabhub::broker

#endif  // PYLABHUB_BROKER_STORE_SQLITE_CONNECTION_H_
