// Memory as a producer deposits it, and as it should not.
#ifndef PYLABHUB_TESTS_BROKER_HANDOVER_SEALED_MEMORY_H_
#define PYLABHUB_TESTS_BROKER_HANDOVER_SEALED_MEMORY_H_

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstdlib>

#include "proto/handover/descriptor.h"

#ifndef F_SEAL_FUTURE_WRITE
#define F_SEAL_FUTURE_WRITE 0x0010
#endif

namespace pylabhub::testing {

inline constexpr int kPartSeals = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL;
inline constexpr int kDataSeals = kPartSeals | F_SEAL_FUTURE_WRITE;
inline constexpr off_t kMemoryBytes = 4096;

inline handover::Descriptor SealedMemory(int seals, off_t bytes = kMemoryBytes) {
  handover::Descriptor memory(memfd_create("sealed_memory", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  if (bytes > 0 && fallocate(memory.get(), 0, 0, bytes) != 0) std::abort();
  if (seals != 0 && fcntl(memory.get(), F_ADD_SEALS, seals) != 0) std::abort();
  return memory;
}

}  // namespace pylabhub::testing

#endif  // PYLABHUB_TESTS_BROKER_HANDOVER_SEALED_MEMORY_H_
