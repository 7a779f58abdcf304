// Moves a store's write-ahead log into its database, so that the log begins anew in the blocks that its file has.
//
//   pages in the log   who                       commits meanwhile
//   1,000              a thread of its own       go on, and keep the log from beginning anew
//   1,900              who commits, with little  wait
//                      that is left to move
//
// A log that is moved as a whole begins anew with the next commit. Under a steady load that takes the second step, once
// in hundreds of commits; else the first is enough. A reader, a backup say, may keep the log from being moved: then it
// grows, and every 1,000 pages it is tried again.
#ifndef PYLABHUB_BROKER_STORE_CHECKPOINTER_H_
#define PYLABHUB_BROKER_STORE_CHECKPOINTER_H_

#include <condition_variable>
#include <memory>
#include <mutex>
#include <thread>

#include "absl/status/statusor.h"
#include "broker/store/sqlite_connection.h"

namespace pylabhub::broker {

// Thread safety: Note by one thread at a time, the one that commits.
class Checkpointer {
 public:
  // `second` is a connection to the same file as `writer`'s, which outlives the checkpointer.
  //
  // Errors: what SQLite says of a first read
  static absl::StatusOr<std::unique_ptr<Checkpointer>> Start(SqliteConnection second,
                                                             SqliteConnection& writer);
  ~Checkpointer();
  Checkpointer(const Checkpointer&) = delete;
  Checkpointer& operator=(const Checkpointer&) = delete;

  // Told after each commit how long the log is.
  void Note(int log_pages);

 private:
  Checkpointer(SqliteConnection second, SqliteConnection& writer);

  void Run();

  SqliteConnection connection_;
  SqliteConnection& writer_;
  // What Note last heard, and from where on it sees to it.
  int log_pages_ = 0;
  int wanted_from_;
  int full_from_;
  // Held while the log is moved.
  std::mutex moving_;
  std::mutex mutex_;
  std::condition_variable noted_;
  // Both under mutex_.
  bool wanted_ = false;
  bool stopped_ = false;
  std::thread thread_;
};

}  // namespace pylabhub::broker

#endif  // PYLABHUB_BROKER_STORE_CHECKPOINTER_H_
