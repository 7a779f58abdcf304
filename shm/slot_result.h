// How an attempt to get, commit or release a slot ends: the outcomes that are expected on the hot path.
#ifndef PYLABHUB_SHM_SLOT_RESULT_H_
#define PYLABHUB_SHM_SLOT_RESULT_H_

#include <cstdint>

#include "absl/strings/string_view.h"

namespace pylabhub::shm {

enum class SlotResult : uint8_t {
  kOk = 0,
  kTimeout,         // nothing happened before the deadline; try again
  kProducerClosed,  // consumer: everything was read, and the producer has closed the channel
  kProducerDead,    // consumer: everything was read, and the producer died without closing the channel
  kOverrun,  // consumer: the slot changed while it was held; what was read from it is not to be trusted
  // Consumer: the slot's checksum is wrong or missing, or its descriptor makes no sense; it was skipped, and is not
  // reported again.
  kCorrupt,
  kTooLarge,  // producer: more bytes were committed than a slot holds; the slot was aborted
  // Consumer: it held its producer up for too long, and gets nothing any more; open the channel again.
  kCutOff,
  kForked,      // the handle belongs to the parent of this process
  kNoChecksum,  // consumer: the producer gave the slot none to verify
  kNoZone,      // consumer: the channel has no zone
};

// "timeout" for kTimeout and so on.
absl::string_view NameOf(SlotResult result);

}  // namespace pylabhub::shm

#endif  // PYLABHUB_SHM_SLOT_RESULT_H_
