// How the places of a channel whose memory is handed over are divided among parts, each a piece of control memory of its own,
// so that one consumer cannot write what another says.
//
// Thread safety: thread-safe.
#ifndef PYLABHUB_SHM_PART_PLAN_H_
#define PYLABHUB_SHM_PART_PLAN_H_

#include <cstdint>
#include <vector>

#include "shm/channel_config.h"

namespace pylabhub::shm {

struct PartPlan {
  uint32_t first_place = 0;
  uint32_t places = 0;
  uint32_t group =
      0;  // 1 + the index of the group whose members share the part; 0: one consumer has it alone

  bool operator==(const PartPlan&) const = default;
};

// The parts of a channel (config with defaults), by index.
//
//   every policy but kPipeline   part i has place i; there are max_consumers.
//   kPipeline                    part g, for each group g, has max_consumers places for its members, who trust each other; behind
//                                those come max_consumers parts of one place, for onlookers (ReadOrder::kLatest).
std::vector<PartPlan> PlanParts(const ChannelConfig& config);

// Places in all of them.
uint32_t CountPlaces(const std::vector<PartPlan>& parts);

}  // namespace pylabhub::shm

#endif  // PYLABHUB_SHM_PART_PLAN_H_
