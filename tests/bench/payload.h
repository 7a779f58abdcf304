// What every subject writes into a message, and how every subject reads it: one piece of code, so that what
// differs between two figures is the transport.
//
// The first word is the message's sequence, every other byte is the sequence's low byte. The writer writes
// every byte; the reader sums every word and compares the sum, so a lost, repeated, reordered or torn message
// is an error.
#pragma once

#include <cstdint>
#include <cstring>

namespace pylabhub::bench {

// Sizes are 64 bytes, or multiples of 128.
inline constexpr uint64_t kLineBytes = 64;

// Set in the sequence of the message that ends a trial.
inline constexpr uint64_t kLastMessage = uint64_t{1} << 63;

enum class Verdict { kGood, kLast, kWrong };

namespace payload_internal {

// Sixteen bytes that the compiler keeps in one register, wherever in memory they come from.
using Word2 = uint64_t __attribute__((vector_size(16)));

inline Word2 LoadWord2(const char* from) {
  Word2 words;
  std::memcpy(&words, from, sizeof(words));
  return words;
}

inline uint64_t PatternOf(uint64_t sequence) { return (sequence & 0xff) * 0x0101010101010101; }

inline uint64_t SumLine(const char* line) {
  const Word2 sum = LoadWord2(line) + LoadWord2(line + 16) + LoadWord2(line + 32) + LoadWord2(line + 48);
  return sum[0] + sum[1];
}

inline uint64_t SumPairsOfLines(const char* from, uint64_t bytes) {
  // Four sums by name, which stay in registers, so that the loads, not the additions, set the pace.
  Word2 sum0 = {}, sum1 = {}, sum2 = {}, sum3 = {};
  for (const char* const end = from + bytes; from != end; from += 2 * kLineBytes) {
    sum0 += LoadWord2(from) + LoadWord2(from + 64);
    sum1 += LoadWord2(from + 16) + LoadWord2(from + 80);
    sum2 += LoadWord2(from + 32) + LoadWord2(from + 96);
    sum3 += LoadWord2(from + 48) + LoadWord2(from + 112);
  }
  const Word2 sum = (sum0 + sum1) + (sum2 + sum3);
  return sum[0] + sum[1];
}

}  // namespace payload_internal

// Writes message `sequence` over all of `payload`.
inline void FillPayload(void* payload, uint64_t bytes, uint64_t sequence) {
  const uint64_t pattern = payload_internal::PatternOf(sequence);
  if (bytes == kLineBytes) {
    using payload_internal::Word2;
    // From registers. A line put together on the stack is read back from there in larger words than it was written
    // in; that waits until every earlier store is done, the last message's on their way to the other core too.
    const Word2 rest = {pattern, pattern};
    const Word2 start = {sequence, pattern};
    char* line = static_cast<char*>(payload);
    std::memcpy(line, &start, sizeof(start));
    std::memcpy(line + 16, &rest, sizeof(rest));
    std::memcpy(line + 32, &rest, sizeof(rest));
    std::memcpy(line + 48, &rest, sizeof(rest));
    return;
  }
  std::memcpy(payload, &sequence, sizeof(sequence));
  std::memset(static_cast<char*>(payload) + sizeof(sequence), static_cast<int>(sequence & 0xff),
              bytes - sizeof(sequence));
}

// Reads all of `payload`, which should be message `sequence` or that message marked as the last one.
inline Verdict ReadPayload(const void* payload, uint64_t bytes, uint64_t sequence) {
  const char* from = static_cast<const char*>(payload);
  uint64_t first;
  std::memcpy(&first, from, sizeof(first));
  const uint64_t sum =
      bytes == kLineBytes ? payload_internal::SumLine(from) : payload_internal::SumPairsOfLines(from, bytes);
  const uint64_t pattern_words = bytes / sizeof(uint64_t) - 1;
  if (sum - first != pattern_words * payload_internal::PatternOf(sequence)) return Verdict::kWrong;
  if (first == sequence) return Verdict::kGood;
  return first == (sequence | kLastMessage) ? Verdict::kLast : Verdict::kWrong;
}

}  // namespace pylabhub::bench
