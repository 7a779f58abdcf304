// The memory of a producer, as its Messenger has it made and deposits it.
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
  // Of a producer of this config, which has its defaults, in this segment. `on_moved_on` is told the segment in which the producer
  // goes on, in the producer's thread within its Acquire.
  BlockMemorySource(shm::ChannelConfig config, const shm::WaitOptions& wait, const shm::SegmentId& segment_id,
                    std::function<void(const shm::SegmentId&)> on_moved_on);

  // Makes the producer, which keeps places for those who still read what was left, if that can be read at all.
  absl::Status Begin(std::optional<InheritedMemory> predecessor) override;
  // What Begin made; null if it was not called. Once.
  std::unique_ptr<shm::DataBlockProducer> TakeBlock();

  absl::StatusOr<Deposit> All(bool with_parts_in_use) override;
  absl::StatusOr<Deposit> Renew(const SegmentIdBytes& segment_id,
                                const std::vector<uint32_t>& parts) override;
  void MoveOn(const SegmentIdBytes& segment_id, const std::vector<uint32_t>& excepted_parts) override;

  void Detach();

 private:
  void Add(uint32_t part, const shm::UniqueFd& descriptor, Deposit& deposit) const;

  const shm::ChannelConfig config_;
  const shm::WaitOptions wait_;
  const shm::SegmentId segment_id_;
  const std::vector<shm::PartPlan> plan_;
  const std::vector<std::string> groups_;
  const std::function<void(const shm::SegmentId&)> on_moved_on_;
  // Set by MoveOn, cleared in the producer's thread, which takes no lock. Relaxed: it guards no other memory, and a request that
  // is seen late is made once more by the next heartbeat.
  std::atomic<bool> is_moving_ = false;

  std::mutex mutex_;
  std::unique_ptr<shm::DataBlockProducer> made_;  // guarded by mutex_; until it is taken
  shm::DataBlockProducer* block_ = nullptr;       // guarded by mutex_; null: not begun, or detached
  SegmentIdBytes deposited_ = {};                 // guarded by mutex_: what All told last
};

}  // namespace pylabhub

#endif  // PYLABHUB_CLIENT_BLOCK_MEMORY_SOURCE_H_
