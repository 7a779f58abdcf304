// Batches from the thread that reads channels to the one that writes the file: bounded, in order, memory used again.
//
// Thread safety: thread-safe; one thread pushes, one pops.
#ifndef PYLABHUB_CLIENT_RECORDING_BATCH_QUEUE_H_
#define PYLABHUB_CLIENT_RECORDING_BATCH_QUEUE_H_

#include <condition_variable>
#include <cstddef>
#include <deque>
#include <mutex>
#include <optional>
#include <vector>

#include "absl/time/time.h"
#include "client/recording/batch.h"

namespace pylabhub::recording {

class BatchQueue {
 public:
  // Holds so many bytes of batches, but always one batch.
  explicit BatchQueue(size_t capacity_bytes) : capacity_bytes_(capacity_bytes) {}

  // An empty batch, with the memory of one that was written if there is one.
  Batch Fresh(size_t channel);
  // Waits for room. False if nobody will write it: Abandon was called.
  bool Push(Batch batch);
  // No more batches come.
  void Close();

  // Waits at most `timeout` for a batch. Nothing if none came, or none will.
  std::optional<Batch> Pop(absl::Duration timeout);
  // Gives a batch's memory back.
  void Recycle(Batch batch);
  // True once it is closed and every batch was popped.
  bool Finished() const;
  // Whoever pushes waits no longer.
  void Abandon();

  size_t bytes() const;
  size_t capacity_bytes() const { return capacity_bytes_; }

 private:
  // Under mutex_.
  bool HasRoom() const { return abandoned_ || batches_.empty() || bytes_ < capacity_bytes_; }
  bool HasNews() const { return closed_ || !batches_.empty(); }

  const size_t capacity_bytes_;
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  // All are guarded by mutex_.
  std::deque<Batch> batches_;
  std::vector<Batch> spare_;
  size_t bytes_ = 0;
  bool closed_ = false;
  bool abandoned_ = false;
};

}  // namespace pylabhub::recording

#endif  // PYLABHUB_CLIENT_RECORDING_BATCH_QUEUE_H_
