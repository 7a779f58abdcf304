// One segment as its producer works on it: the ring, the zone, the places that are kept, and how to wait for room. Everything
// that is replaced when the producer moves on.
//
// Thread safety: belongs to the producer's thread, but for what is said of a member. Whoever replaces it, or its parts, while
//                others may call those, sees to it that none does.
// Ownership:     owns its memory, its producer's lock and, if it has a name, the anchor; its end closes the segment.
// Fork:          in a child of fork() it touches nothing.
#ifndef PYLABHUB_SHM_CHANNEL_PRODUCER_SEGMENT_H_
#define PYLABHUB_SHM_CHANNEL_PRODUCER_SEGMENT_H_

#include <cstddef>
#include <cstdint>
#include <optional>
#include <utility>
#include <vector>

#include "absl/time/time.h"
#include "shm/channel/anchor.h"
#include "shm/channel/channel_files.h"
#include "shm/channel/kept_places.h"
#include "shm/channel/part_supply.h"
#include "shm/channel/patience.h"
#include "shm/channel/segment.h"
#include "shm/channel/succession.h"
#include "shm/channel/wait.h"
#include "shm/channel_config.h"
#include "shm/os/crash_point.h"
#include "shm/os/fork_guard.h"
#include "shm/ring/consumer_roster.h"
#include "shm/ring/ring_writer.h"
#include "shm/ring/zone.h"
#include "shm/segment_id.h"
#include "shm/slot_result.h"

namespace pylabhub::shm {

// Where a named channel's consumers find its segment.
struct NamedHome {
  ChannelFiles files;
  std::optional<Anchor> anchor;
};

class ProducerSegment {
 public:
  // Has a name (`home`), or is handed over (`supply`, which must outlive it).
  ProducerSegment(ChannelConfig config, const WaitOptions& wait, std::optional<NamedHome> home,
                  const PartSupply* supply, CreatedSegment segment, Succession succession,
                  const SegmentId& segment_id, const SegmentId& predecessor_id);
  ~ProducerSegment();
  ProducerSegment(const ProducerSegment&) = delete;
  ProducerSegment& operator=(const ProducerSegment&) = delete;

  void Publish();
  // Removes what earlier producers left and nobody uses.
  void RemoveAbandonedSegments() const;

  bool forked() const { return generation_ != ForkGeneration(); }
  RingWriter& writer() { return writer_; }
  const RingWriter& writer() const { return writer_; }
  std::optional<ZoneWriter>& zone() { return zone_; }
  const ChannelConfig& config() const { return config_; }
  const SegmentId& segment_id() const { return segment_id_; }
  const SegmentId& predecessor_id() const { return predecessor_id_; }
  const WaitOptions& wait() const { return wait_; }
  const DataHeader& header() const { return *segment_.data_segment.header; }

  // True if DoChores has something to do.
  bool has_chores() const { return has_chores_; }
  void DoChores();

  void RenewPart(PartSupply::Renewal renewal);

  // By index: parts at which somebody sits, or is still to come from an earlier segment; and those of groups, which may have
  // slots left.
  std::vector<bool> PartsForSuccessor() const;
  // Nobody is waited for here any more: the successor does.
  Succession TakeSuccession() { return kept_places_.TakeSuccession(); }
  // This one goes on where `last` was.
  void Continue(const ProducerSegment& last, const DataView& last_view);

  // A producer that has found many slots free is taken to be awake: its consumers need not fence any more.
  void NoteSlotWithoutSleep() {
    if (!may_sleep_ || ++slots_since_sleep_ < kSlotsToBeAwake) [[likely]]
      return;
    may_sleep_ = false;
    segment_.data_segment.header->wait.may_sleep.store(0, std::memory_order_relaxed);
    PYLABHUB_CRASH_POINT("producer.awake.said");
  }

  // Consumers that are attached and live. Thread-safe.
  uint32_t CountConsumers() const;

  // `slots` slots, or as many as can be had, at least one.
  [[gnu::always_inline]] bool TryAcquire(size_t slots) {
    if (!ready_to_start_) [[unlikely]] {
      roster_.Refresh(writer_.next_sequence());
      if (roster_.CountSettled() < config_.min_consumers) return false;
      // Nobody is written for who died before the start.
      const bool evicted = roster_.EvictAllDead();
      writer_.PublishNewRosterCounters();
      if (evicted && roster_.CountSettled() < config_.min_consumers) return false;
      ready_to_start_ = true;
    }
    return slots == 1 ? writer_.TryAcquire() : writer_.TryAcquireBatch(slots);
  }

  // Waits for what TryAcquire gives. None: another thread has asked for something, which comes first.
  std::optional<SlotResult> WaitForSlots(size_t slots, absl::Duration timeout);

 private:
  // A producer that found so many slots free in a row is taken to be awake.
  static constexpr uint32_t kSlotsToBeAwake = 64;

  // Who holds the next slot back; nobody before the first one, while consumers are still to come.
  std::optional<ConsumerRoster::Slowest> Blocker();
  // Asks the kernel about those who hold the next slot back. True if one of them does so no longer.
  bool LookAtPeers();
  // How much longer `blocker` may hold the next slot up. A group may for ever.
  absl::Duration PatienceWith(const ConsumerRoster::Slowest& blocker);
  // True if `blocker` has held the next slot up for long enough, and does so no longer.
  bool GiveUpOnTheSlow(const ConsumerRoster::Slowest& blocker);
  // Sleeps until somebody joins or leaves.
  void SleepForMember(const Wait& wait);
  // Sleeps until `blocker`, which holds the next slot back, goes on.
  void SleepFor(const ConsumerRoster::Slowest& blocker, const Wait& wait);

  ChannelConfig config_;
  WaitOptions wait_;
  std::optional<NamedHome> home_;
  const PartSupply* supply_;
  CreatedSegment segment_;
  SegmentId segment_id_;
  SegmentId predecessor_id_;
  ConsumerRoster roster_;
  RingWriter writer_;
  std::optional<ZoneWriter> zone_;
  KeptPlaces kept_places_;
  bool has_chores_;
  LivenessTimer liveness_;
  PatienceClock patience_;
  bool may_sleep_ = false;  // what consumers were told
  uint32_t slots_since_sleep_ = 0;
  bool ready_to_start_ = false;
  uint64_t generation_ = ForkGeneration();
};

}  // namespace pylabhub::shm

#endif  // PYLABHUB_SHM_CHANNEL_PRODUCER_SEGMENT_H_
