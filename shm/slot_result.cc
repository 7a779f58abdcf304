#include "shm/slot_result.h"

namespace pylabhub::shm {

absl::string_view NameOf(SlotResult result) {
  switch (result) {
    case SlotResult::kOk:
      return "ok";
    case SlotResult::kTimeout:
      return "timeout";
    case SlotResult::kProducerClosed:
      return "producer closed";
    case SlotResult::kProducerDead:
      return "producer dead";
    case SlotResult::kOverrun:
      return "overrun";
    case SlotResult::kCorrupt:
      return "corrupt";
    case SlotResult::kTooLarge:
      return "too large";
    case SlotResult::kCutOff:
      return "cut off";
    case SlotResult::kForked:
      return "forked";
    case SlotResult::kNoChecksum:
      return "no checksum";
    case SlotResult::kNoZone:
      return "no zone";
  }
  return "unknown";
}

}  // namespace pylabhub::shm
