// Telling the processor where a cache line is wanted next.
#ifndef PYLABHUB_SHM_RING_CACHE_HINT_H_
#define PYLABHUB_SHM_RING_CACHE_HINT_H_

namespace pylabhub::shm {

// Hands the line at `address` on from this core's cache to the one that all cores share, where the next reader finds it
// sooner (CLDEMOTE, Intel SDM volume 2). A hint: processors that do not know it execute it as no operation.
inline void DemoteLine([[maybe_unused]] const void* address) {
#if defined(__x86_64__)
  // By its bytes: the instruction has a name only for compilers that are told that the processor has it.
  asm volatile(".byte 0x0f, 0x1c, 0x07" : : "D"(address) : "memory");
#endif
}

}  // namespace pylabhub::shm

#endif  // PYLABHUB_SHM_RING_CACHE_HINT_H_
