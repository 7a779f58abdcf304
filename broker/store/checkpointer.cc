#include "broker/store/checkpointer.h"

namespace pylabhub::broker {
namespace {

constexpr int kWantedPages = 1000;
// A log that a steady load has let grow beyond this is cut, although commits wait for it for some milliseconds.
constexpr int kTooManyPages = 16'384;

}  // namespace

Checkpointer::Checkpointer(SqliteConnection connection)
    : connection_(std::move(connection)), thread_([this] { Run(); }) {}

Checkpointer::~Checkpointer() {
  {
    const std::lock_guard lock(mutex_);
    stopped_ = true;
  }
  noted_.notify_one();
  thread_.join();
}

void Checkpointer::Note(int log_pages) {
  if (log_pages < kWantedPages) return;
  {
    const std::lock_guard lock(mutex_);
    wanted_ = true;
  }
  noted_.notify_one();
}

void Checkpointer::Run() {
  std::unique_lock lock(mutex_);
  while (true) {
    noted_.wait(lock, [this] { return wanted_ || stopped_; });
    if (stopped_) return;
    wanted_ = false;
    lock.unlock();
    int log_pages = 0;
    // Failing is no harm: the log holds everything, and the next commit asks again.
    sqlite3_wal_checkpoint_v2(connection_.get(), nullptr, SQLITE_CHECKPOINT_PASSIVE, &log_pages, nullptr);
    if (log_pages > kTooManyPages) {
      sqlite3_wal_checkpoint_v2(connection_.get(), nullptr, SQLITE_CHECKPOINT_RESTART, nullptr, nullptr);
    }
    lock.lock();
  }
}

}  // namespace pylabhub::broker
