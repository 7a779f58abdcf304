#include "shm/part_plan.h"

namespace pylabhub::shm {

std::vector<PartPlan> PlanParts(const ChannelConfig& config) {
  std::vector<PartPlan> parts;
  uint32_t next_place = 0;
  const auto add = [&](uint32_t places, uint32_t group) {
    parts.push_back({.first_place = next_place, .places = places, .group = group});
    next_place += places;
  };
  for (uint32_t group = 1; group <= config.groups.size(); ++group) add(config.max_consumers, group);
  for (uint32_t i = 0; i < config.max_consumers; ++i) add(1, 0);
  return parts;
}

uint32_t CountPlaces(const std::vector<PartPlan>& parts) {
  return parts.empty() ? 0 : parts.back().first_place + parts.back().places;
}

}  // namespace pylabhub::shm
