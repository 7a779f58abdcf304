// The slot that a joining consumer begins with.
//
// Thread safety: thread-safe; reads only.
#ifndef PYLABHUB_SHM_CHANNEL_STARTING_POINT_H_
#define PYLABHUB_SHM_CHANNEL_STARTING_POINT_H_

#include <cstdint>

#include "shm/channel/membership.h"
#include "shm/segment/data_segment.h"

namespace pylabhub::shm {

// No slot that the consumer could begin with is below this one. It stands in its entry when the producer first sees it:
// from there a cursor may only go up. `head` is the number of slots committed.
uint64_t LowestStart(const DataView& view, const Applicant& applicant, bool place_was_kept, uint64_t head);

// The slot to begin with. Called after the entry was announced, with a `head` that was read after that.
StartingPoint ChooseStart(const DataView& view, const Applicant& applicant, uint32_t place,
                          bool place_was_kept, uint64_t head);

}  // namespace pylabhub::shm

#endif  // PYLABHUB_SHM_CHANNEL_STARTING_POINT_H_
