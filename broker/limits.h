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
  // Names in the schema registry, and versions of each. None is ever forgotten.
  uint64_t max_schemas = 100'000;
  uint64_t max_versions_per_schema = 1'000;
  // Streams of Watch. One stays in memory with about 20 KiB.
  uint64_t max_watchers = 8'192;

  // Of one identity.
  uint64_t max_channels_per_identity = 20'000;
  uint64_t max_consumers_per_identity = 50'000;
  uint64_t max_sessions_per_identity = 10'000;
  // Metadata, schemas and names of its channels together.
  uint64_t max_spec_bytes_per_identity = 64 << 20;
  // Of the schemas that it registered, names and 256 bytes for each included.
  uint64_t max_schema_bytes_per_identity = 64 << 20;
  uint64_t max_watchers_per_identity = 2'048;

  // How often one identity may call, and how many calls it may have saved up; heartbeats are counted apart. About what
  // a machine of two cores can serve: lower it where one client must not slow another. 0: no limit.
  uint64_t max_calls_per_second_per_identity = 10'000;
  uint64_t max_call_burst_per_identity = 20'000;

  friend bool operator==(const Limits&, const Limits&) = default;
};

}  // namespace pylabhub::broker

#endif  // PYLABHUB_BROKER_LIMITS_H_
