// What a consumer asks for when it attaches to a channel.
#ifndef PYLABHUB_SHM_CONSUMER_OPTIONS_H_
#define PYLABHUB_SHM_CONSUMER_OPTIONS_H_

#include <cstdint>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "shm/channel_config.h"
#include "shm/join_point.h"
#include "shm/read_order.h"
#include "shm/schema.h"

namespace pylabhub::shm {

struct ConsumerOptions {
  // Without one: kLatest for a kLatestOnly channel, kNext for the others.
  std::optional<ReadOrder> order = std::nullopt;
  // kPipeline: the group that this consumer shares the slots of; without one the channel's only group. A kLatest consumer
  // is in none: it looks on.
  std::optional<std::string> group = std::nullopt;
  // Where a kNext consumer begins.
  JoinPoint start = {};
  // Lossless channels: what the producer does when this consumer has held up one slot for `patience`. With another than
  // kBlock, large slots are pinned while they are read, small ones copied.
  WhenSlow when_slow = WhenSlow::kBlock;
  absl::Duration patience = absl::Seconds(1);
  // Set: Open fails if the channel's schema is another one.
  std::optional<Schema> expected_schema = std::nullopt;
  // Set: Open fails if the channel has no zone, or one with another schema.
  std::optional<Schema> expected_zone_schema = std::nullopt;
  // How long Open waits for the channel to appear.
  absl::Duration open_timeout = absl::ZeroDuration();
  // Slots that AcquireBatch may hand out at once. More than one costs so many pins (at most 16) or copies where the
  // producer does not wait for this consumer.
  uint32_t max_batch = 1;
  WaitOptions wait = {};
  std::string directory = "/dev/shm";

  // kInvalidArgument if they contradict themselves; the message says which and what to do.
  absl::Status Validate() const;

  // kFailedPrecondition, SCHEMA_MISMATCH with both hashes, if the channel carries another schema, in its slots or in its zone,
  // than is expected.
  absl::Status CheckSchemas(const ChannelConfig& config) const;
};

}  // namespace pylabhub::shm

#endif  // PYLABHUB_SHM_CONSUMER_OPTIONS_H_
