#include "tests/bench/ring_subject.h"

#include <atomic>
#include <memory>
#include <new>
#include <string>

#include "absl/strings/string_view.h"
#include "tests/bench/fanout_ring.h"
#include "tests/bench/shared_memory.h"
#include "tests/bench/transport.h"
#include "tests/bench/waiting.h"

namespace pylabhub::bench {
namespace {

// How long an adaptive reader looks before it sleeps: about one wake.
constexpr double kSpinSeconds = 8e-6;

// `sequence` is s + 1 once message s is there, and what the message a whole ring earlier left before that.
struct alignas(128) Slot {
  std::atomic<uint32_t> sequence;
  char* payload() { return reinterpret_cast<char*>(this) + kLineBytes; }
};

// One direction, in shared memory, followed by its slots.
struct Ring {
  alignas(128) std::atomic<uint32_t> read_count{0};
  alignas(128) std::atomic<uint32_t> reader_sleeps{0};

  Slot& slot(uint64_t index, uint64_t stride) {
    return *reinterpret_cast<Slot*>(reinterpret_cast<char*>(this + 1) + index * stride);
  }
};

class RingTransport {
 public:
  static constexpr absl::string_view kName = "ring";
  static bool Carries(const Bench& bench) {
    return bench.shape == Shape::kRoundTrip || bench.shape == Shape::kStream ||
           bench.shape == Shape::kHandoff;
  }
  static absl::StatusOr<std::unique_ptr<RingTransport>> Create(const Bench& bench) {
    const uint64_t stride = (kLineBytes + bench.payload_bytes + 127) / 128 * 128;
    const uint64_t ring_bytes = sizeof(Ring) + bench.capacity_slots * stride;
    absl::StatusOr<SharedMemory> memory = SharedMemory::Create(2 * ring_bytes);
    if (!memory.ok()) return memory.status();
    return std::make_unique<RingTransport>(bench, *std::move(memory), ring_bytes, stride);
  }

  RingTransport(const Bench& bench, SharedMemory memory, uint64_t ring_bytes, uint64_t stride)
      : memory_(std::move(memory)), shape_{nullptr, stride, bench.capacity_slots - 1, bench.waiting} {
    for (int lane = 0; lane < 2; ++lane) {
      rings_[lane] = new (memory_.base() + lane * ring_bytes) Ring();
      for (uint32_t i = 0; i < bench.capacity_slots; ++i) {
        new (&rings_[lane]->slot(i, stride)) Slot{.sequence = i - shape_.mask};
      }
    }
  }

  // What both ends know of a lane.
  struct End {
    Ring* ring;
    uint64_t stride;
    uint32_t mask;  // the capacity, a power of two, less one
    Waiting waiting;

    Slot& slot(uint32_t sequence) const { return ring->slot(sequence & mask, stride); }
  };

  class Writer {
   public:
    explicit Writer(const End& end) : end_(end) {}

    template <typename Fill>
    bool Write(uint64_t deadline_ticks, Fill fill) {
      if (next_ - read_count_ > end_.mask && !WaitForRoom(deadline_ticks)) return false;
      Slot& slot = end_.slot(next_);
      fill(slot.payload());
      slot.sequence.store(++next_, std::memory_order_release);  // edge A
      if (end_.waiting != Waiting::kSpin) WakeReader(slot);
      return true;
    }

   private:
    bool WaitForRoom(uint64_t deadline_ticks) {
      return SpinUntil(deadline_ticks, [this] {
        read_count_ = end_.ring->read_count.load(std::memory_order_acquire);  // edge B
        return next_ - read_count_ <= end_.mask;
      });
    }

    void WakeReader(Slot& slot) {
      std::atomic_thread_fence(
          std::memory_order_seq_cst);  // edge C: the sequence before the look at the sleeper
      // Relaxed: only a hint whom to wake; the fences order it.
      if (end_.ring->reader_sleeps.load(std::memory_order_relaxed) != 0) FutexWake(slot.sequence);
    }

    const End end_;
    uint32_t next_ = 0;
    uint32_t read_count_ = 0;
  };

  class Reader {
   public:
    explicit Reader(const End& end) : end_(end), spin_ticks_(TicksOf(kSpinSeconds)) {}

    template <typename Use>
    bool Read(uint64_t deadline_ticks, Use use) {
      Slot& slot = end_.slot(next_);
      const auto arrived = [&] {
        return slot.sequence.load(std::memory_order_acquire) == next_ + 1;  // edge A
      };
      if (!Wait(slot, deadline_ticks, arrived)) return false;
      use(slot.payload());
      end_.ring->read_count.store(++next_, std::memory_order_release);  // edge B
      return true;
    }

   private:
    template <typename Arrived>
    bool Wait(Slot& slot, uint64_t deadline_ticks, Arrived arrived) {
      if (end_.waiting == Waiting::kSpin) return SpinUntil(deadline_ticks, arrived);
      if (arrived()) return true;
      if (end_.waiting == Waiting::kAdaptive && SpinUntil(NowTicks() + spin_ticks_, arrived)) return true;
      // Relaxed, here and below: the fence orders it; after the sleep it is only a hint.
      end_.ring->reader_sleeps.store(1, std::memory_order_relaxed);
      std::atomic_thread_fence(
          std::memory_order_seq_cst);  // edge C: the sleeper before the look at the sequence
      const bool in_time = SleepWhile(slot.sequence, next_ - end_.mask, deadline_ticks);
      end_.ring->reader_sleeps.store(0, std::memory_order_relaxed);
      return in_time;
    }

    const End end_;
    const uint64_t spin_ticks_;
    uint32_t next_ = 0;
  };

  absl::StatusOr<std::unique_ptr<Writer>> OpenWriter(Lane lane) {
    return std::make_unique<Writer>(EndOf(lane));
  }
  absl::StatusOr<std::unique_ptr<Reader>> OpenReader(Lane lane, uint32_t /*place*/) {
    return std::make_unique<Reader>(EndOf(lane));
  }

 private:
  End EndOf(Lane lane) const {
    End end = shape_;
    end.ring = rings_[lane == Lane::kBack];
    return end;
  }

  SharedMemory memory_;
  End shape_;
  Ring* rings_[2];
};

}  // namespace

Subject RingSubject() {
  return {.name = std::string(RingTransport::kName),
          .measures = &RingTransport::Carries,
          .measure = [](const Bench& bench, const TrialSettings& settings) {
            return bench.readers == 1 ? MeasureTransport<RingTransport>(bench, settings)
                                      : MeasureFanoutRing(bench, settings);
          }};
}

}  // namespace pylabhub::bench
