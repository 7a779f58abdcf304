// The first page of data and control files: written once, and the first thing that is checked.
#ifndef PYLABHUB_SHM_SEGMENT_SUPERBLOCK_H_
#define PYLABHUB_SHM_SEGMENT_SUPERBLOCK_H_

#include <cstddef>
#include <cstdint>
#include <span>

#include "absl/status/statusor.h"
#include "shm/segment/layout.h"
#include "shm/segment_id.h"

namespace pylabhub::shm {

// Everything but the magic.
void WriteSuperblock(std::span<std::byte> memory, const SegmentId& segment_id, uint64_t header_offset_bytes);

// Stores `magic`, with release: from here on the segment can be opened.
void PublishSuperblock(std::span<std::byte> memory, uint64_t magic);

struct CheckedSuperblock {
  uint64_t header_offset_bytes;  // `header_bytes` from here on are within the file, and aligned
  SegmentId segment_id;
};

// kFailedPrecondition if `memory` is not a file of ours of this kind, version and layout, whole and
// published, with room for a header of `header_bytes`; the message says which.
absl::StatusOr<CheckedSuperblock> CheckSuperblock(std::span<const std::byte> memory, uint64_t magic,
                                                  size_t header_bytes);

}  // namespace pylabhub::shm

#endif  // PYLABHUB_SHM_SEGMENT_SUPERBLOCK_H_
