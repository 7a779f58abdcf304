#include "client/recording/batch_queue.h"

#include <algorithm>
#include <utility>

namespace pylabhub::recording {
namespace {

// More would only keep memory that a burst needed once.
constexpr size_t kMostSpare = 8;
// Longer than any recording, and short enough for the clock's arithmetic.
constexpr absl::Duration kForEver = absl::Hours(24 * 365);

}  // namespace

Batch BatchQueue::Fresh(size_t channel) {
  Batch batch;
  {
    const std::lock_guard lock(mutex_);
    if (!spare_.empty()) {
      batch = std::move(spare_.back());
      spare_.pop_back();
    }
  }
  batch.channel = channel;
  return batch;
}

bool BatchQueue::Push(Batch batch) {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [this] { return HasRoom(); });
  if (abandoned_) return false;
  bytes_ += batch.bytes();
  batches_.push_back(std::move(batch));
  changed_.notify_all();
  return true;
}

void BatchQueue::Close() {
  const std::lock_guard lock(mutex_);
  closed_ = true;
  changed_.notify_all();
}

std::optional<Batch> BatchQueue::Pop(absl::Duration timeout) {
  std::unique_lock lock(mutex_);
  changed_.wait_for(lock, absl::ToChronoNanoseconds(std::min(timeout, kForEver)),
                    [this] { return HasNews(); });
  if (batches_.empty()) return std::nullopt;
  Batch batch = std::move(batches_.front());
  batches_.pop_front();
  bytes_ -= batch.bytes();
  changed_.notify_all();
  return batch;
}

void BatchQueue::Recycle(Batch batch) {
  batch.Clear();
  const std::lock_guard lock(mutex_);
  if (spare_.size() < kMostSpare) spare_.push_back(std::move(batch));
}

bool BatchQueue::Finished() const {
  const std::lock_guard lock(mutex_);
  return closed_ && batches_.empty();
}

void BatchQueue::Abandon() {
  const std::lock_guard lock(mutex_);
  abandoned_ = true;
  changed_.notify_all();
}

size_t BatchQueue::bytes() const {
  const std::lock_guard lock(mutex_);
  return bytes_;
}

}  // namespace pylabhub::recording
