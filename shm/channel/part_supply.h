// What other threads than the writer's do with the parts of a segment that is handed over: they get copies of its descriptors,
// replace parts by fresh ones, and ask its producer to move on. What they ask for waits here until the producer looks.
//
// Thread safety: thread-safe; Take and MoveTo are for the producer's thread.
// Ownership:     owns the descriptors that are handed over.
#ifndef PYLABHUB_SHM_CHANNEL_PART_SUPPLY_H_
#define PYLABHUB_SHM_CHANNEL_PART_SUPPLY_H_

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <mutex>
#include <span>
#include <vector>

#include "absl/status/statusor.h"
#include "shm/channel/segment.h"
#include "shm/channel_config.h"
#include "shm/handed_over.h"
#include "shm/os/fork_guard.h"
#include "shm/part_plan.h"
#include "shm/segment_descriptors.h"
#include "shm/segment_id.h"

namespace pylabhub::shm {

class PartSupply {
 public:
  PartSupply(ChannelConfig config, const SegmentId& segment_id, SegmentDescriptors descriptors);

  // These are as DataBlockProducer says.
  absl::StatusOr<HandedOver> Duplicate() const;
  absl::StatusOr<RenewedParts> Renew(const SegmentId& segment_id, std::span<const uint32_t> parts);
  std::vector<uint32_t> InUse() const;
  void RequestMoveOn(std::vector<uint32_t> except_places, MovedOn moved_on);

  // True if somebody has asked for something. Costs the producer a load.
  bool asked() const { return asked_.load(std::memory_order_relaxed); }

  struct Renewal {
    uint32_t index;
    ControlPart fresh;
  };
  struct Wishes {
    std::vector<Renewal> renewals;  // in the order in which they were asked for
    std::vector<uint32_t> except_places;
    std::vector<MovedOn> moved_on;  // not empty: move on
  };
  // What was asked for since the last call.
  Wishes Take();

  // From now on it is about another segment of the channel. Renewals that were not taken are forgotten.
  void MoveTo(const SegmentId& segment_id, SegmentDescriptors descriptors);
  // For the producer's thread, which alone changes them.
  const SegmentDescriptors& descriptors() const { return descriptors_; }

 private:
  absl::Status CheckRenewable(const SegmentId& segment_id, std::span<const uint32_t> parts) const;
  bool forked() const { return generation_ != ForkGeneration(); }

  const ChannelConfig config_;
  const std::vector<PartPlan> plan_;
  const uint64_t generation_ = ForkGeneration();
  std::mutex renewing_;       // held before mutex_: one renewal at a time
  mutable std::mutex mutex_;  // guards everything below
  SegmentId segment_id_;
  SegmentDescriptors descriptors_;
  std::vector<uint32_t> renewals_;  // by part
  Wishes wishes_;
  std::atomic<bool> asked_ = false;
};

}  // namespace pylabhub::shm

#endif  // PYLABHUB_SHM_CHANNEL_PART_SUPPLY_H_
