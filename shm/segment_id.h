// The random 128-bit name of a segment. A channel's producers change, and each has a segment of its own; a
// position in a channel is a segment_id and a sequence number.
#ifndef PYLABHUB_SHM_SEGMENT_ID_H_
#define PYLABHUB_SHM_SEGMENT_ID_H_

#include <array>
#include <cstdint>
#include <optional>
#include <string>

#include "absl/strings/string_view.h"

namespace pylabhub::shm {

struct SegmentId {
  std::array<uint8_t, 16> bytes = {};

  // From the kernel's random source; never nil.
  static SegmentId Random();
  // All zero: "no segment".
  bool is_nil() const { return *this == SegmentId{}; }
  // 32 lower-case hexadecimal digits.
  std::string ToHex() const;
  // The inverse of ToHex; nothing for any other text.
  static std::optional<SegmentId> FromHex(absl::string_view hex);

  friend bool operator==(const SegmentId&, const SegmentId&) = default;
};
static_assert(sizeof(SegmentId) == 16);

}  // namespace pylabhub::shm

#endif  // PYLABHUB_SHM_SEGMENT_ID_H_
