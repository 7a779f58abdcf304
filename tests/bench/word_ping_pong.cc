#include "tests/bench/word_ping_pong.h"

#include <array>
#include <atomic>
#include <cstdint>
#include <new>

#include "absl/status/status.h"
#include "tests/bench/clock.h"
#include "tests/bench/shared_memory.h"
#include "tests/bench/trip_timer.h"
#include "tests/bench/waiting.h"

namespace pylabhub::bench {
namespace {

// A word holds the last turn that was taken on it: 0 before its first, odd for the measuring side's, even for the other's.
// kEnd: no more turns.
struct alignas(128) Word {
  std::atomic<uint32_t> turn{0};
};

// Trips take these words in turn, each in a line of its own. How long a line takes from core to core depends on its address: its
// place in the shared cache may be near or far, up to a factor of two (184 to 329 ns were seen). The median over many is
// what any memory can expect.
constexpr uint32_t kWords = 64;

using Words = std::array<Word, kWords>;

constexpr uint32_t kEnd = UINT32_MAX;

absl::Status Silent() { return absl::DeadlineExceededError("the other side took too long for its turn"); }

struct Spinning {
  // Release, and acquire below: the pair is part of what a limit must pay, since every transport needs it.
  static void Set(std::atomic<uint32_t>& word, uint32_t value) {
    word.store(value, std::memory_order_release);
  }
  static bool WaitWhile(std::atomic<uint32_t>& word, uint32_t value, uint64_t deadline_ticks) {
    return SpinUntil(deadline_ticks, [&] { return word.load(std::memory_order_acquire) != value; });
  }
};

struct Sleeping {
  static void Set(std::atomic<uint32_t>& word, uint32_t value) {
    word.store(value, std::memory_order_release);
    FutexWake(word);
  }
  static bool WaitWhile(std::atomic<uint32_t>& word, uint32_t value, uint64_t deadline_ticks) {
    return SleepWhile(word, value, deadline_ticks);
  }
};

template <typename Way>
absl::StatusOr<Sample> MeasureTurns(const TrialSettings& settings) {
  absl::StatusOr<SharedMemory> memory = SharedMemory::Create(sizeof(Words));
  if (!memory.ok()) return memory.status();
  Words& words = *new (memory->base()) Words();

  const auto serve = [&](StartLine& start_line) -> absl::StatusOr<Sample> {
    if (absl::Status met = start_line.Meet(); !met.ok()) return met;
    TripTimer timer(settings.seconds);
    const uint64_t deadline_ticks = timer.deadline_ticks();
    uint32_t trip = 0;
    for (; timer.Lap(); ++trip) {
      std::atomic<uint32_t>& turn = words[trip % kWords].turn;
      Way::Set(turn, 2 * trip + 1);
      if (!Way::WaitWhile(turn, 2 * trip + 1, deadline_ticks)) return Silent();
    }
    Way::Set(words[trip % kWords].turn, kEnd);
    return timer.Percentiles();
  };
  const auto send_back = [&](StartLine& start_line) {
    if (absl::Status met = start_line.Meet(); !met.ok()) return met;
    const uint64_t deadline_ticks = NowTicks() + TicksOf(2 * settings.seconds + kPatienceSeconds);
    for (uint32_t trip = 0;; ++trip) {
      std::atomic<uint32_t>& turn = words[trip % kWords].turn;
      const uint32_t before = trip < kWords ? 0 : 2 * (trip - kWords) + 2;
      if (!Way::WaitWhile(turn, before, deadline_ticks)) return Silent();
      const uint32_t got = turn.load(std::memory_order_relaxed);  // WaitWhile acquired it
      if (got == kEnd) return absl::OkStatus();
      if (got != 2 * trip + 1) return absl::DataLossError("a turn was skipped");
      Way::Set(turn, 2 * trip + 2);
    }
  };
  return RunTrial(settings, serve, send_back);
}

}  // namespace

absl::StatusOr<Sample> MeasureLineRoundTrip(const TrialSettings& settings) {
  return MeasureTurns<Spinning>(settings);
}

absl::StatusOr<Sample> MeasureFutexRoundTrip(const TrialSettings& settings) {
  return MeasureTurns<Sleeping>(settings);
}

}  // namespace pylabhub::bench
