// Copying a small payload into and out of a cell that the other side may be touching at the same moment.
//
// The words are atomics, so that a torn copy is a wrong value and not undefined behaviour; the descriptor's
// stamp, looked at before and after, tells a torn copy from a whole one (a sequence lock: Boehm, "Can
// seqlocks get along with programming language memory models?", MSPC 2012).
#ifndef PYLABHUB_SHM_RING_INLINE_PAYLOAD_H_
#define PYLABHUB_SHM_RING_INLINE_PAYLOAD_H_

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "shm/os/crash_point.h"

namespace pylabhub::shm {

// Both sides round up to whole words; cells and staging buffers have room for that.
inline size_t WordsOf(size_t bytes) { return (bytes + sizeof(uint64_t) - 1) / sizeof(uint64_t); }

inline void StoreWord(std::byte* target, const std::byte* source) {
  uint64_t word;
  std::memcpy(&word, source, sizeof(word));
  // Release: a reader that sees this word sees the stamp that was withdrawn before it (edge T).
  reinterpret_cast<std::atomic<uint64_t>*>(target)->store(word, std::memory_order_release);
  PYLABHUB_CRASH_POINT("inline.word_stored");
}

inline void StoreInline(std::byte* cell_payload, const std::byte* source, size_t bytes) {
  constexpr size_t kWord = sizeof(uint64_t);
  const std::byte* const end = source + WordsOf(bytes) * kWord;
  // A line at a time, as far as there are whole lines.
  for (; source + 8 * kWord <= end; source += 8 * kWord, cell_payload += 8 * kWord) {
#pragma GCC unroll 8
    for (size_t i = 0; i < 8; ++i) StoreWord(cell_payload + i * kWord, source + i * kWord);
  }
  for (; source != end; source += kWord, cell_payload += kWord) StoreWord(cell_payload, source);
}

inline void LoadInline(const std::byte* cell_payload, std::byte* target, size_t bytes) {
  const auto* words = reinterpret_cast<const std::atomic<uint64_t>*>(cell_payload);
  for (size_t i = 0; i < WordsOf(bytes); ++i) {
    // Acquire: pairs with the release above, and keeps the second look at the stamp behind it (edge T).
    const uint64_t word = words[i].load(std::memory_order_acquire);
    std::memcpy(target + i * sizeof(word), &word, sizeof(word));
  }
}

}  // namespace pylabhub::shm

#endif  // PYLABHUB_SHM_RING_INLINE_PAYLOAD_H_
