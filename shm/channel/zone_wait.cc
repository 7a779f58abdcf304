#include "shm/channel/zone_wait.h"

#include "shm/channel/wait.h"
#include "shm/ring/zone.h"

namespace pylabhub::shm {
namespace {

// How the producer went, or kOk.
SlotResult HowItWent(const OpenedSegment& segment) {
  const std::atomic<uint64_t>& closed_at = segment.data_view.header->wait.closed_at;
  const bool lives = segment.ProducerLives();
  // After the look at its lock: it closes the channel before it drops that. Acquire: who sees the channel closed sees
  // every version.
  if (closed_at.load(std::memory_order_acquire) != 0) return SlotResult::kProducerClosed;
  return lives ? SlotResult::kOk : SlotResult::kProducerDead;
}

}  // namespace

SlotResult WaitForZone(const OpenedSegment& segment, uint64_t after_version, const WaitOptions& options,
                       absl::Duration timeout) {
  if (segment.data_view.geometry.zone_bytes == 0) return SlotResult::kNoZone;
  const ZoneReader zone(segment.data_view);
  const auto changed = [&] { return zone.version() > after_version; };
  Wait wait(options, timeout);
  for (;;) {
    if (wait.Spin(changed)) return SlotResult::kOk;
    const uint64_t seen = zone.version();
    const SlotResult went = HowItWent(segment);
    // It may have written between the last look at the zone and its end.
    if (changed()) return SlotResult::kOk;
    if (went != SlotResult::kOk) return went;
    if (wait.expired()) return SlotResult::kTimeout;
    // No edge of its own: the kernel compares the words before it sleeps, and each write and the end wake.
    if (wait.may_sleep()) zone.Sleep(seen, wait.SleepTime(/*first=*/false));
  }
}

}  // namespace pylabhub::shm
