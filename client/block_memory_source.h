// The memory of a producer, as its Messenger deposits it.
//
// Thread safety: thread-safe. Detach comes before the producer's end, in the producer's thread and not within its Acquire; no call
//                is under way when it returns, and later ones answer kCancelled.
#ifndef PYLABHUB_CLIENT_BLOCK_MEMORY_SOURCE_H_
#define PYLABHUB_CLIENT_BLOCK_MEMORY_SOURCE_H_

#include <atomic>
#include <functional>
#include <memory>
#include <mutex>
#include <vector>

#include "absl/status/statusor.h"
#include "client/handed_memory.h"
#include "shm/channel_config.h"
#include "shm/data_block_producer.h"
#include "shm/part_plan.h"
#include "shm/segment_descriptors.h"
#include "shm/segment_id.h"

namespace pylabhub {

class BlockMemorySource final : public MemorySource, public std::enable_shared_from_this<BlockMemorySource> {
 public:
  // `on_moved_on` is told the segment in which the producer goes on, in the producer's thread within its Acquire.
  BlockMemorySource(shm::DataBlockProducer& block, std::function<void(const shm::SegmentId&)> on_moved_on);

  absl::StatusOr<Deposit> All() override;
  absl::StatusOr<Deposit> Renew(const SegmentIdBytes& segment_id,
                                const std::vector<uint32_t>& parts) override;
  void MoveOn(const SegmentIdBytes& segment_id, const std::vector<uint32_t>& excepted_parts) override;

  void Detach();

 private:
  void Add(uint32_t part, const shm::UniqueFd& descriptor, Deposit& deposit) const;

  const std::vector<shm::PartPlan> plan_;
  const std::vector<std::string> groups_;
  const std::function<void(const shm::SegmentId&)> on_moved_on_;
  // Set by MoveOn, cleared in the producer's thread, which takes no lock. Relaxed: it guards no other memory, and a request that
  // is seen late is made once more by the next heartbeat.
  std::atomic<bool> is_moving_ = false;

  std::mutex mutex_;
  shm::DataBlockProducer* block_;  // guarded by mutex_; null: detached
  SegmentIdBytes deposited_ = {};  // guarded by mutex_: what All told last
};

}  // namespace pylabhub

#endif  // PYLABHUB_CLIENT_BLOCK_MEMORY_SOURCE_H_
