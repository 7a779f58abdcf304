// Everything that a channel's segment counts, read by anybody: by name, or from a segment that was handed over. Reading
// takes no lock, writes nothing, and makes nobody wait; each number is read by itself, so that they may be some slots apart.
//
// What consumers count about themselves is theirs to say: it is for information.
//
// Thread safety: thread-safe.
#ifndef PYLABHUB_SHM_METRICS_H_
#define PYLABHUB_SHM_METRICS_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "shm/channel_config.h"
#include "shm/data_block_producer.h"
#include "shm/read_order.h"
#include "shm/segment_descriptors.h"
#include "shm/segment_id.h"

namespace pylabhub::shm {

struct OpenedSegment;

// The kernel's word, and then the segment's.
enum class ProducerState : uint8_t {
  kAlive = 1,
  kClosed = 2,  // it said that nothing will follow
  kDead = 3,    // it did not
};

struct ConsumerMetrics {
  uint32_t place = 0;
  bool alive =
      false;        // the kernel's word; false: it died without leaving, and nobody has taken its place since
  int64_t pid = 0;  // for information: a number of its own pid namespace
  ReadOrder order = ReadOrder::kNext;
  std::string group = {};  // empty: it reads for itself
  uint64_t cursor = 0;     // every slot below it is read and released
  uint64_t lag = 0;        // committed slots that it has not released: head - cursor
  uint64_t received_slots = 0;
  uint64_t received_bytes = 0;
  uint64_t missed_slots = 0;
  uint64_t corrupt_slots = 0;
  uint64_t redelivered_slots = 0;
  uint64_t waits = 0;
  uint64_t sleeps = 0;
  uint32_t pinned_chunks = 0;            // that it holds now
  absl::Duration blocked_producer = {};  // for how long the producer has waited for whoever had this place
};

struct ChannelMetrics {
  ChannelConfig config = {};
  SegmentId segment_id = {};
  SegmentId predecessor_id = {};
  absl::Time created = {};
  uint64_t segment_bytes = 0;  // of memory, data and control
  ProducerState producer_state = ProducerState::kDead;
  int64_t producer_pid = 0;
  ProducerStats producer = {};
  std::vector<ConsumerMetrics> consumers = {};  // those that are attached, and those that died so
};

// The metrics of the channel's current segment. kNotFound if there is no such channel; else the errors of
// DataBlockConsumer::Open.
absl::StatusOr<ChannelMetrics> ReadMetrics(absl::string_view channel,
                                           absl::string_view directory = "/dev/shm");

// The same of a segment that was handed over. Errors: those of DataBlockConsumer::OpenSealed.
absl::StatusOr<ChannelMetrics> ReadMetrics(const SegmentDescriptors& descriptors);

// The same of a segment that is open; not through a handle that takes part in it, whose own lock it would not see.
ChannelMetrics ReadMetrics(const OpenedSegment& segment);

}  // namespace pylabhub::shm

#endif  // PYLABHUB_SHM_METRICS_H_
