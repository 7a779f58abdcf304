// Ending the process where a rule that this library or its caller must keep is broken: going on would corrupt
// memory that others share.
#ifndef PYLABHUB_SHM_CHANNEL_INVARIANT_H_
#define PYLABHUB_SHM_CHANNEL_INVARIANT_H_

#include <cstdio>
#include <cstdlib>

namespace pylabhub::shm {

inline void Require(bool holds, const char* rule) {
  if (holds) [[likely]]
    return;
  std::fprintf(stderr, "pylabhub: %s\n", rule);
  std::abort();
}

}  // namespace pylabhub::shm

#endif  // PYLABHUB_SHM_CHANNEL_INVARIANT_H_
