#include "broker/store/checkpointer.h"

#include <utility>

namespace pylabhub::broker {
namespace {

constexpr int kWantedPages = 1000;
// Within what SqliteStore reserves for the log, so that its file need not grow.
constexpr int kFullPages = 1900;
// How much longer a log becomes that a reader holds, before it is tried again.
constexpr int kRetryPages = 1000;

// Failing is no harm: the log holds everything, and it is tried again.
void Move(SqliteConnection& connection) {
  sqlite3_wal_checkpoint_v2(connection.get(), nullptr, SQLITE_CHECKPOINT_PASSIVE, nullptr, nullptr);
}

}  // namespace

absl::StatusOr<std::unique_ptr<Checkpointer>> Checkpointer::Start(SqliteConnection second,
                                                                  SqliteConnection& writer) {
  // Before its first read a connection does not know that there is a log, and a checkpoint of it does nothing.
  const absl::StatusOr<int64_t> version = second.QueryInteger("PRAGMA schema_version");
  if (!version.ok()) return version.status();
  return std::unique_ptr<Checkpointer>(new Checkpointer(std::move(second), writer));
}

Checkpointer::Checkpointer(SqliteConnection second, SqliteConnection& writer)
    : connection_(std::move(second)),
      writer_(writer),
      wanted_from_(kWantedPages),
      full_from_(kFullPages),
      thread_([this] { Run(); }) {}

Checkpointer::~Checkpointer() {
  {
    const std::lock_guard lock(mutex_);
    stopped_ = true;
  }
  noted_.notify_one();
  thread_.join();
}

void Checkpointer::Note(int log_pages) {
  if (log_pages < std::exchange(log_pages_, log_pages)) {
    wanted_from_ = kWantedPages;
    full_from_ = kFullPages;
  }
  if (log_pages >= full_from_) {
    full_from_ = log_pages + kRetryPages;
    const std::lock_guard moving(moving_);
    Move(writer_);
  } else if (log_pages >= wanted_from_) {
    // Once: what is left then is for the one who commits.
    wanted_from_ = full_from_;
    {
      const std::lock_guard lock(mutex_);
      wanted_ = true;
    }
    noted_.notify_one();
  }
}

void Checkpointer::Run() {
  std::unique_lock lock(mutex_);
  while (true) {
    noted_.wait(lock, [this] { return wanted_ || stopped_; });
    if (stopped_) return;
    wanted_ = false;
    lock.unlock();
    {
      const std::lock_guard moving(moving_);
      Move(connection_);
    }
    lock.lock();
  }
}

}  // namespace pylabhub::broker
