// Damage that no correct producer does: descriptors that make no sense.
#ifndef PYLABHUB_TESTS_CHAOS_VANDAL_H_
#define PYLABHUB_TESTS_CHAOS_VANDAL_H_

#include <cstdint>

#include "shm/channel_config.h"

namespace pylabhub::chaos {

// Makes the descriptor in the cell of slot `sequence` say that its payload is longer than a slot, in the channel's
// current segment. For the producer itself, before it stamps that slot.
void SpoilDescriptor(const shm::ChannelConfig& config, uint64_t sequence);

}  // namespace pylabhub::chaos

#endif  // PYLABHUB_TESTS_CHAOS_VANDAL_H_
