// A look at everything that lies in a ring, by somebody who takes no part in it: writes nothing, takes no lock, and holds
// nobody up. What its producer is changing at that moment is let pass.
#ifndef PYLABHUB_SHM_RING_RING_CHECK_H_
#define PYLABHUB_SHM_RING_RING_CHECK_H_

#include <cstdint>

#include "shm/segment/data_segment.h"

namespace pylabhub::shm {

struct RingFaults {
  uint64_t senseless_cells = 0;  // whose descriptors no correct producer writes
  uint64_t wrong_checksums =
      0;  // of slots whose payload is another than their checksum says, or that should have one
  uint64_t first_wrong_slot = 0;  // the least of their numbers, if there are any
};

// `verify_checksums`: reads every payload that has one (or, with Checksum::kEnforced, should have one), which takes as long
// as it takes to read that memory. Thread-safe.
RingFaults CheckRing(const DataView& view, bool verify_checksums);

}  // namespace pylabhub::shm

#endif  // PYLABHUB_SHM_RING_RING_CHECK_H_
