// Moves a store's write-ahead log into its database, on a thread and a connection of its own.
#ifndef PYLABHUB_BROKER_STORE_CHECKPOINTER_H_
#define PYLABHUB_BROKER_STORE_CHECKPOINTER_H_

#include <condition_variable>
#include <mutex>
#include <thread>
#include <utility>

#include "broker/store/sqlite_connection.h"

namespace pylabhub::broker {

// Thread safety: thread-safe.
class Checkpointer {
 public:
  explicit Checkpointer(SqliteConnection connection);
  ~Checkpointer();
  Checkpointer(const Checkpointer&) = delete;
  Checkpointer& operator=(const Checkpointer&) = delete;

  // Told after each commit how long the log is.
  void Note(int log_pages);

 private:
  void Run();

  SqliteConnection connection_;
  std::mutex mutex_;
  std::condition_variable noted_;
  // Both under mutex_.
  bool wanted_ = false;
  bool stopped_ = false;
  std::thread thread_;
};

}  // namespace pylabhub::broker

#endif  // PYLABHUB_BROKER_STORE_CHECKPOINTER_H_
