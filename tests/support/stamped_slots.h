// Slots whose every word can be checked: a payload that says its number in each word, so that a torn or
// misplaced one shows.
#ifndef PYLABHUB_TESTS_SUPPORT_STAMPED_SLOTS_H_
#define PYLABHUB_TESTS_SUPPORT_STAMPED_SLOTS_H_

#include <cstddef>
#include <cstdint>
#include <span>

#include "shm/data_block_consumer.h"
#include "shm/data_block_producer.h"

namespace pylabhub::testing {

// Fills the slot with words made of `number`.
void Stamp(std::span<std::byte> payload, uint64_t number);
// True if every word of the payload was made of `number`.
bool IsStamped(std::span<const std::byte> payload, uint64_t number);

// Acquires, stamps and commits the producer's next slot, whole; `number` is its sequence number.
shm::SlotResult PutStamped(shm::DataBlockProducer& producer, absl::Duration timeout);

// What a consumer saw until there was nothing more to read.
struct Received {
  uint64_t slots = 0;
  uint64_t missed = 0;
  uint64_t wrong = 0;  // torn, out of order, or with another number than they say
  shm::SlotResult end = shm::SlotResult::kOk;
};
// Reads stamped slots until Acquire answers anything but a slot.
Received ReadStamped(shm::DataBlockConsumer& consumer, absl::Duration timeout);

}  // namespace pylabhub::testing

#endif  // PYLABHUB_TESTS_SUPPORT_STAMPED_SLOTS_H_
