#include "broker/store/maintenance.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <memory>
#include <optional>
#include <system_error>
#include <utility>

#include "absl/strings/str_cat.h"
#include "broker/random_id.h"
#include "broker/store/records.h"
#include "broker/store/sqlite_connection.h"
#include "broker/store/sqlite_format.h"
#include "broker/store/sqlite_store.h"
#include "broker/store/store_lock.h"

namespace pylabhub::broker {
namespace {

namespace fs = std::filesystem;

struct OpenedFile {
  SqliteConnection connection;
  CheckedRows checked;
};

absl::Status Prefixed(const std::string& what, const absl::Status& status) {
  return absl::Status(status.code(), absl::StrCat(what, ": ", status.message()));
}

absl::StatusOr<OpenedFile> OpenAndCheck(const std::string& path, uint64_t least_commit_number) {
  if (!fs::exists(path)) return absl::NotFoundError(absl::StrCat("there is no ", path));
  if (absl::Status status = CheckStoreHeader(path); !status.ok()) return Prefixed(path, status);
  absl::StatusOr<SqliteConnection> connection = SqliteConnection::Open(path);
  if (!connection.ok()) return connection.status();
  absl::StatusOr<CheckedRows> checked = ReadAndCheck(*connection, least_commit_number);
  if (!checked.ok()) return Prefixed(path, checked.status());
  return OpenedFile{*std::move(connection), *std::move(checked)};
}

absl::Status CheckSound(const std::string& path) {
  const absl::StatusOr<OpenedFile> opened = OpenAndCheck(path, 0);
  if (!opened.ok()) return opened.status();
  if (opened->checked.damage.empty()) return absl::OkStatus();
  return absl::DataLossError(absl::StrCat(path, " is damaged: ", opened->checked.damage));
}

// A database of one file, with nothing beside it.
absl::Status CopyStore(SqliteConnection& source, const std::string& path) {
  const int descriptor = open(path.c_str(), O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0600);
  if (descriptor < 0)
    return absl::UnavailableError(absl::StrCat("cannot make ", path, ": ", std::strerror(errno)));
  close(descriptor);
  absl::StatusOr<SqliteConnection> copy = SqliteConnection::Create(path);
  if (!copy.ok()) return copy.status();
  absl::Status status = copy->CopyFrom(source);
  if (status.ok()) status = copy->Execute("PRAGMA journal_mode = DELETE");
  return status;
}

absl::Status Rename(const std::string& from, const std::string& to) {
  if (std::rename(from.c_str(), to.c_str()) == 0) return absl::OkStatus();
  return absl::UnavailableError(absl::StrCat("cannot rename ", from, " to ", to, ": ", std::strerror(errno)));
}

void SyncFolder(const std::string& folder) {
  const int descriptor = open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (descriptor < 0) return;
  fsync(descriptor);
  close(descriptor);
}

// Numbers go on above all that may have been given out.
absl::Status GoOnAbove(const std::optional<HistoryRecord>& replaced, absl::Time now,
                       const std::string& folder) {
  absl::StatusOr<std::unique_ptr<Store>> store = OpenSqliteStore(folder);
  if (!store.ok()) return store.status();
  absl::StatusOr<StoredRows> stored = (*store)->Load();
  if (!stored.ok()) return stored.status();
  HistoryRecord history = FromRows(std::move(stored->rows)).history.value_or(HistoryRecord());
  history.history_id = RandomId();
  history.epoch_limit = std::max(history.epoch_limit, static_cast<uint64_t>(absl::ToUnixMicros(now)));
  if (replaced.has_value()) {
    history.epoch_limit = std::max(history.epoch_limit, replaced->epoch_limit);
    history.revision_limit = std::max(history.revision_limit, replaced->revision_limit);
  }
  if (absl::Status status = (*store)->Commit({ToRow({kHistoryKey, history})}); !status.ok()) return status;
  store->reset();
  absl::StatusOr<SqliteConnection> connection = SqliteConnection::Open(StoreFiles(folder).database);
  if (!connection.ok()) return connection.status();
  return connection->Execute("PRAGMA journal_mode = DELETE");
}

// Gives the files of the store another name, and says which.
absl::StatusOr<std::string> MoveAside(const StoreFiles& files, absl::Time now) {
  if (!fs::exists(files.database)) return std::string();
  const std::string aside = absl::StrCat(files.database, ".replaced-",
                                         absl::FormatTime("%Y%m%dT%H%M%E6S", now, absl::UTCTimeZone()));
  if (absl::Status status = Rename(files.database, aside); !status.ok()) return status;
  std::error_code ignored;
  fs::remove(files.database + "-shm", ignored);
  if (fs::exists(files.database + "-wal")) {
    if (absl::Status status = Rename(files.database + "-wal", aside + "-wal"); !status.ok()) return status;
  }
  return aside;
}

}  // namespace

absl::StatusOr<StoreReport> CheckStore(const std::string& folder) {
  const StoreFiles files(folder);
  // Before the store is read: a broker at work only adds to it.
  const uint64_t least_commit_number = StoreLock::LastCommitIn(files.lock);
  absl::StatusOr<OpenedFile> opened = OpenAndCheck(files.database, least_commit_number);
  if (!opened.ok()) return opened.status();
  const KeptRecords kept = FromRows(std::move(opened->checked.rows));
  return StoreReport{.sessions = kept.registry.sessions.size(),
                     .channels = kept.registry.channels.size(),
                     .consumers = kept.registry.consumers.size(),
                     .other_records = kept.opaque.size(),
                     .history = kept.history.value_or(HistoryRecord()),
                     .damage = std::move(opened->checked.damage)};
}

absl::Status BackUpStore(const std::string& folder, const std::string& file) {
  const StoreFiles files(folder);
  if (fs::exists(file)) {
    return absl::AlreadyExistsError(absl::StrCat(file, " is there already; choose another name"));
  }
  if (!fs::exists(files.database)) return absl::NotFoundError(absl::StrCat("there is no ", files.database));
  absl::StatusOr<SqliteConnection> source = SqliteConnection::Open(files.database);
  if (!source.ok()) return source.status();
  const std::string unfinished = file + ".unfinished";
  std::error_code ignored;
  fs::remove(unfinished, ignored);
  absl::Status status = CopyStore(*source, unfinished);
  if (status.ok()) status = CheckSound(unfinished);
  if (status.ok()) status = Rename(unfinished, file);
  if (!status.ok()) fs::remove(unfinished, ignored);
  return status;
}

absl::StatusOr<std::string> RestoreStore(const std::string& folder, const std::string& file, absl::Time now) {
  const StoreFiles files(folder);
  std::error_code ignored;
  fs::create_directories(folder, ignored);
  const absl::StatusOr<std::unique_ptr<StoreLock>> lock = StoreLock::Take(files.lock);
  if (!lock.ok()) return lock.status();
  if (absl::Status status = CheckSound(file); !status.ok()) return status;

  std::optional<HistoryRecord> replaced;
  if (absl::StatusOr<OpenedFile> old = OpenAndCheck(files.database, 0); old.ok()) {
    replaced = FromRows(std::move(old->checked.rows)).history;
  }
  // Made ready elsewhere, so that one rename puts it in its place.
  const std::string workshop = folder + "/restore.unfinished";
  fs::remove_all(workshop, ignored);
  fs::create_directory(workshop, ignored);
  absl::StatusOr<SqliteConnection> copy = SqliteConnection::Open(file);
  absl::Status status = copy.status();
  if (status.ok()) status = CopyStore(*copy, StoreFiles(workshop).database);
  if (status.ok()) status = GoOnAbove(replaced, now, workshop);
  absl::StatusOr<std::string> aside = std::string();
  if (status.ok()) {
    (*lock)->Remember(0);
    aside = MoveAside(files, now);
    status = aside.status();
  }
  if (status.ok()) status = Rename(StoreFiles(workshop).database, files.database);
  SyncFolder(folder);
  fs::remove_all(workshop, ignored);
  if (!status.ok()) return status;
  return aside;
}

}  // namespace pylabhub::broker
