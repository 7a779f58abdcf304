// A control segment in private memory, in which a test plays the consumers: it joins, reads on, pins, lies
// and dies as told, and the kernel's word is a set.
#ifndef PYLABHUB_TESTS_SHM_CONTROL_ROOM_H_
#define PYLABHUB_TESTS_SHM_CONTROL_ROOM_H_

#include <cstdint>
#include <set>

#include "shm/read_order.h"
#include "shm/ring/consumer_roster.h"
#include "shm/segment/control_segment.h"
#include "shm/segment/layout.h"
#include "tests/shm/segment_memory.h"

namespace pylabhub::shm {

class ControlRoom {
 public:
  explicit ControlRoom(uint32_t places, uint32_t max_pins = 8)
      : memory_(ControlFileBytes({.max_consumers = places})),
        view_(BuildControl(memory_.bytes(), {.max_consumers = places}, SegmentId::Random())),
        roster_(view_, max_pins, [this](uint32_t place) {
          ++probes_;
          return dead_.count(place) == 0;
        }) {}

  ConsumerRoster& roster() { return roster_; }
  ConsumerEntry& entry(uint32_t place) const { return view_.entry(place); }
  uint64_t probes() const { return probes_; }

  void Join(uint32_t place, uint64_t cursor = 0, ReadOrder order = ReadOrder::kNext, uint64_t token = 77) {
    dead_.erase(place);
    ConsumerEntry& joined = entry(place);
    joined.token = token;
    joined.order = static_cast<uint32_t>(order);
    joined.wait_state = kAwake;
    joined.cursor = cursor;
    joined.pins_declared = 1;
    for (auto& pin : joined.pins) pin = 0;
    joined.state = StateOf((joined.state >> 8) + 1, Phase::kActive);
    ++view_.header->membership_changes;
  }
  void Leave(uint32_t place) {
    for (auto& pin : entry(place).pins) pin = 0;
    entry(place).state = StateOf(entry(place).state >> 8, Phase::kLeft);
    ++view_.header->membership_changes;
  }
  // Killed: nothing in the segment changes.
  void Kill(uint32_t place) { dead_.insert(place); }

 private:
  SegmentMemory memory_;
  ControlView view_;
  std::set<uint32_t> dead_;
  uint64_t probes_ = 0;
  ConsumerRoster roster_;
};

}  // namespace pylabhub::shm

#endif  // PYLABHUB_TESTS_SHM_CONTROL_ROOM_H_
