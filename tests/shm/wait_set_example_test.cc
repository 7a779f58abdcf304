// A loop of docs/data_plane.md, as it stands there.
#include <gtest/gtest.h>

#include <array>
#include <atomic>
#include <cstdint>
#include <thread>

#include "shm/data_block_consumer.h"
#include "shm/data_block_producer.h"
#include "shm/wait_set.h"
#include "tests/shm/channel_bundle.h"

namespace pylabhub::shm {
namespace {

enum Key : uint64_t { kCamera, kStage };
using Counts = std::array<std::atomic<int>, 2>;

void Use(uint64_t key, const ReadSlot&, Counts& counts) {
  ++counts[key];
  counts[key].notify_one();
}

void Serve(DataBlockConsumer& camera, DataBlockConsumer& stage, WaitSet& set, Counts& counts) {
  set.Add(camera, {.priority = 10, .key = kCamera}).IgnoreError();
  set.Add(stage, {.key = kStage}).IgnoreError();
  for (;;) {
    const WaitResult next = set.Wait(absl::Seconds(1));
    if (next.outcome == WaitOutcome::kWoken) return;    // set.Wake(), by any thread or signal handler
    if (next.outcome != WaitOutcome::kReady) continue;  // nothing for a second
    const ReadSlot slot = next.consumer->Acquire(absl::ZeroDuration());
    if (slot) {
      Use(next.key, slot, counts);
    } else if (slot.result() == SlotResult::kProducerClosed || slot.result() == SlotResult::kProducerDead) {
      // Not there yet? The set tells when it is.
      next.consumer->Follow(absl::ZeroDuration()).IgnoreError();
    }
  }
}

TEST(WaitSetExampleTest, EverySlotIsUsedAcrossAChangeOfProducerUntilTheSetIsWoken) {
  ChannelBundle channels(2);
  WaitSet set;
  Counts counts = {};
  std::thread server([&] { Serve(channels.consumer(kCamera), channels.consumer(kStage), set, counts); });
  const auto await = [&](Key key, int slots) {
    for (int now = counts[key]; now < slots; now = counts[key]) counts[key].wait(now);
  };
  channels.Put(kStage, 10);
  channels.Put(kCamera, 20);
  await(kCamera, 20);
  await(kStage, 10);
  channels.Close(kStage);
  channels.Reopen(kStage);
  channels.Put(kStage, 30);
  await(kStage, 40);
  set.Wake();
  server.join();
  EXPECT_EQ(counts[kCamera], 20);
  EXPECT_EQ(counts[kStage], 40);
}

}  // namespace
}  // namespace pylabhub::shm
