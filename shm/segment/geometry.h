// Where things are in a data segment: the fixed numbers of a DataHeader, copied into private memory and
// checked, so that nothing which a peer can write is followed.
//
// Thread safety: value types; thread-compatible.
#ifndef PYLABHUB_SHM_SEGMENT_GEOMETRY_H_
#define PYLABHUB_SHM_SEGMENT_GEOMETRY_H_

#include <cstddef>
#include <cstdint>
#include <type_traits>

#include "absl/status/status.h"
#include "shm/channel_config.h"
#include "shm/segment/layout.h"

namespace pylabhub::shm {

// Sizes and counts that follow from a config, and offsets from the start of the file that follow from the
// creation of the segment.
struct Geometry {
  uint32_t capacity_slots = 0;
  uint32_t place_count = 0;
  uint32_t chunk_count = 0;  // 0: payloads lie in their cells
  uint64_t slot_bytes = 0;
  uint64_t cell_stride_bytes = 0;
  uint64_t chunk_stride_bytes = 0;
  uint64_t cells_offset_bytes = 0;
  uint64_t chunks_offset_bytes = 0;
  uint64_t chunk_sequences_offset_bytes = 0;
  uint64_t places_offset_bytes = 0;
  uint64_t zone_bytes = 0;  // of one copy; 0: no zone
  uint64_t zone_offset_bytes = 0;

  bool inline_payloads() const { return chunk_count == 0; }
  uint64_t cells_bytes() const { return capacity_slots * cell_stride_bytes; }
  uint64_t chunks_bytes() const { return chunk_count * chunk_stride_bytes; }
  uint64_t chunk_sequences_bytes() const { return chunk_count * sizeof(uint64_t); }
  uint64_t places_bytes() const { return place_count * sizeof(PlaceRecord); }
  uint64_t zone_copy_stride_bytes() const {
    return (zone_bytes + kSpacingBytes - 1) / kSpacingBytes * kSpacingBytes;
  }
  uint64_t zone_part_bytes() const {
    return zone_bytes == 0 ? 0 : sizeof(ZoneHeader) + 2 * zone_copy_stride_bytes();
  }

  // Sizes and counts for `config`, which must be valid, with a place for each consumer. Offsets are 0.
  static Geometry Of(const ChannelConfig& config);

  // OK if sizes and counts are those of `config`, and every part lies aligned and within `file_bytes`; else
  // kFailedPrecondition with the part that does not.
  absl::Status Check(const ChannelConfig& config, uint64_t file_bytes) const;
};

// Addresses in a mapping of the segment at `base`. `Byte` is std::byte or const std::byte.
template <typename Target, typename Byte>
auto* At(Byte* base, uint64_t offset_bytes) {
  using Result = std::conditional_t<std::is_const_v<Byte>, const Target, Target>;
  return reinterpret_cast<Result*>(base + offset_bytes);
}

}  // namespace pylabhub::shm

#endif  // PYLABHUB_SHM_SEGMENT_GEOMETRY_H_
