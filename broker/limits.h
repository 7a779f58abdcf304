// How much clients may make the broker hold. What a single request may hold is in validate.h.
#ifndef PYLABHUB_BROKER_LIMITS_H_
#define PYLABHUB_BROKER_LIMITS_H_

#include <cstdint>

namespace pylabhub::broker {

struct Limits {
  // In the whole broker.
  uint64_t max_channels = 100'000;
  uint64_t max_consumers = 200'000;
  uint64_t max_sessions = 20'000;
  uint64_t max_consumers_per_channel = 1'024;

  // Of one identity.
  uint64_t max_channels_per_identity = 20'000;
  uint64_t max_consumers_per_identity = 50'000;
  uint64_t max_sessions_per_identity = 10'000;
  // Metadata, schemas and names of its channels together.
  uint64_t max_spec_bytes_per_identity = 64 << 20;
};

}  // namespace pylabhub::broker

#endif  // PYLABHUB_BROKER_LIMITS_H_
