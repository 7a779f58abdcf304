// discover.warm: what an answer from memory costs, with 10,000 channels known, and with other threads asking too. Also what
// the directory costs to fill, and how much memory a channel takes.
//
//   bazel run --config=opt //tests/bench/control:warm_directory_bench
#include <benchmark/benchmark.h>
#include <malloc.h>

#include <memory>
#include <string>
#include <vector>

#include "client/fake_broker_connection.h"
#include "client/messenger.h"
#include "client/warm_directory.h"

namespace pylabhub {
namespace {

constexpr size_t kChannels = 10'000;

std::string NameOf(size_t i) {
  return "rack." + std::to_string(i / 100) + ".sensor." + std::to_string(i % 100);
}

// As a producer of shm registers it.
Channel Realistic(size_t i) {
  Channel channel{.state = ChannelState::kReady, .epoch = i + 1, .revision = i + 1};
  channel.spec.name = NameOf(i);
  channel.spec.shared_memory = {
      .data_name = "pylabhub." + NameOf(i) + ".00112233445566778899aabbccddeeff.data",
      .control_name = "pylabhub." + NameOf(i) + ".00112233445566778899aabbccddeeff.control",
      .anchor_name = "pylabhub." + NameOf(i) + ".anchor"};
  channel.spec.metadata = {{"capacity_slots", "64"},  {"slot_bytes", "4096"},
                           {"overflow", "block"},     {"read", "next"},
                           {"policy", "sync_reader"}, {"schema_name", "TempReading"}};
  channel.spec.process = {.pid = 4711,
                          .host = "lab-host-17",
                          .boot_id = "7b0e2f0a-54a1-4e63-8d4c-0d7a0c0c9a11",
                          .shm_device = 26,
                          .program = "sampler"};
  channel.producer_identity = "spiffe://pylabhub.local/client";
  return channel;
}

WatchBatch Snapshot(size_t channels) {
  WatchBatch batch{.history_id = "history"};
  for (size_t i = 0; i < channels; ++i) {
    batch.events.push_back(
        {.kind = WatchEventKind::kSnapshot, .revision = channels, .channel = Realistic(i)});
  }
  batch.events.push_back({.kind = WatchEventKind::kSnapshotComplete, .revision = channels});
  return batch;
}

WarmDirectory& FullDirectory() {
  static WarmDirectory* const directory = [] {
    auto* filled = new WarmDirectory;  // for the process's life, as other threads may ask to its end
    filled->Begin({"*"});
    WarmDirectory::Changes changes;
    (void)filled->Apply(Snapshot(kChannels), changes);
    return filled;
  }();
  return *directory;
}

const std::vector<std::string>& Names() {
  static const auto* const names = [] {
    auto* made = new std::vector<std::string>;
    // In no order that a cache could foresee.
    for (size_t i = 0; i < kChannels; ++i) made->push_back(NameOf(i * 7'919 % kChannels));
    return made;
  }();
  return *names;
}

void FindReady(benchmark::State& state) {
  const WarmDirectory& directory = FullDirectory();
  const std::vector<std::string>& names = Names();
  size_t i = static_cast<size_t>(state.thread_index()) * 1'000;
  for (auto _ : state) benchmark::DoNotOptimize(directory.FindReady(names[++i % kChannels]));
}
BENCHMARK(FindReady)->Threads(1)->Threads(2)->Threads(8);

// The whole call of an application: a copy of the channel, and counted.
void DiscoverProducer(benchmark::State& state) {
  static Messenger* const messenger = [] {
    static FakeBroker broker;
    const auto connection = broker.NewConnection();
    for (size_t i = 0; i < kChannels; ++i) {
      (void)connection->Register("session", Realistic(i).spec, false, absl::Seconds(1));
      (void)connection->Heartbeat("session", {.channels = {{.name = NameOf(i)}}}, absl::Seconds(1));
    }
    Messenger* made =
        Messenger::Create(broker.NewConnection(), {.watch = WatchScope::Everything()})->release();
    made->AwaitDirectory(absl::Seconds(30));
    return made;
  }();
  const std::vector<std::string>& names = Names();
  size_t i = static_cast<size_t>(state.thread_index()) * 1'000;
  for (auto _ : state) {
    const absl::StatusOr<Channel> found =
        messenger->DiscoverProducer(names[++i % kChannels], absl::ZeroDuration());
    if (!found.ok()) return state.SkipWithError("not found");
  }
  if (state.thread_index() == 0) {
    state.counters["misses"] = static_cast<double>(messenger->metrics().directory_misses);
  }
}
BENCHMARK(DiscoverProducer)->Threads(1)->Threads(2)->Threads(8);

void ApplySnapshot(benchmark::State& state) {
  for (auto _ : state) {
    state.PauseTiming();
    WatchBatch batch = Snapshot(kChannels);
    WarmDirectory directory;
    directory.Begin({"*"});
    WarmDirectory::Changes changes;
    state.ResumeTiming();
    (void)directory.Apply(std::move(batch), changes);
  }
  state.SetItemsProcessed(state.iterations() * static_cast<int64_t>(kChannels));
}
BENCHMARK(ApplySnapshot)->Unit(benchmark::kMillisecond);

void MemoryOfAChannel(benchmark::State& state) {
  double bytes = 0;
  for (auto _ : state) {
    const auto before = mallinfo2().uordblks;
    WarmDirectory directory;
    directory.Begin({"*"});
    WarmDirectory::Changes changes;
    (void)directory.Apply(Snapshot(kChannels), changes);
    changes = {};
    bytes = static_cast<double>(mallinfo2().uordblks - before) / kChannels;
  }
  state.counters["bytes"] = bytes;
}
BENCHMARK(MemoryOfAChannel)->Iterations(3);

}  // namespace
}  // namespace pylabhub

BENCHMARK_MAIN();
