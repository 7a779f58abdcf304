#include "tests/chaos/cast.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "shm/os/futex.h"
#include "shm/slot_result.h"
#include "tests/chaos/janitor.h"
#include "tests/chaos/payload.h"
#include "tests/chaos/reader.h"
#include "tests/chaos/writer.h"

namespace pylabhub::chaos {
namespace {

using shm::Buffering;
using shm::Policy;
using shm::SlotResult;
using shm::WhenSlow;

constexpr uint64_t kSmallBytes = 256;
constexpr uint64_t kLargeBytes = 64 << 10;
// Between two tries of a producer that has no channel, if nobody tells it that the channel is free.
constexpr absl::Duration kRetryTime = absl::Milliseconds(10);
// A step's patience: how soon a process that has nothing to do sees that it shall end.
constexpr absl::Duration kStepTime = absl::Milliseconds(20);
constexpr uint32_t kBatchSlots = 4;
constexpr uint64_t kZoneBytes = 1 << 10;
// Between two rounds of cleaning up.
constexpr useconds_t kCleaningPauseMicros = 20'000;

ChannelPlan Channel(const std::string& directory, const std::string& name, Policy policy, Buffering buffering,
                    uint32_t capacity_slots, uint64_t slot_bytes) {
  ChannelPlan plan;
  plan.config = {.channel = name,
                 .policy = policy,
                 .buffering = buffering,
                 .capacity_slots = capacity_slots,
                 .slot_bytes = slot_bytes,
                 .max_consumers = policy == Policy::kSingleReader ? 1u : 8u,
                 .max_pins = 16,
                 // Longer than anybody is stopped.
                 .reservation_ttl = absl::Minutes(1),
                 .directory = directory};
  plan.config = plan.config.WithDefaults();
  plan.burst_slots = slot_bytes == kLargeBytes ? 6 : 48;
  plan.life_slots = slot_bytes == kLargeBytes ? 10'000 : 200'000;
  if (policy == Policy::kPipeline) plan.life_slots = std::min<uint64_t>(plan.life_slots, GroupBook::kSlots);
  return plan;
}

ConsumerPlan Consumer(const ChannelPlan& plan) {
  ConsumerPlan consumer;
  consumer.options.order =
      plan.config.policy == Policy::kLatestOnly ? shm::ReadOrder::kLatest : shm::ReadOrder::kNext;
  return consumer;
}

ConsumerPlan Batching(ConsumerPlan consumer) {
  consumer.options.max_batch = kBatchSlots;
  return consumer;
}

ConsumerPlan Dawdling(ConsumerPlan consumer, WhenSlow when_slow = WhenSlow::kBlock) {
  consumer.dawdles = true;
  consumer.options.when_slow = when_slow;
  consumer.options.patience = absl::Milliseconds(5);
  return consumer;
}

size_t RandomBytes(const ChannelPlan& plan, Dice& dice) {
  const uint64_t words = plan.config.slot_bytes / sizeof(uint64_t);
  // Mostly whole slots: those take longest to write.
  const uint64_t chosen = dice.OneIn(4) ? dice.Between(kMinPayloadBytes / sizeof(uint64_t), words) : words;
  return chosen * sizeof(uint64_t);
}

SlotResult PutSome(const ChannelPlan& plan, Writer& writer, Dice& dice) {
  if (dice.OneIn(50)) return writer.PutAndAbort(kStepTime);
  if (!dice.OneIn(4)) return writer.Put(RandomBytes(plan, dice), kStepTime);
  std::array<size_t, kBatchSlots> sizes;
  for (size_t& size : sizes) size = RandomBytes(plan, dice);
  const uint64_t count = std::min<uint64_t>(dice.Between(1, kBatchSlots), plan.config.capacity_slots);
  return writer.PutBatch(std::span(sizes).first(count), kStepTime);
}

}  // namespace

std::vector<ChannelPlan> AllChannels(const std::string& directory) {
  std::vector<ChannelPlan> plans;
  const auto add = [&](const char* name, Policy policy, Buffering buffering, uint32_t capacity_slots,
                       uint64_t slot_bytes) -> ChannelPlan& {
    plans.push_back(
        Channel(directory, absl::StrCat("chaos.", name), policy, buffering, capacity_slots, slot_bytes));
    plans.back().consumers.push_back(Consumer(plans.back()));
    return plans.back();
  };
  ChannelPlan& sync = add("sync.small", Policy::kSyncReader, Buffering::kRingBuffer, 64, kSmallBytes);
  sync.config.zone_bytes = kZoneBytes;
  sync.consumers.push_back(Batching(Consumer(sync)));
  sync.consumers.push_back(Dawdling(Consumer(sync), WhenSlow::kDropBacklog));
  ChannelPlan& sync_large = add("sync.large", Policy::kSyncReader, Buffering::kRingBuffer, 8, kLargeBytes);
  sync_large.config.checksum = shm::Checksum::kEnforced;
  sync_large.consumers.push_back(Batching(Consumer(sync_large)));
  ChannelPlan& sync_one = add("sync.one", Policy::kSyncReader, Buffering::kSingle, 1, kSmallBytes);
  sync_one.consumers.push_back(Dawdling(Consumer(sync_one), WhenSlow::kCutOff));
  add("single", Policy::kSingleReader, Buffering::kRingBuffer, 16, kSmallBytes);
  add("single.large", Policy::kSingleReader, Buffering::kDoubleBuffer, 2, kLargeBytes);
  ChannelPlan& pubsub = add("pubsub", Policy::kPublishSubscribe, Buffering::kRingBuffer, 32, kSmallBytes);
  pubsub.config.checksum = shm::Checksum::kEnforced;
  pubsub.consumers.push_back(Batching(Dawdling(Consumer(pubsub))));
  ChannelPlan& pubsub_large =
      add("pubsub.large", Policy::kPublishSubscribe, Buffering::kRingBuffer, 8, kLargeBytes);
  pubsub_large.consumers.push_back(Dawdling(Consumer(pubsub_large)));
  add("latest", Policy::kLatestOnly, Buffering::kDoubleBuffer, 2, kSmallBytes);
  ChannelPlan& latest_large = add("latest.large", Policy::kLatestOnly, Buffering::kSingle, 1, kLargeBytes);
  latest_large.consumers.push_back(Dawdling(Consumer(latest_large)));
  ChannelPlan& pipeline = add("pipeline", Policy::kPipeline, Buffering::kRingBuffer, 16, kSmallBytes);
  pipeline.consumers.push_back(Batching(Consumer(pipeline)));
  pipeline.consumers.push_back(Dawdling(Consumer(pipeline)));
  ChannelPlan& pipeline_large =
      add("pipeline.large", Policy::kPipeline, Buffering::kRingBuffer, 4, kLargeBytes);
  pipeline_large.consumers.push_back(Consumer(pipeline_large));
  return plans;
}

int LiveAsProducer(const ChannelPlan& plan, Ledger& ledger, Post& post, Dice dice) {
  Writer writer(ledger);
  for (;;) {
    if (post.stop.load() != 0) return 0;
    post.progress_ns.store(NowNanos());
    const uint32_t vacancies = ledger.vacancies.load();
    const absl::Status status = writer.Create(plan.config, {});
    if (status.ok()) break;
    // Another producer has it; or who leaves it does not come to an end, being stopped.
    // A group that is stopped has not drained what is there.
    const bool comes_by_itself =
        absl::IsAlreadyExists(status) || absl::IsUnavailable(status) || absl::IsResourceExhausted(status);
    if (!comes_by_itself) {
      ledger.fault.Say(status.ToString());
      return 2;
    }
    shm::FutexWait(ledger.vacancies.address(), vacancies, kRetryTime);
  }
  post.generation.store(writer.generation());
  uint64_t left = dice.Between(plan.life_slots / 100, plan.life_slots);
  while (post.stop.load() == 0 && left > 0) {
    for (uint64_t i = dice.Between(1, plan.burst_slots); i > 0 && left > 0;
         --i, left -= std::min<uint64_t>(left, kBatchSlots)) {
      if (plan.config.zone_bytes != 0 && dice.OneIn(8) && !writer.PutZone(kZoneBytes / 2).ok()) return 5;
      const SlotResult result = PutSome(plan, writer, dice);
      if (result == SlotResult::kTimeout) break;
      if (result != SlotResult::kOk) {
        writer.record().fault.Say(std::string(shm::NameOf(result)));
        return 3;
      }
      post.progress_ns.store(NowNanos());
    }
    usleep(static_cast<useconds_t>(dice.Between(1'000, 9'000)));
  }
  return 0;
}

int LiveAsConsumer(const ChannelPlan& plan, const ConsumerPlan& own, Ledger& ledger, Post& post, Dice dice) {
  Reader reader(ledger, plan.config, own.options);
  const auto hold = [&] {
    const bool dawdles = dice.OneIn(own.dawdles ? 100 : 2'000);
    if (dawdles) usleep(static_cast<useconds_t>(dice.Between(50, 8'000)));
    return dawdles;
  };
  for (;;) {
    post.consumer.store(1 + static_cast<uint32_t>(&reader.record() - ledger.consumer));
    // Before the step: what it finds is then final.
    const bool over = ledger.no_more_producers.load() != 0;
    switch (reader.Next(kStepTime, hold)) {
      case Reader::Step::kFailed:
        return 4;
      case Reader::Step::kNothing:
        if (over && reader.waits_for_producer()) return 0;
        break;
      case Reader::Step::kSlot:
        post.progress_ns.store(NowNanos());
        if (dice.OneIn(5'000)) reader.Leave();
        break;
      case Reader::Step::kMoved:
      case Reader::Step::kEnded:
        break;
    }
  }
}

int LiveAsJanitor(const std::string& directory, Post& post) {
  while (post.stop.load() == 0) {
    if (const int failure = CleanOnce(directory); failure != 0) return failure;
    post.progress_ns.store(NowNanos());
    usleep(kCleaningPauseMicros);
  }
  return 0;
}

}  // namespace pylabhub::chaos
