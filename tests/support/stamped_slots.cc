#include "tests/support/stamped_slots.h"

namespace pylabhub::testing {
namespace {

uint64_t WordAt(uint64_t number, size_t i) { return (number + 1) * 0x9E3779B97F4A7C15u + i; }

}  // namespace

void Stamp(std::span<std::byte> payload, uint64_t number) {
  auto* words = reinterpret_cast<uint64_t*>(payload.data());
  for (size_t i = 0; i < payload.size() / sizeof(uint64_t); ++i) words[i] = WordAt(number, i);
}

bool IsStamped(std::span<const std::byte> payload, uint64_t number) {
  const auto* words = reinterpret_cast<const uint64_t*>(payload.data());
  for (size_t i = 0; i < payload.size() / sizeof(uint64_t); ++i) {
    if (words[i] != WordAt(number, i)) return false;
  }
  return !payload.empty();
}

shm::SlotResult PutStamped(shm::DataBlockProducer& producer, absl::Duration timeout) {
  shm::WriteSlot slot = producer.Acquire(timeout);
  if (!slot) return slot.result();
  Stamp(slot.payload(), producer.next_sequence());
  return slot.Commit(slot.payload().size());
}

Received ReadStamped(shm::DataBlockConsumer& consumer, absl::Duration timeout) {
  Received received;
  uint64_t expected = 0;
  for (;;) {
    shm::ReadSlot slot = consumer.Acquire(timeout);
    if (!slot) {
      received.end = slot.result();
      return received;
    }
    const bool first = received.slots == 0;
    const bool in_order = first || slot.sequence() == expected + slot.missed_slots();
    if (!in_order || !IsStamped(slot.payload(), slot.sequence())) ++received.wrong;
    ++received.slots;
    received.missed += slot.missed_slots();
    expected = slot.sequence() + 1;
    if (slot.Release() != shm::SlotResult::kOk) ++received.wrong;
  }
}

}  // namespace pylabhub::testing
