// The lock by which the kernel says that a participant lives, watched from outside.
//
// Thread safety: thread-compatible.
#ifndef PYLABHUB_TESTS_CHAOS_LIFE_LOCK_H_
#define PYLABHUB_TESTS_CHAOS_LIFE_LOCK_H_

#include <sys/types.h>

#include <cstdint>
#include <optional>

#include "shm/channel_config.h"
#include "shm/os/mapping.h"
#include "shm/segment_id.h"

namespace pylabhub::chaos {

class LifeLock {
 public:
  // Nothing if the segment is gone, or the participant holds no lock in it.
  static std::optional<LifeLock> OfProducer(const shm::ChannelConfig& config,
                                            const shm::SegmentId& segment_id);
  static std::optional<LifeLock> OfConsumer(const shm::ChannelConfig& config,
                                            const shm::SegmentId& segment_id, pid_t pid);

  bool IsHeld() const;
  // Waits until it is given back. The last time at which it was seen to be held, so that what follows is rather said to
  // have taken too long than too short; nothing if it is held for ever.
  std::optional<int64_t> WaitForRelease() const;

 private:
  LifeLock(shm::Mapping file, int64_t byte) : file_(std::move(file)), byte_(byte) {}

  shm::Mapping file_;
  int64_t byte_;
};

}  // namespace pylabhub::chaos

#endif  // PYLABHUB_TESTS_CHAOS_LIFE_LOCK_H_
