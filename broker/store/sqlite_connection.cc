#include "broker/store/sqlite_connection.h"

#include <utility>

#include "absl/strings/str_cat.h"

namespace pylabhub::broker {
namespace {

// How long somebody waits for another connection: a checkpoint, a backup.
constexpr int kBusyTimeoutMs = 10'000;

}  // namespace

absl::Status SqliteStatus(sqlite3* database, absl::string_view doing) {
  const int code = sqlite3_errcode(database) & 0xff;
  const std::string message = absl::StrCat(doing, ": ", sqlite3_errmsg(database));
  if (code == SQLITE_CORRUPT || code == SQLITE_NOTADB) return absl::DataLossError(message);
  if (code == SQLITE_FULL) return absl::ResourceExhaustedError(message);
  return absl::UnavailableError(message);
}

void SqliteStatement::BindText(int place, absl::string_view text) {
  sqlite3_bind_text64(statement_.get(), place, text.data(), text.size(), SQLITE_TRANSIENT, SQLITE_UTF8);
}

void SqliteStatement::BindBlob(int place, absl::string_view bytes) {
  // A null pointer would bind NULL, not an empty blob.
  sqlite3_bind_blob64(statement_.get(), place, bytes.empty() ? "" : bytes.data(), bytes.size(),
                      SQLITE_TRANSIENT);
}

void SqliteStatement::BindInteger(int place, int64_t value) {
  sqlite3_bind_int64(statement_.get(), place, value);
}

absl::StatusOr<bool> SqliteStatement::Step() {
  const int code = sqlite3_step(statement_.get());
  if (code == SQLITE_ROW) return true;
  if (code == SQLITE_DONE) return false;
  return SqliteStatus(sqlite3_db_handle(statement_.get()), sqlite3_sql(statement_.get()));
}

absl::Status SqliteStatement::Run() {
  absl::StatusOr<bool> row = true;
  while (row.ok() && *row) row = Step();
  Reset();
  return row.status();
}

void SqliteStatement::Reset() { sqlite3_reset(statement_.get()); }

absl::string_view SqliteStatement::Bytes(int column) const {
  const auto* bytes = static_cast<const char*>(sqlite3_column_blob(statement_.get(), column));
  return {bytes, static_cast<size_t>(sqlite3_column_bytes(statement_.get(), column))};
}

int64_t SqliteStatement::Integer(int column) const { return sqlite3_column_int64(statement_.get(), column); }

absl::StatusOr<SqliteConnection> SqliteConnection::Open(const std::string& path) {
  return OpenWith(path, SQLITE_OPEN_READWRITE);
}

absl::StatusOr<SqliteConnection> SqliteConnection::Create(const std::string& path) {
  return OpenWith(path, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE);
}

absl::StatusOr<SqliteConnection> SqliteConnection::OpenWith(const std::string& path, int flags) {
  sqlite3* database = nullptr;
  const int code = sqlite3_open_v2(path.c_str(), &database, flags | SQLITE_OPEN_NOMUTEX, nullptr);
  SqliteConnection connection;
  connection.database_.reset(database);
  if (code != SQLITE_OK) return SqliteStatus(database, absl::StrCat("cannot open ", path));
  sqlite3_busy_timeout(database, kBusyTimeoutMs);
  // What the file says of tables and triggers is data like all the rest of it.
  sqlite3_db_config(database, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, nullptr);
  sqlite3_db_config(database, SQLITE_DBCONFIG_DEFENSIVE, 1, nullptr);
  sqlite3_db_config(database, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, nullptr);
  const absl::Status status = connection.Execute("PRAGMA cell_size_check = ON");
  if (!status.ok()) return status;
  return connection;
}

absl::StatusOr<SqliteStatement> SqliteConnection::Prepare(absl::string_view sql) {
  sqlite3_stmt* statement = nullptr;
  const int code = sqlite3_prepare_v3(database_.get(), sql.data(), static_cast<int>(sql.size()),
                                      SQLITE_PREPARE_PERSISTENT, &statement, nullptr);
  if (code != SQLITE_OK) return SqliteStatus(database_.get(), sql);
  SqliteStatement prepared;
  prepared.statement_.reset(statement);
  return prepared;
}

absl::Status SqliteConnection::Execute(const std::string& sql) {
  const int code = sqlite3_exec(database_.get(), sql.c_str(), nullptr, nullptr, nullptr);
  return code == SQLITE_OK ? absl::OkStatus() : SqliteStatus(database_.get(), sql);
}

absl::StatusOr<int64_t> SqliteConnection::QueryInteger(absl::string_view sql) {
  absl::StatusOr<SqliteStatement> statement = Prepare(sql);
  if (!statement.ok()) return statement.status();
  const absl::StatusOr<bool> row = statement->Step();
  if (!row.ok()) return row.status();
  if (!*row) return absl::DataLossError(absl::StrCat(sql, ": no row"));
  return statement->Integer(0);
}

absl::Status SqliteConnection::CopyFrom(SqliteConnection& source) {
  sqlite3_backup* backup = sqlite3_backup_init(get(), "main", source.get(), "main");
  if (backup == nullptr) return SqliteStatus(get(), "cannot begin to copy");
  // All at once: the copy is of one moment, and a writer of a WAL is not held up by a reader.
  const int code = sqlite3_backup_step(backup, -1);
  sqlite3_backup_finish(backup);
  if (code == SQLITE_DONE) return absl::OkStatus();
  return SqliteStatus(get(), "cannot copy");
}

}  // namespace pylabhub::broker
