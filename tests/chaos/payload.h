// What a slot carries in these tests: who wrote it, which number it has, and a word that checks every byte.
#ifndef PYLABHUB_TESTS_CHAOS_PAYLOAD_H_
#define PYLABHUB_TESTS_CHAOS_PAYLOAD_H_

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

namespace pylabhub::chaos {

struct PayloadId {
  uint32_t generation = 0;  // which producer of the channel, from 1
  uint64_t sequence = 0;    // which slot of its segment
  bool aborted = false;     // it is never committed: nobody may see it

  friend bool operator==(const PayloadId&, const PayloadId&) = default;
};

// The least that a payload needs; every payload is a multiple of 8 bytes.
inline constexpr size_t kMinPayloadBytes = 32;

// Fills the whole of `payload`. The two halves of the work are apart so that a process can be ended in between.
void BeginPayload(std::span<std::byte> payload, const PayloadId& id);
void FinishPayload(std::span<std::byte> payload, const PayloadId& id);

// How long the payload at the start of `memory` is, as it says itself; at most the whole of it.
size_t PayloadBytes(std::span<const std::byte> memory);

// Who wrote it; nothing if a single byte is not what its writer wrote.
std::optional<PayloadId> ReadPayload(std::span<const std::byte> payload);

}  // namespace pylabhub::chaos

#endif  // PYLABHUB_TESTS_CHAOS_PAYLOAD_H_
