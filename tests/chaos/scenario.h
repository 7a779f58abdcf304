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

#include "shm/channel_config.h"
#include "tests/chaos/crash_points.h"

namespace pylabhub::chaos {

// What happens beside the usual, so that steps are taken which luck would seldom bring about.
enum class Script : uint8_t {
  kPlain,
  kRefusal,     // each producer first asks for more memory than there is
  kDoorway,     // the next producer comes while the last consumer is removing the channel
  kLap,         // a consumer is overtaken while it reads a slot
  kFutileWake,  // a consumer is woken a moment before it sleeps
  kCalm,        // long stretches in which nobody sleeps
  kPins,        // there is one pin for two consumers
  kDamage,      // descriptors that make no sense
  kBatch,       // slots are written and read several at once
  kDropped,     // the resident is too slow, and its backlog is dropped
  kCutOff,      // the resident is too slow, and is cut off
  kHeldByDead,  // the guest dies with a slot in its hands, and another takes its place
  kZone,        // the zone is written and read beside the slots
  kHandedOver,  // memory has no name; parts are renewed, and the producer moves on (sealed_scenario.h)
  kJanitor,     // somebody cleans up all the time, among others what a producer left that is killed
};

struct Shape {
  shm::Policy policy;
  shm::Buffering buffering;
  uint32_t capacity_slots;
  uint64_t slot_bytes;
  Script script = Script::kPlain;
};
std::string NameOf(const Shape& shape);
// Every policy with every buffering, with slots beside their descriptors and with chunks; then the scripts.
std::vector<Shape> AllShapes();

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
