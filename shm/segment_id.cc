#include "shm/segment_id.h"

#include <sys/random.h>

#include <algorithm>
#include <cstdlib>

#include "absl/strings/escaping.h"

namespace pylabhub::shm {
namespace {

bool IsLowerHexDigit(char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); }

}  // namespace

SegmentId SegmentId::Random() {
  SegmentId id;
  while (id.is_nil()) {
    // Up to 256 bytes are never cut short once the kernel's source is seeded.
    if (getrandom(id.bytes.data(), id.bytes.size(), 0) != static_cast<ssize_t>(id.bytes.size())) std::abort();
  }
  return id;
}

std::string SegmentId::ToHex() const {
  return absl::BytesToHexString(absl::string_view(reinterpret_cast<const char*>(bytes.data()), bytes.size()));
}

std::optional<SegmentId> SegmentId::FromHex(absl::string_view hex) {
  SegmentId id;
  if (hex.size() != 2 * id.bytes.size()) return std::nullopt;
  for (char c : hex) {
    if (!IsLowerHexDigit(c)) return std::nullopt;
  }
  const std::string bytes = absl::HexStringToBytes(hex);
  std::copy(bytes.begin(), bytes.end(), id.bytes.begin());
  return id;
}

}  // namespace pylabhub::shm
