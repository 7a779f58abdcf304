// One short life of a channel, in which every step of the protocol is taken: producers that follow one another, a
// consumer that stays and one that comes and goes. One participant may be ended at a crash point; then the others must go
// on, and whoever takes its part.
#ifndef PYLABHUB_TESTS_CHAOS_SCENARIO_H_
#define PYLABHUB_TESTS_CHAOS_SCENARIO_H_

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "tests/chaos/crash_points.h"
#include "tests/chaos/shape.h"

namespace pylabhub::chaos {

enum class Role : uint8_t { kFirstProducer, kNextProducer, kResident, kGuest, kJanitor };
inline constexpr size_t kRoles = 5;
inline constexpr Role kAllRoles[kRoles] = {Role::kFirstProducer, Role::kNextProducer, Role::kResident,
                                           Role::kGuest, Role::kJanitor};
inline bool IsProducer(Role role) { return role <= Role::kNextProducer; }
const char* NameOf(Role role);

struct Victim {
  Role role;
  std::string point;
  uint32_t passing;  // from 1
  Death death;
};

struct Outcome {
  bool victim_died = false;
  std::vector<std::string> faults;                       // empty: all is well
  std::array<std::vector<uint32_t>, kRoles> passings{};  // by role, then by point as in `points`
  uint64_t delivered = 0;
};

// Plays it through. `points` are all that there are.
Outcome Play(const Shape& shape, const std::optional<Victim>& victim, const std::vector<std::string>& points);

}  // namespace pylabhub::chaos

#endif  // PYLABHUB_TESTS_CHAOS_SCENARIO_H_
