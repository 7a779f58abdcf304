#include "tests/chaos/staging.h"

#include <unistd.h>

#include <algorithm>
#include <functional>

#include "shm/os/deadline.h"
#include "tests/chaos/vandal.h"

namespace pylabhub::chaos {
namespace {

// For what a script waits for, and need not happen if somebody was killed.
constexpr absl::Duration kScriptTime = absl::Milliseconds(100);
constexpr uint32_t kOvertakenSlot = 3;

void WaitUntil(const std::function<bool()>& happened, absl::Duration time = kScriptTime) {
  const shm::Deadline deadline(time);
  while (!happened() && !deadline.passed()) usleep(20);
}

}  // namespace

std::vector<AtPoint> Staging::PlanOf(Role role) const {
  switch (shape_.script) {
    case Script::kDoorway:
      if (IsProducer(role)) return {};
      return {{"channel.leave.locked_as_producer", 1, [this] {
                 WaitUntil([this] { return ledger_.attempts.load() > 1; });
                 usleep(2000);
               }}};
    case Script::kLap:
      if (role != Role::kResident) return {};
      return {{"reader.take.descriptor_read", kOvertakenSlot, [this] {
                 const uint64_t lap = Newest().attempted.load() + uint64_t{3} * shape_.capacity_slots;
                 WaitUntil([this, lap] { return Newest().attempted.load() >= lap; });
               }}};
    case Script::kFutileWake:
    case Script::kCalm:
      if (IsProducer(role)) return {};
      return {{"consumer.sleep.about_to", 2,
               [this] {
                 const uint64_t seen = Newest().attempted.load();
                 WaitUntil([this, seen] { return Newest().attempted.load() > seen + 1; });
               }},
              {"caller.holds_slot", 5, [this] {
                 WaitUntil([this] { return CountPassings("producer.sleep.may_sleep_said") != 0; });
               }}};
    case Script::kDropped:
    case Script::kCutOff:
      if (role != Role::kResident) return {};
      return {{"caller.holds_slot", 3, [this] {
                 WaitUntil([this] {
                   return CountPassings("ring.slow.dropped") + CountPassings("ring.slow.cut_off") != 0;
                 });
               }}};
    case Script::kHeldByDead:
      // The one that stays does not take over what the dead one held before that one's place is taken.
      if (role != Role::kResident) return {};
      return {{"caller.holds_slot", 2,
               [this] { WaitUntil([this] { return CountPassings("group.reopen.opened") != 0; }); }}};
    case Script::kDamage:
      if (!IsProducer(role)) return {};
      return {{"ring.commit.chunk_named", 3, [this] { SpoilDescriptor(config_, 2); }},
              {"ring.commit.chunk_named", 4, [this] { SpoilDescriptor(config_, 3); }}};
    default:
      return {};
  }
}

void Staging::BeforeProducer(bool follows) const {
  if (shape_.script != Script::kDoorway || !follows) return;
  WaitUntil([this] { return CountPassings("channel.leave.locked_as_producer") != 0; });
}

void Staging::BeforeSlot(uint32_t i) const {
  if (shape_.script == Script::kLap && i == slots() / 2) {
    WaitUntil([this] { return CountPassings("reader.take.descriptor_read") >= kOvertakenSlot; });
  }
  if (shape_.script == Script::kCalm && i > slots() / 3) {
    WaitUntil([this, i] { return MostReleased() + 4 > i; }, absl::Milliseconds(1));
  }
}

ProducerRecord& Staging::Newest() const {
  return ledger_.of_generation(std::max(ledger_.producers.load(), 1u));
}

uint64_t Staging::MostReleased() const {
  uint64_t released = 0;
  for (uint32_t i = 0; i < ledger_.consumers.load(); ++i)
    released = std::max(released, ledger_.consumer[i].released.load());
  return released;
}

uint32_t Staging::CountPassings(const std::string& point) const {
  const size_t index = std::lower_bound(points_.begin(), points_.end(), point) - points_.begin();
  uint32_t count = 0;
  for (const Passings& passings : passings_.of_role) count += passings.count[index].load();
  return count;
}

}  // namespace pylabhub::chaos
