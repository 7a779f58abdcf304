// death: how long the others stand still when one of them is killed.
#pragma once

#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <new>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "tests/bench/clock.h"
#include "tests/bench/exchange.h"
#include "tests/bench/shared_memory.h"
#include "tests/bench/subject.h"
#include "tests/bench/trial.h"
#include "tests/bench/victim.h"

namespace pylabhub::bench {

// What the processes of such a trial tell each other. In shared memory.
struct DeathBoard {
  std::atomic<bool> victim_is_open{false};
  std::atomic<bool> all_are_open{false};
  std::atomic<bool> victim_holds{false};  // the message that it will die with
  std::atomic<uint64_t> written{0};
  std::atomic<uint64_t> killed_ticks{0};  // 0: not yet
  std::atomic<uint64_t> known_ticks[kMaxSides] = {};
};

inline constexpr double kDeathPatienceSeconds = 8;
// A trial kills so many times, or as often as fits into the time.
inline constexpr int kKillsPerTrial = 3;
inline constexpr double kKillingSeconds = 1;

// A reader takes a message and never gives it back; the writer fills the channel, and waits; the reader is killed.
// Measured until the writer's next message is written; it then writes on, and the other reader must get everything.
template <typename T>
absl::StatusOr<Sample> KillReader(T& transport, const Bench& bench, const TrialSettings& settings) {
  absl::StatusOr<SharedMemory> memory = SharedMemory::Create(sizeof(DeathBoard));
  if (!memory.ok()) return memory.status();
  auto& board = *new (memory->base()) DeathBoard();
  const uint64_t more = 2 * uint64_t{bench.capacity_slots};

  const auto write = [&](StartLine& start_line) -> absl::StatusOr<Sample> {
    auto writer = transport.OpenWriter(Lane::kThere);
    if (!writer.ok()) return writer.status();
    if (absl::Status met = start_line.Meet(); !met.ok()) return met;
    const uint64_t deadline_ticks = NowTicks() + TicksOf(kDeathPatienceSeconds);
    uint64_t standstill_ticks = 0;
    for (uint64_t sequence = 0, end = UINT64_MAX; sequence <= end; ++sequence) {
      const uint64_t marked = sequence == end ? sequence | kLastMessage : sequence;
      if (!Send(**writer, deadline_ticks, LineSize(), marked)) return Silent(sequence);
      const uint64_t killed_ticks = board.killed_ticks.load(std::memory_order_acquire);
      if (killed_ticks != 0 && standstill_ticks == 0) {
        standstill_ticks = NowTicks() - killed_ticks;
        end = sequence + more;
      }
      board.written.store(sequence + 1, std::memory_order_relaxed);
    }
    return Sample{.value = static_cast<double>(standstill_ticks) * NsPerTick(), .tail = 0};
  };
  const auto survive = [&](StartLine& start_line) -> absl::StatusOr<Sample> {
    auto reader = transport.OpenReader(Lane::kThere, 0);
    if (!reader.ok()) return reader.status();
    if (absl::Status met = start_line.Meet(); !met.ok()) return met;
    const uint64_t deadline_ticks = NowTicks() + TicksOf(kDeathPatienceSeconds);
    for (uint64_t sequence = 0;; ++sequence) {
      const auto verdict = Receive(**reader, deadline_ticks, LineSize(), sequence);
      if (!verdict.has_value()) return Silent(sequence);
      if (*verdict == Verdict::kWrong) return Wrong(sequence);
      if (*verdict == Verdict::kLast) return Sample{};
    }
  };
  const auto hold = [&] {
    auto reader = transport.OpenReader(Lane::kThere, 1);
    if (!reader.ok()) return;
    board.victim_is_open.store(true, std::memory_order_relaxed);
    const uint64_t deadline_ticks = NowTicks() + TicksOf(kDeathPatienceSeconds);
    (*reader)->Read(deadline_ticks, [&](const void*) {
      board.victim_holds.store(true, std::memory_order_relaxed);
      for (;;) pause();
    });
  };
  const auto kill = [&](StartLine& start_line) -> absl::StatusOr<Sample> {
    Victim victim(hold);
    absl::Status status = NapUntil(kDeathPatienceSeconds, "the reader to be killed",
                                   [&] { return board.victim_is_open.load(std::memory_order_relaxed); });
    if (!status.ok()) return status;
    if (absl::Status met = start_line.Meet(); !met.ok()) return met;
    status = NapUntil(kDeathPatienceSeconds, "a full channel", [&] {
      const uint64_t written = board.written.load(std::memory_order_relaxed);
      return board.victim_holds.load(std::memory_order_relaxed) && written >= bench.capacity_slots;
    });
    if (!status.ok()) return status;
    // Full, and the writer waits: nothing was written for a while.
    for (uint64_t seen = 0; seen != board.written.load(std::memory_order_relaxed);) {
      seen = board.written.load(std::memory_order_relaxed);
      NapForARandomTime();
    }
    board.killed_ticks.store(NowTicks(), std::memory_order_release);
    victim.Kill();
    return Sample{};
  };
  return RunTrial(settings, {{"writer", settings.cores.other, write},
                             {"surviving reader", settings.cores.measuring, survive},
                             {"killer", settings.cores.measuring, kill}});
}

// The writer is killed while its readers, which have read everything, wait for more. Measured until the last of them
// knows.
template <typename T>
absl::StatusOr<Sample> KillWriter(T& transport, const Bench& bench, const TrialSettings& settings) {
  absl::StatusOr<SharedMemory> memory = SharedMemory::Create(sizeof(DeathBoard));
  if (!memory.ok()) return memory.status();
  auto& board = *new (memory->base()) DeathBoard();
  const uint64_t messages = bench.capacity_slots / 2;

  const auto mourn = [&](uint32_t place, StartLine& start_line) -> absl::StatusOr<Sample> {
    auto reader = transport.OpenReader(Lane::kThere, place);
    if (!reader.ok()) return reader.status();
    if (absl::Status met = start_line.Meet(); !met.ok()) return met;
    const uint64_t deadline_ticks = NowTicks() + TicksOf(kDeathPatienceSeconds);
    for (uint64_t sequence = 0; sequence < messages; ++sequence) {
      const auto verdict = Receive(**reader, deadline_ticks, LineSize(), sequence);
      if (!verdict.has_value()) return Silent(sequence);
      if (*verdict != Verdict::kGood) return Wrong(sequence);
    }
    if (!(*reader)->LearnsOfTheWritersEnd(deadline_ticks)) {
      return absl::DeadlineExceededError("does not learn that its writer is dead");
    }
    board.known_ticks[place].store(NowTicks(), std::memory_order_relaxed);
    return Sample{};
  };
  const auto write_and_wait = [&] {
    auto writer = transport.OpenWriter(Lane::kThere);
    if (!writer.ok()) return;
    if (!NapUntil(kDeathPatienceSeconds, "", [&] { return board.all_are_open.load(); }).ok()) return;
    const uint64_t deadline_ticks = NowTicks() + TicksOf(kDeathPatienceSeconds);
    for (uint64_t sequence = 0; sequence < messages; ++sequence) {
      if (!Send(**writer, deadline_ticks, LineSize(), sequence)) return;
      board.written.store(sequence + 1, std::memory_order_relaxed);
    }
    for (;;) pause();
  };
  const auto kill = [&](StartLine& start_line) -> absl::StatusOr<Sample> {
    Victim victim(write_and_wait);
    if (absl::Status met = start_line.Meet(); !met.ok()) return met;
    board.all_are_open.store(true);
    absl::Status status = NapUntil(kDeathPatienceSeconds, "the last message",
                                   [&] { return board.written.load(std::memory_order_relaxed) == messages; });
    if (!status.ok()) return status;
    NapForARandomTime();
    const uint64_t killed_ticks = victim.Kill();
    uint64_t known_ticks = 0;
    status = NapUntil(kDeathPatienceSeconds, "word from every reader", [&] {
      const auto* const all = board.known_ticks;
      known_ticks = *std::max_element(all, all + bench.readers);
      return std::all_of(all, all + bench.readers, [](const auto& ticks) { return ticks != 0; });
    });
    if (!status.ok()) return status;
    if (known_ticks < killed_ticks) return absl::InternalError("a reader knew of the death before it came");
    return Sample{.value = static_cast<double>(known_ticks - killed_ticks) * NsPerTick(), .tail = 0};
  };
  std::vector<Side> sides = {{"killer", settings.cores.other, kill}};
  for (uint32_t place = 0; place < bench.readers; ++place) {
    sides.push_back({absl::StrCat("reader ", place), settings.cores.measuring,
                     [&, place](StartLine& start_line) { return mourn(place, start_line); }});
  }
  return RunTrial(settings, sides);
}

// Kills some times, by `kill`, which returns the time of one: the median and the longest.
template <typename Kill>
absl::StatusOr<Sample> RepeatKills(Kill kill) {
  std::vector<double> times_ns;
  const uint64_t end_ticks = NowTicks() + TicksOf(kKillingSeconds);
  do {
    const absl::StatusOr<Sample> sample = kill();
    if (!sample.ok()) return sample.status();
    times_ns.push_back(sample->value);
  } while (times_ns.size() < kKillsPerTrial && NowTicks() < end_ticks);
  std::sort(times_ns.begin(), times_ns.end());
  return Sample{.value = times_ns[times_ns.size() / 2], .tail = times_ns.back()};
}

template <typename T>
absl::StatusOr<Sample> MeasureReaderDeath(T& transport, const Bench& bench, const TrialSettings& settings) {
  return RepeatKills([&] { return KillReader(transport, bench, settings); });
}

template <typename T>
absl::StatusOr<Sample> MeasureWriterDeath(T& transport, const Bench& bench, const TrialSettings& settings) {
  return RepeatKills([&] { return KillWriter(transport, bench, settings); });
}

}  // namespace pylabhub::bench
