// Which channel a scenario plays on, and what happens there beside the usual.
#ifndef PYLABHUB_TESTS_CHAOS_SHAPE_H_
#define PYLABHUB_TESTS_CHAOS_SHAPE_H_

#include <cstdint>
#include <string>
#include <vector>

#include "shm/channel_config.h"

namespace pylabhub::chaos {

// So that steps are taken which luck would seldom bring about.
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

}  // namespace pylabhub::chaos

#endif  // PYLABHUB_TESTS_CHAOS_SHAPE_H_
