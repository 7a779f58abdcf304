// Takes the slots of several channels out of shared memory, into batches for whoever writes them.
//
// Slots are copied and given back at once, so that a slow disk holds up a producer, or costs slots of one that does not wait,
// only when the queue is full. What interrupts the slots (format.h, GapKind) is in the batches too, in its place.
//
// Thread safety: Run belongs to one thread; Stop may be called by any.
// Time:          a batch is handed over when it is large, or 200 ms old.
// Ownership:     the queue must outlive the collector.
#ifndef PYLABHUB_CLIENT_RECORDING_SLOT_COLLECTOR_H_
#define PYLABHUB_CLIENT_RECORDING_SLOT_COLLECTOR_H_

#include <atomic>
#include <cstdint>
#include <memory>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "client/channel.h"
#include "client/recording/batch.h"
#include "client/recording/batch_queue.h"
#include "shm/wait_set.h"

namespace pylabhub::recording {

class SlotCollector {
 public:
  // Channel i of `channels` is number i of its batches. `follow` is how long it waits for the next producer when one is gone.
  SlotCollector(std::vector<ChannelConsumer> channels, absl::Duration follow, BatchQueue& queue);
  ~SlotCollector();
  SlotCollector(const SlotCollector&) = delete;
  SlotCollector& operator=(const SlotCollector&) = delete;

  // Until Stop, or every channel has ended, or the queue was abandoned. Closes the queue.
  void Run();
  void Stop();

 private:
  class Source;
  bool RunOnce();
  bool Continues() const;

  BatchQueue& queue_;
  std::atomic<bool> stopped_ = false;
  shm::WaitSet wait_set_;
  std::vector<std::unique_ptr<Source>> sources_;  // gone before the set
};

}  // namespace pylabhub::recording

#endif  // PYLABHUB_CLIENT_RECORDING_SLOT_COLLECTOR_H_
