#include "client/recording/batch_queue.h"

#include <utility>

namespace pylabhub::recording {
namespace {

// More would only keep memory that a burst needed once.
constexpr size_t kMostSpare = 8;

}  // namespace

Batch BatchQueue::Fresh(size_t channel) {
  Batch batch;
  {
    const absl::MutexLock lock(&mutex_);
    if (!spare_.empty()) {
      batch = std::move(spare_.back());
      spare_.pop_back();
    }
  }
  batch.channel = channel;
  return batch;
}

bool BatchQueue::HasRoom() const { return abandoned_ || batches_.empty() || bytes_ < capacity_bytes_; }

bool BatchQueue::HasNews() const { return closed_ || !batches_.empty(); }

bool BatchQueue::Push(Batch batch) {
  const absl::MutexLock lock(&mutex_, absl::Condition(this, &BatchQueue::HasRoom));
  if (abandoned_) return false;
  bytes_ += batch.bytes();
  batches_.push_back(std::move(batch));
  return true;
}

void BatchQueue::Close() {
  const absl::MutexLock lock(&mutex_);
  closed_ = true;
}

std::optional<Batch> BatchQueue::Pop(absl::Duration timeout) {
  const absl::MutexLock lock(&mutex_);
  mutex_.AwaitWithTimeout(absl::Condition(this, &BatchQueue::HasNews), timeout);
  if (batches_.empty()) return std::nullopt;
  Batch batch = std::move(batches_.front());
  batches_.pop_front();
  bytes_ -= batch.bytes();
  return batch;
}

void BatchQueue::Recycle(Batch batch) {
  batch.Clear();
  const absl::MutexLock lock(&mutex_);
  if (spare_.size() < kMostSpare) spare_.push_back(std::move(batch));
}

bool BatchQueue::Finished() const {
  const absl::MutexLock lock(&mutex_);
  return closed_ && batches_.empty();
}

void BatchQueue::Abandon() {
  const absl::MutexLock lock(&mutex_);
  abandoned_ = true;
}

size_t BatchQueue::bytes() const {
  const absl::MutexLock lock(&mutex_);
  return bytes_;
}

}  // namespace pylabhub::recording
