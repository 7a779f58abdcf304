// What is said of a channel of shared memory to those who look for it.
//
// Thread safety: free functions with no shared state.
#ifndef PYLABHUB_CLIENT_CHANNEL_SPEC_H_
#define PYLABHUB_CLIENT_CHANNEL_SPEC_H_

#include "client/broker_types.h"
#include "shm/channel_config.h"
#include "shm/segment_id.h"

namespace pylabhub {

// Without the process. `config` has its defaults filled in.
ChannelSpec SpecOf(const shm::ChannelConfig& config, const shm::SegmentId& segment_id,
                   MemoryKind memory = MemoryKind::kNamed);

}  // namespace pylabhub

#endif  // PYLABHUB_CLIENT_CHANNEL_SPEC_H_
