// In which order a consumer reads: one of the two axes that explain every policy (the other is what a full
// ring does).
#ifndef PYLABHUB_SHM_READ_ORDER_H_
#define PYLABHUB_SHM_READ_ORDER_H_

#include <cstdint>

namespace pylabhub::shm {

enum class ReadOrder : uint8_t {
  kNext = 1,    // every slot in order; what was overwritten meanwhile is counted in missed_slots
  kLatest = 2,  // the newest slot, each at most once; the producer never waits for such a consumer, whatever
                // its policy
};

}  // namespace pylabhub::shm

#endif  // PYLABHUB_SHM_READ_ORDER_H_
