// What both halves of the C API need: options that an older caller may have less of, codes, messages, times.
#ifndef PYLABHUB_SHM_C_API_CONVERT_H_
#define PYLABHUB_SHM_C_API_CONVERT_H_

#include <cstdint>
#include <cstring>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "shm/c_api.h"
#include "shm/schema.h"
#include "shm/slot_result.h"

namespace pylabhub::shm::c_api {

// Fills `error`, which may be null, with what `status` says.
void Explain(const absl::Status& status, plh_error* error);

plh_result ResultOf(SlotResult result);

inline absl::Duration DurationOf(int64_t ns) {
  return ns == PLH_FOREVER ? absl::InfiniteDuration() : absl::Nanoseconds(ns);
}

inline std::string StringOr(const char* text, const char* otherwise) {
  return text == nullptr ? otherwise : text;
}

// The schema of the canonical text; the opaque one for null.
absl::StatusOr<Schema> SchemaFrom(const char* canonical_text);

// A copy of the caller's struct, which may be shorter than this build's (from an older header): what it lacks is as `defaults`
// says. kInvalidArgument if it says that it has no members at all, or is null.
template <typename Options>
absl::StatusOr<Options> Complete(const Options* given, const Options& defaults) {
  if (given == nullptr) return absl::InvalidArgumentError("options is NULL");
  Options full = defaults;
  if (given->struct_bytes <= sizeof(given->struct_bytes)) {
    return absl::InvalidArgumentError("options.struct_bytes is not set; call the _init function first");
  }
  std::memcpy(&full, given, given->struct_bytes < sizeof(full) ? given->struct_bytes : sizeof(full));
  return full;
}

// Copies as much of `full` to `out` as the caller says that it has room for.
template <typename Stats>
void CopyOut(const Stats& full, Stats* out) {
  const uint64_t room_bytes = out->struct_bytes;
  std::memcpy(out, &full, room_bytes < sizeof(full) ? room_bytes : sizeof(full));
  out->struct_bytes = room_bytes;
}

}  // namespace pylabhub::shm::c_api

#endif  // PYLABHUB_SHM_C_API_CONVERT_H_
