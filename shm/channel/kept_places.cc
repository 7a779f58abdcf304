#include "shm/channel/kept_places.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "shm/os/crash_point.h"
#include "shm/segment/layout.h"

namespace pylabhub::shm {

absl::Status CheckRoomForHeirs(const ChannelConfig& config, uint32_t places, const Succession& succession) {
  for (const Succession::Heir& heir : succession.heirs()) {
    if (heir.place < places) continue;
    return absl::ResourceExhaustedError(
        absl::StrCat("channel '", config.channel, "' has a living consumer at place ", heir.place,
                     " of its last segment, but max_consumers is ", config.max_consumers, "; raise it"));
  }
  return absl::OkStatus();
}

KeptPlaces::KeptPlaces(const ChannelConfig& config, Succession succession, const CreatedSegment& segment,
                       ConsumerRoster& roster)
    : lossless_(IsLossless(config.policy)),
      waits_for_groups_(!config.groups.empty()),
      segment_(segment),
      roster_(roster),
      succession_(std::move(succession)),
      pending_(succession_.heirs()),
      deadline_(Wait::Clock::now() + absl::ToChronoNanoseconds(config.reservation_ttl)) {
  for (const Succession::Heir& heir : pending_) {
    PlaceRecord& record = segment_.data_segment.places()[heir.place];
    const bool holds = WaitsFor(heir) || !lossless_;
    record.holds_slots.store(holds ? 1 : 0, std::memory_order_relaxed);
    PYLABHUB_CRASH_POINT("producer.create.place_prepared");
    record.token.store(heir.token, std::memory_order_relaxed);
    PYLABHUB_CRASH_POINT("producer.create.place_kept");
    if (WaitsFor(heir)) roster_.Reserve(heir.place, heir.token);
  }
}

bool KeptPlaces::Settle(uint64_t next_sequence) {
  // Who has come must not be overlooked, whatever others make of the bell.
  roster_.LookAtAll(next_sequence);
  const bool too_late = Wait::Clock::now() >= deadline_;
  const size_t settled = std::erase_if(pending_, [&](const Succession::Heir& heir) {
    // There before here: it attaches here before it leaves there.
    const bool lives = succession_.HeirLives(heir) || ConsumerLives(heir.place);
    const bool came = HasCome(heir);
    if (!came && lives && !too_late) return false;
    PYLABHUB_CRASH_POINT("producer.heirs.settling");
    roster_.ReleaseReservation(heir.place);
    segment_.data_segment.places()[heir.place].token.store(came ? kReservationTaken : kNotReserved,
                                                           std::memory_order_release);
    PYLABHUB_CRASH_POINT("producer.heirs.settled");
    return true;
  });
  // The memory of the old segments goes with the last look at them.
  if (pending_.empty()) succession_ = Succession();
  return settled != 0;
}

Succession KeptPlaces::TakeSuccession() {
  pending_.clear();
  return std::exchange(succession_, Succession());
}

// A group waits for its members, none of whom is waited for by itself.
bool KeptPlaces::WaitsFor(const Succession::Heir& heir) const {
  return lossless_ && !waits_for_groups_ && heir.waited_for;
}

bool KeptPlaces::HasCome(const Succession::Heir& heir) const {
  return WaitsFor(heir) ? !roster_.IsReserved(heir.place) : ConsumerLives(heir.place);
}

bool KeptPlaces::ConsumerLives(uint32_t place) const { return segment_.control.ConsumerLives(place); }

}  // namespace pylabhub::shm
