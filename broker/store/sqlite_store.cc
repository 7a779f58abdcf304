#include "broker/store/sqlite_store.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <system_error>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "broker/store/checkpointer.h"
#include "broker/store/sqlite_connection.h"
#include "broker/store/sqlite_format.h"
#include "broker/store/store_lock.h"

namespace pylabhub::broker {
namespace {

// Longer than the checkpointer lets the log become, and some more for what comes meanwhile.
constexpr size_t kLogBytes = size_t{8} << 20;

absl::Status ErrnoStatus(const std::string& doing) {
  const std::string message = absl::StrCat(doing, ": ", std::strerror(errno));
  return errno == ENOSPC ? absl::ResourceExhaustedError(message) : absl::UnavailableError(message);
}

std::string HowToMend(const std::string& folder) {
  return absl::StrCat(
      "; put a backup in its place with `pylabhub-broker restore --state-dir ", folder,
      " BACKUP`; if there is none, move broker.db* away: clients then register again by themselves");
}

absl::Status Sync(const std::string& path) {
  const int descriptor = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  const bool synced = descriptor >= 0 && fsync(descriptor) == 0;
  absl::Status status = synced ? absl::OkStatus() : ErrnoStatus("cannot synchronise " + path);
  if (descriptor >= 0) close(descriptor);
  return status;
}

// Under another name first, so that a file of this name was once whole.
absl::Status MakeStore(const StoreFiles& files) {
  const std::string unfinished = files.database + ".new";
  std::error_code ignored;
  std::filesystem::remove(unfinished, ignored);
  // SQLite would ask the umask for the mode; a log beside the file gets the mode of the file.
  const int descriptor = open(unfinished.c_str(), O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0600);
  if (descriptor < 0) return ErrnoStatus("cannot make " + unfinished);
  close(descriptor);
  absl::Status status = MakeStoreFile(unfinished);
  status.Update(Sync(unfinished));
  if (status.ok() && std::rename(unfinished.c_str(), files.database.c_str()) != 0) {
    status = ErrnoStatus("cannot make " + files.database);
  }
  status.Update(Sync(files.folder));
  return status;
}

// Fills the log's file up with zeros, which are no frames of a log. A disk that is full shows at the first commit.
void ReserveLog(const std::string& path) {
  const int descriptor = open(path.c_str(), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
  if (descriptor < 0) return;
  struct stat status = {};
  fstat(descriptor, &status);
  const std::vector<char> zeros(size_t{1} << 16);
  bool good = true;
  for (auto bytes = static_cast<size_t>(status.st_size); good && bytes < kLogBytes; bytes += zeros.size()) {
    good = write(descriptor, zeros.data(), zeros.size()) == static_cast<ssize_t>(zeros.size());
  }
  fsync(descriptor);
  close(descriptor);
}

class SqliteStore final : public Store {
 public:
  SqliteStore(StoreFiles files, std::unique_ptr<StoreLock> lock)
      : files_(std::move(files)), lock_(std::move(lock)) {}

  ~SqliteStore() override {
    checkpointer_.reset();
    // So that the next start has no log to read. Best effort: the log is as good.
    if (writable_)
      sqlite3_wal_checkpoint_v2(connection_.get(), nullptr, SQLITE_CHECKPOINT_PASSIVE, nullptr, nullptr);
  }

  absl::Status Open() {
    absl::StatusOr<SqliteConnection> connection = SqliteConnection::Open(files_.database);
    if (!connection.ok()) return connection.status();
    connection_ = *std::move(connection);
    // The log's file outlives its connections, with the blocks that it has.
    int keep = 1;
    sqlite3_file_control(connection_.get(), nullptr, SQLITE_FCNTL_PERSIST_WAL, &keep);
    return absl::OkStatus();
  }

  absl::StatusOr<StoredRows> Load() override {
    absl::StatusOr<CheckedRows> checked = ReadAndCheck(connection_, StoreLock::LastCommitIn(files_.lock));
    if (!checked.ok()) return checked.status();
    if (!checked->damage.empty()) {
      return StoredRows{.rows = std::move(checked->rows),
                        .damage = absl::StrCat("the store ", files_.database,
                                               " is damaged: ", checked->damage, HowToMend(files_.folder))};
    }
    digest_ = checked->digest;
    // Only now: a damaged store is left as it is.
    if (absl::Status status = PrepareToWrite(); !status.ok()) return status;
    return StoredRows{.rows = std::move(checked->rows)};
  }

  absl::Status Commit(const std::vector<Row>& rows) override {
    if (!writable_) return absl::FailedPreconditionError("the store was not loaded, or is damaged");
    Digest digest = digest_;
    ++digest.commit_number;
    absl::Status status = begin_.Run();
    for (const Row& row : rows) {
      if (!status.ok()) break;
      status = Write(row, digest);
    }
    if (status.ok()) status = WriteDigest(digest);
    if (status.ok()) status = commit_.Run();
    if (!status.ok()) {
      connection_.Execute("ROLLBACK").IgnoreError();
      return status;
    }
    digest_ = digest;
    lock_->Remember(digest_.commit_number);
    checkpointer_->Note(log_pages_);
    return absl::OkStatus();
  }

 private:
  absl::Status PrepareToWrite() {
    // A log that has grown beyond what is reserved, while somebody read, is cut when it begins anew.
    absl::Status status = connection_.Execute(
        absl::StrCat("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA wal_autocheckpoint = 0;"
                     " PRAGMA journal_size_limit = ",
                     kLogBytes));
    if (status.ok()) ReserveLog(files_.database + "-wal");
    const auto prepare = [&](SqliteStatement& statement, absl::string_view sql) {
      absl::StatusOr<SqliteStatement> prepared = connection_.Prepare(sql);
      status.Update(prepared.status());
      if (prepared.ok()) statement = *std::move(prepared);
    };
    prepare(begin_, "BEGIN IMMEDIATE");
    prepare(commit_, "COMMIT");
    prepare(find_, "SELECT checksum FROM record WHERE key = ?1");
    prepare(put_,
            "INSERT INTO record VALUES(?1, ?2, ?3) ON CONFLICT(key) DO UPDATE SET value = ?2, checksum = ?3");
    prepare(remove_, "DELETE FROM record WHERE key = ?1");
    prepare(set_digest_, "UPDATE digest SET commit_number = ?1, row_count = ?2, sum = ?3, checksum = ?4");
    if (!status.ok()) return status;
    // What the last broker left in the log goes into the database, so that the log begins anew.
    sqlite3_wal_checkpoint_v2(connection_.get(), nullptr, SQLITE_CHECKPOINT_PASSIVE, nullptr, nullptr);
    sqlite3_wal_hook(
        connection_.get(),
        [](void* store, sqlite3*, const char*, int pages) {
          static_cast<SqliteStore*>(store)->log_pages_ = pages;
          return SQLITE_OK;
        },
        this);
    absl::StatusOr<SqliteConnection> second = SqliteConnection::Open(files_.database);
    if (!second.ok()) return second.status();
    auto checkpointer = Checkpointer::Start(*std::move(second), connection_);
    if (!checkpointer.ok()) return checkpointer.status();
    checkpointer_ = *std::move(checkpointer);
    lock_->Remember(digest_.commit_number);
    writable_ = true;
    return absl::OkStatus();
  }

  absl::Status Write(const Row& row, Digest& digest) {
    find_.BindText(1, row.key);
    const absl::StatusOr<bool> found = find_.Step();
    if (found.ok() && *found) {
      digest.sum -= static_cast<uint64_t>(find_.Integer(0));
      --digest.row_count;
    }
    find_.Reset();
    if (!found.ok()) return found.status();
    SqliteStatement& write = row.value.has_value() ? put_ : remove_;
    write.BindText(1, row.key);
    if (row.value.has_value()) {
      const uint64_t checksum = ChecksumOfRow(row.key, *row.value);
      write.BindBlob(2, *row.value);
      write.BindInteger(3, static_cast<int64_t>(checksum));
      digest.sum += checksum;
      ++digest.row_count;
    }
    return write.Run();
  }

  absl::Status WriteDigest(const Digest& digest) {
    set_digest_.BindInteger(1, static_cast<int64_t>(digest.commit_number));
    set_digest_.BindInteger(2, static_cast<int64_t>(digest.row_count));
    set_digest_.BindInteger(3, static_cast<int64_t>(digest.sum));
    set_digest_.BindInteger(4, static_cast<int64_t>(ChecksumOf(digest)));
    return set_digest_.Run();
  }

  const StoreFiles files_;
  const std::unique_ptr<StoreLock> lock_;
  SqliteConnection connection_;
  SqliteStatement begin_;
  SqliteStatement commit_;
  SqliteStatement find_;
  SqliteStatement put_;
  SqliteStatement remove_;
  SqliteStatement set_digest_;
  bool writable_ = false;
  Digest digest_;      // of what is committed
  int log_pages_ = 0;  // after the last commit
  std::unique_ptr<Checkpointer> checkpointer_;
};

}  // namespace

StoreFiles::StoreFiles(const std::string& state_folder)
    : folder(state_folder), database(state_folder + "/broker.db"), lock(state_folder + "/broker.lock") {}

absl::StatusOr<std::unique_ptr<Store>> OpenSqliteStore(const std::string& folder) {
  const StoreFiles files(folder);
  std::error_code error;
  std::filesystem::create_directories(folder, error);
  absl::StatusOr<std::unique_ptr<StoreLock>> lock = StoreLock::Take(files.lock);
  if (!lock.ok()) return lock.status();
  if (!std::filesystem::exists(files.database)) {
    if (absl::Status status = MakeStore(files); !status.ok()) return status;
  }
  if (absl::Status status = CheckStoreHeader(files.database); !status.ok()) {
    return absl::Status(
        status.code(), absl::StrCat("the store ", files.database, ": ", status.message(), HowToMend(folder)));
  }
  auto store = std::make_unique<SqliteStore>(files, *std::move(lock));
  if (absl::Status status = store->Open(); !status.ok()) return status;
  return store;
}

}  // namespace pylabhub::broker
