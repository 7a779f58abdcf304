// The limit for a large round trip: one buffer in each direction, always the same one, handed over by one
// word.
//
// It holds one message, and its writer relies on the answer to know that the buffer is free again: good for
// round trips, no use for anything else.
#pragma once

#include <atomic>
#include <memory>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "tests/bench/bench.h"
#include "tests/bench/shared_memory.h"
#include "tests/bench/subject.h"
#include "tests/bench/waiting.h"

namespace pylabhub::bench {

class FlatBuffer {
  // In shared memory, followed by the payload.
  struct alignas(128) Word {
    std::atomic<uint64_t> messages{0};
    char* payload() { return reinterpret_cast<char*>(this + 1); }
  };

 public:
  static constexpr absl::string_view kName = "limit";
  static bool Carries(const Bench& bench) {
    return bench.shape == Shape::kRoundTrip && bench.waiting == Waiting::kSpin;
  }
  static absl::StatusOr<std::unique_ptr<FlatBuffer>> Create(const Bench& bench);

  class Writer {
   public:
    explicit Writer(Word* word) : word_(word) {}

    template <typename Fill>
    bool Write(uint64_t /*deadline_ticks*/, Fill fill) {
      fill(word_->payload());
      word_->messages.store(++written_, std::memory_order_release);  // pairs with Read's acquire
      return true;
    }

   private:
    Word* word_;
    uint64_t written_ = 0;
  };

  class Reader {
   public:
    explicit Reader(Word* word) : word_(word) {}

    template <typename Use>
    bool Read(uint64_t deadline_ticks, Use use) {
      const auto arrived = [this] {
        return word_->messages.load(std::memory_order_acquire) > read_;  // pairs with Write's release
      };
      if (!SpinUntil(deadline_ticks, arrived)) return false;
      ++read_;
      use(word_->payload());
      return true;
    }

   private:
    Word* word_;
    uint64_t read_ = 0;
  };

  absl::StatusOr<std::unique_ptr<Writer>> OpenWriter(Lane lane) {
    return std::make_unique<Writer>(words_[lane == Lane::kBack]);
  }
  absl::StatusOr<std::unique_ptr<Reader>> OpenReader(Lane lane, uint32_t /*place*/) {
    return std::make_unique<Reader>(words_[lane == Lane::kBack]);
  }

  FlatBuffer(SharedMemory memory, uint64_t bytes_each_way);

 private:
  SharedMemory memory_;
  Word* words_[2];
};

}  // namespace pylabhub::bench
