// A data segment in a mapping: created by its producer, opened by everybody else.
//
// Creation builds a Boost.Interprocess managed segment and publishes it by storing the magic last. Opening
// follows nothing that Boost wrote: names in a managed segment are found by walking offset pointers, and a
// damaged or hostile segment would lead that walk anywhere. It reads the one offset in the superblock, and
// checks it and every other number before use. (The parts are named all the same, so that any Boost program
// can find them with find_no_lock.)
//
// Thread safety: thread-compatible.
// Ownership:     views point into a mapping that must outlive them.
#ifndef PYLABHUB_SHM_SEGMENT_DATA_SEGMENT_H_
#define PYLABHUB_SHM_SEGMENT_DATA_SEGMENT_H_

#include <cstddef>
#include <cstdint>
#include <span>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "shm/channel_config.h"
#include "shm/schema.h"
#include "shm/segment/geometry.h"
#include "shm/segment/layout.h"
#include "shm/segment_id.h"

namespace pylabhub::shm {

// A data segment as its producer sees it.
struct DataSegment {
  Geometry geometry;
  std::byte* base = nullptr;
  DataHeader* header = nullptr;

  std::span<PlaceRecord> places() const {
    return {At<PlaceRecord>(base, geometry.places_offset_bytes), geometry.place_count};
  }
};

// A data segment as the others see it: the checked private copy of what is fixed, and read-only addresses.
struct DataView {
  Geometry geometry;
  const std::byte* base = nullptr;
  const DataHeader* header = nullptr;
  ChannelConfig config;  // `directory` and `unix_group` are not in the segment
  SchemaHash schema_hash;
  SegmentId segment_id;
  SegmentId predecessor_id;
  absl::Time created;
  int64_t producer_pid = 0;

  std::span<const PlaceRecord> places() const {
    return {At<PlaceRecord>(base, geometry.places_offset_bytes), geometry.place_count};
  }
};

// The size of the file that a data segment for `config` (valid, with defaults) needs.
size_t DataFileBytes(const ChannelConfig& config, uint32_t place_count);
inline size_t DataFileBytes(const ChannelConfig& config) {
  return DataFileBytes(config, config.max_consumers);
}

// Builds a data segment in `memory`, all zero and of DataFileBytes. Nobody can open it before PublishData.
DataSegment BuildData(std::span<std::byte> memory, const ChannelConfig& config, const SegmentId& segment_id,
                      const SegmentId& predecessor_id, uint32_t place_count);
inline DataSegment BuildData(std::span<std::byte> memory, const ChannelConfig& config,
                             const SegmentId& segment_id, const SegmentId& predecessor_id) {
  return BuildData(memory, config, segment_id, predecessor_id, config.max_consumers);
}
void PublishData(std::span<std::byte> memory);

// kFailedPrecondition if `memory` is not a whole, sound, published data segment of this version; the message
// says what it is instead.
absl::StatusOr<DataView> ViewData(std::span<const std::byte> memory);

}  // namespace pylabhub::shm

#endif  // PYLABHUB_SHM_SEGMENT_DATA_SEGMENT_H_
