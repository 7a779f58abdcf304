#include "tests/bench/fanout_ring.h"

#include <atomic>
#include <cstdint>
#include <memory>
#include <new>
#include <utility>

#include "absl/status/status.h"
#include "tests/bench/measure_stream.h"
#include "tests/bench/payload.h"
#include "tests/bench/shared_memory.h"
#include "tests/bench/waiting.h"

namespace pylabhub::bench {
namespace {

// `sequence` is s + 1 once message s is there, and what the message a whole ring earlier left before that.
struct alignas(128) Slot {
  std::atomic<uint32_t> sequence;
  char* payload() { return reinterpret_cast<char*>(this) + kLineBytes; }
};

// What one reader writes.
struct ReaderWords {
  alignas(128) std::atomic<uint32_t> read_count{0};
  alignas(128) std::atomic<uint32_t> sleeps{0};
};

constexpr uint32_t kMaxReaders = 4;

// In shared memory, followed by its slots.
struct Ring {
  ReaderWords readers[kMaxReaders];
  alignas(128) std::atomic<uint32_t> writer_sleeps{0};
};

// What both ends know.
struct End {
  Ring* ring;
  uint64_t stride;
  uint32_t mask;  // the capacity, a power of two, less one
  uint32_t readers;

  Slot& slot(uint32_t sequence) const {
    return *reinterpret_cast<Slot*>(reinterpret_cast<char*>(ring + 1) + (sequence & mask) * stride);
  }
};

// A look at a word after a store to another one. Edges C and D: of two that do this to each other's words, one sees
// what the other stored.
uint32_t LoadAfterStore(const std::atomic<uint32_t>& word) {
  std::atomic_thread_fence(std::memory_order_seq_cst);
  return word.load(std::memory_order_relaxed);
}

class Writer {
 public:
  explicit Writer(const End& end) : end_(end) {}

  template <typename Fill>
  bool Write(uint64_t deadline_ticks, Fill fill) {
    while (next_ - read_count_ > end_.mask) {
      if (!WaitForRoom(deadline_ticks)) return false;
    }
    Slot& slot = end_.slot(next_);
    fill(slot.payload());
    slot.sequence.store(++next_, std::memory_order_release);  // edge A
    uint32_t sleepers = 0;
    for (uint32_t i = 0; i < end_.readers; ++i)
      sleepers += LoadAfterStore(end_.ring->readers[i].sleeps);  // edge C: the sequence before this
    if (sleepers != 0) FutexWake(slot.sequence);
    return true;
  }

 private:
  // The words of the reader that has read least; read_count_ is how much that is.
  ReaderWords& FindSlowest() {
    ReaderWords* slowest = nullptr;
    for (uint32_t i = 0; i < end_.readers; ++i) {
      ReaderWords& reader = end_.ring->readers[i];
      const uint32_t count = reader.read_count.load(std::memory_order_acquire);  // edge B
      if (slowest != nullptr && next_ - count <= next_ - read_count_) continue;
      slowest = &reader;
      read_count_ = count;
    }
    return *slowest;
  }

  bool WaitForRoom(uint64_t deadline_ticks) {
    FindSlowest();
    if (next_ - read_count_ <= end_.mask) return true;
    // Relaxed, here and below: the fence orders it; after the sleep it is only a hint.
    end_.ring->writer_sleeps.store(1, std::memory_order_relaxed);
    std::atomic_thread_fence(std::memory_order_seq_cst);  // edge D: the sleeper before the look at the counts
    ReaderWords& slowest = FindSlowest();
    const bool in_time =
        next_ - read_count_ <= end_.mask || SleepWhile(slowest.read_count, read_count_, deadline_ticks);
    end_.ring->writer_sleeps.store(0, std::memory_order_relaxed);
    return in_time;
  }

  const End end_;
  uint32_t next_ = 0;
  uint32_t read_count_ = 0;
};

class Reader {
 public:
  Reader(const End& end, uint32_t place) : end_(end), words_(end.ring->readers[place]) {}

  template <typename Use>
  bool Read(uint64_t deadline_ticks, Use use) {
    Slot& slot = end_.slot(next_);
    if (slot.sequence.load(std::memory_order_acquire) != next_ + 1 &&  // edge A
        !Sleep(slot, deadline_ticks)) {
      return false;
    }
    use(slot.payload());
    words_.read_count.store(++next_, std::memory_order_release);  // edge B
    if (LoadAfterStore(end_.ring->writer_sleeps) != 0)            // edge D: the count before this
      FutexWake(words_.read_count);
    return true;
  }

 private:
  bool Sleep(Slot& slot, uint64_t deadline_ticks) {
    // Relaxed, here and below: the fence orders it; after the sleep it is only a hint.
    words_.sleeps.store(1, std::memory_order_relaxed);
    std::atomic_thread_fence(
        std::memory_order_seq_cst);  // edge C: the sleeper before the look at the sequence
    const bool in_time = SleepWhile(slot.sequence, next_ - end_.mask, deadline_ticks);
    words_.sleeps.store(0, std::memory_order_relaxed);
    return in_time;
  }

  const End end_;
  ReaderWords& words_;
  uint32_t next_ = 0;
};

class FanoutRing {
 public:
  static absl::StatusOr<FanoutRing> Create(const Bench& bench) {
    if (bench.readers > kMaxReaders) return absl::InvalidArgumentError("the ring has too few places");
    const uint64_t stride = (kLineBytes + bench.payload_bytes + 127) / 128 * 128;
    absl::StatusOr<SharedMemory> memory = SharedMemory::Create(sizeof(Ring) + bench.capacity_slots * stride);
    if (!memory.ok()) return memory.status();
    const End end = {new (memory->base()) Ring(), stride, bench.capacity_slots - 1, bench.readers};
    for (uint32_t i = 0; i < bench.capacity_slots; ++i) new (&end.slot(i)) Slot{.sequence = i - end.mask};
    return FanoutRing(*std::move(memory), end);
  }

  absl::StatusOr<std::unique_ptr<Writer>> OpenWriter(Lane) const { return std::make_unique<Writer>(end_); }
  absl::StatusOr<std::unique_ptr<Reader>> OpenReader(Lane, uint32_t place) const {
    return std::make_unique<Reader>(end_, place);
  }

 private:
  FanoutRing(SharedMemory memory, const End& end) : memory_(std::move(memory)), end_(end) {}

  SharedMemory memory_;
  End end_;
};

}  // namespace

absl::StatusOr<Sample> MeasureFanoutRing(const Bench& bench, const TrialSettings& settings) {
  absl::StatusOr<FanoutRing> ring = FanoutRing::Create(bench);
  if (!ring.ok()) return ring.status();
  return MeasureStream(*ring, bench, settings);
}

}  // namespace pylabhub::bench
