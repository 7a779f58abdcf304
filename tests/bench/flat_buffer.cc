#include "tests/bench/flat_buffer.h"

#include <new>
#include <utility>

namespace pylabhub::bench {

absl::StatusOr<std::unique_ptr<FlatBuffer>> FlatBuffer::Create(const Bench& bench) {
  const uint64_t bytes_each_way = sizeof(Word) + bench.payload_bytes;
  absl::StatusOr<SharedMemory> memory = SharedMemory::Create(2 * bytes_each_way);
  if (!memory.ok()) return memory.status();
  return std::make_unique<FlatBuffer>(*std::move(memory), bytes_each_way);
}

FlatBuffer::FlatBuffer(SharedMemory memory, uint64_t bytes_each_way)
    : memory_(std::move(memory)),
      words_{new (memory_.base()) Word(), new (memory_.base() + bytes_each_way) Word()} {}

}  // namespace pylabhub::bench
