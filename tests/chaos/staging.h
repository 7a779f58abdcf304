// How a scenario brings about what its script wants: who waits for what, and where.
//
// Thread safety: for processes with one thread; each has a copy of its own, of the same memory.
#ifndef PYLABHUB_TESTS_CHAOS_STAGING_H_
#define PYLABHUB_TESTS_CHAOS_STAGING_H_

#include <cstdint>
#include <string>
#include <vector>

#include "shm/channel_config.h"
#include "tests/chaos/crash_points.h"
#include "tests/chaos/ledger.h"
#include "tests/chaos/scenario.h"
#include "tests/chaos/shape.h"

namespace pylabhub::chaos {

// What everybody has passed so far.
struct RolePassings {
  Passings of_role[kRoles];
  Passings of_others;
};

class Staging {
 public:
  // All of them must outlive it.
  Staging(const Shape& shape, const shm::ChannelConfig& config, const std::vector<std::string>& points,
          Ledger& ledger, const RolePassings& passings)
      : shape_(shape), config_(config), points_(points), ledger_(ledger), passings_(passings) {}

  // That each producer writes.
  uint32_t slots() const {
    const bool needs_time = shape_.script == Script::kLap || shape_.script == Script::kCalm;
    return needs_time ? 6 * shape_.capacity_slots + 64 : 4 * shape_.capacity_slots + 16;
  }

  // What a role does at the points that it passes.
  std::vector<AtPoint> PlanOf(Role role) const;
  // What a producer waits for before it creates its segment, and before it writes slot `i` of it.
  void BeforeProducer(bool follows) const;
  void BeforeSlot(uint32_t i) const;

 private:
  ProducerRecord& Newest() const;
  // By one consumer.
  uint64_t MostReleased() const;
  uint32_t CountPassings(const std::string& point) const;

  const Shape& shape_;
  const shm::ChannelConfig& config_;
  const std::vector<std::string>& points_;
  Ledger& ledger_;
  const RolePassings& passings_;
};

}  // namespace pylabhub::chaos

#endif  // PYLABHUB_TESTS_CHAOS_STAGING_H_
