// The snippets of docs/data_plane.md, each in a program that does what the page says it does. readme_test.py checks that
// the page shows them as they stand here.
#include <gtest/gtest.h>

#include <array>
#include <cstring>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "shm/data_block_consumer.h"
#include "shm/data_block_producer.h"
#include "shm/describe.h"
#include "shm/typed.h"
#include "shm/wait_set.h"
#include "shm/zone.h"
#include "tests/support/shm_folder.h"

struct Sample {
  double volts;
  int64_t taken_ns;
};
PYLABHUB_SCHEMA(Sample, (volts, "V"), (taken_ns, "ns"));

struct Calibration {
  double gain;
};
PYLABHUB_SCHEMA(Calibration, (gain, "1"));

namespace {

using pylabhub::shm::ChannelConfig;
using pylabhub::shm::Checksum;
using pylabhub::shm::Consumer;
using pylabhub::shm::ConsumerOptions;
using pylabhub::shm::DataBlockConsumer;
using pylabhub::shm::DataBlockProducer;
using pylabhub::shm::JoinPoint;
using pylabhub::shm::Policy;
using pylabhub::shm::Producer;
using pylabhub::shm::ReadBatch;
using pylabhub::shm::ReadSlot;
using pylabhub::shm::SlotResult;
using pylabhub::shm::SlotView;
using pylabhub::shm::WaitOutcome;
using pylabhub::shm::WaitResult;
using pylabhub::shm::WaitSet;
using pylabhub::shm::WhenSlow;
using pylabhub::shm::WriteBatch;
using pylabhub::shm::WriteSlot;
using pylabhub::shm::ZoneOf;

class DataPlaneExamplesTest : public ::testing::Test {
 protected:
  std::string folder() const { return folder_.path(); }

 private:
  pylabhub::testing::ShmFolder folder_;
};

void Fill(std::span<std::byte> payload) { std::memset(payload.data(), 7, payload.size()); }

TEST_F(DataPlaneExamplesTest, BytesPass) {
  ChannelConfig config = {
      .channel = "camera.left", .policy = Policy::kPublishSubscribe, .slot_bytes = 1 << 20};
  config.directory = folder();
  auto created = DataBlockProducer::Create(config);
  ASSERT_TRUE(created.ok()) << created.status();
  DataBlockProducer& producer = **created;
  ConsumerOptions options;
  options.directory = folder();
  options.start = JoinPoint::Oldest();
  if (WriteSlot slot = producer.Acquire(absl::Seconds(1))) {
    Fill(slot.payload());
    slot.Commit(slot.payload().size());
  }
  auto opened = DataBlockConsumer::Open("camera.left", options);
  ASSERT_TRUE(opened.ok()) << opened.status();
  DataBlockConsumer& consumer = **opened;
  if (ReadSlot slot = consumer.Acquire(absl::Seconds(1))) {
    EXPECT_EQ(slot.payload().size(), size_t{1} << 20);
  } else {
    ADD_FAILURE() << NameOf(slot.result());
  }
}

TEST_F(DataPlaneExamplesTest, TheEndOfAProducerIsSeenAndTheNextIsFollowed) {
  const ChannelConfig config = {.channel = "camera.left", .slot_bytes = 64, .directory = folder()};
  auto first = DataBlockProducer::Create(config);
  auto opened = DataBlockConsumer::Open("camera.left", {.directory = folder()});
  ASSERT_TRUE(opened.ok()) << opened.status();
  DataBlockConsumer& consumer = **opened;
  first->reset();
  auto second = DataBlockProducer::Create(config);
  ASSERT_TRUE(second.ok());
  (*second)->Acquire(absl::ZeroDuration()).Commit(1);
  int slots = 0;
  while (slots == 0) {
    ReadSlot slot = consumer.Acquire(absl::Seconds(1));
    switch (slot.result()) {
      case SlotResult::kOk:
        ++slots;
        break;
      case SlotResult::kProducerClosed:
      case SlotResult::kProducerDead:
        ASSERT_TRUE(consumer.Follow(absl::Seconds(30)).ok());
        break;
      default:
        FAIL() << NameOf(slot.result());
    }
  }
}

TEST_F(DataPlaneExamplesTest, SlowConsumersSayWhatIsToBeDone) {
  auto producer = DataBlockProducer::Create({.channel = "camera.left",
                                             .policy = Policy::kSyncReader,
                                             .capacity_slots = 2,
                                             .slot_bytes = 64,
                                             .directory = folder()});
  ConsumerOptions options = {.when_slow = WhenSlow::kDropBacklog, .patience = absl::Milliseconds(20)};
  options.directory = folder();
  auto display = DataBlockConsumer::Open("camera.left", options);
  ASSERT_TRUE(display.ok());
  for (int i = 0; i < 5; ++i) EXPECT_EQ((*producer)->Acquire(absl::Seconds(10)).Commit(1), SlotResult::kOk);
  EXPECT_GT((*display)->Acquire(absl::Seconds(1)).missed_slots(), 0u);
}

TEST_F(DataPlaneExamplesTest, BatchesPass) {
  auto created = DataBlockProducer::Create({.channel = "adc", .slot_bytes = 64, .directory = folder()});
  DataBlockProducer& producer = **created;
  auto opened = DataBlockConsumer::Open("adc", {.max_batch = 16, .directory = folder()});
  DataBlockConsumer& consumer = **opened;
  if (WriteBatch batch = producer.AcquireBatch(16, absl::Seconds(1))) {
    for (size_t i = 0; i < batch.size(); ++i) Fill(batch.payload(i));
    const std::vector<size_t> payload_bytes(batch.size(), 64);
    batch.Commit(payload_bytes);
  }
  size_t read = 0;
  ReadBatch batch = consumer.AcquireBatch(16, absl::Seconds(1));
  for (const SlotView& slot : batch) {
    read += slot.payload.size();
  }
  batch.Release();
  EXPECT_EQ(read, 16u * 64);
}

TEST_F(DataPlaneExamplesTest, GroupsShareTheWork) {
  ChannelConfig config = {.channel = "frames", .slot_bytes = 64, .directory = folder()};
  config.policy = Policy::kPipeline;
  config.groups = {"filters", "loggers"};
  auto producer = DataBlockProducer::Create(config);
  ASSERT_TRUE(producer.ok()) << producer.status();
  ConsumerOptions options;
  options.directory = folder();
  options.group = "filters";
  auto filter = DataBlockConsumer::Open("frames", options);
  ASSERT_TRUE(filter.ok()) << filter.status();
  (*producer)->Acquire(absl::ZeroDuration()).Commit(1);
  EXPECT_FALSE((*filter)->Acquire(absl::Seconds(1)).redelivered());
  // What a group has not read is kept for it, even when nobody is left.
  options.group = "loggers";
  auto logger = DataBlockConsumer::Open("frames", options);
  ASSERT_TRUE(logger.ok()) << logger.status();
  EXPECT_TRUE((*logger)->Acquire(absl::Seconds(1)));
}

TEST_F(DataPlaneExamplesTest, ChecksumsGuardPayloads) {
  ChannelConfig config = {.channel = "adc", .slot_bytes = 64, .directory = folder()};
  config.checksum = Checksum::kEnforced;
  EXPECT_TRUE(DataBlockProducer::Create(config).ok());
}

TEST_F(DataPlaneExamplesTest, OneThreadWaitsOnManyChannels) {
  auto left = DataBlockProducer::Create({.channel = "camera.left", .slot_bytes = 64, .directory = folder()});
  auto stage = DataBlockProducer::Create({.channel = "stage", .slot_bytes = 64, .directory = folder()});
  auto camera = DataBlockConsumer::Open("camera.left", {.directory = folder()});
  auto position = DataBlockConsumer::Open("stage", {.directory = folder()});
  ASSERT_TRUE(camera.ok() && position.ok());
  (*stage)->Acquire(absl::ZeroDuration()).Commit(1);
  (*left)->Acquire(absl::ZeroDuration()).Commit(1);
  std::vector<uint64_t> order;
  WaitSet set;
  ASSERT_TRUE(set.Add(**camera, {.priority = 10, .key = 1}).ok());
  ASSERT_TRUE(set.Add(**position, {.key = 2}).ok());
  set.Wake();  // from any thread, or a signal handler
  for (;;) {
    const WaitResult next = set.Wait(absl::Milliseconds(10));
    if (next.outcome == WaitOutcome::kTimeout) break;
    if (next.outcome == WaitOutcome::kWoken) continue;
    ReadSlot slot = next.consumer->Acquire(absl::ZeroDuration());
    order.push_back(next.key);
  }
  EXPECT_EQ(order, (std::vector<uint64_t>{1, 2})) << "the camera comes first";
}

TEST_F(DataPlaneExamplesTest, AZoneIsReadWhole) {
  ChannelConfig config;
  config.directory = folder();
  config.zone_schema = pylabhub::shm::SchemaOf<Calibration>();
  auto producer = Producer<Sample>::Create("adc", config);
  ASSERT_TRUE(producer.ok()) << producer.status();
  ConsumerOptions options;
  options.directory = folder();
  auto consumer = Consumer<Sample>::Open("adc", options);
  ASSERT_TRUE(consumer.ok()) << consumer.status();
  ASSERT_TRUE(WriteZone(producer->block(), Calibration{.gain = 2.5}).ok());
  absl::StatusOr<ZoneOf<Calibration>> zone = ReadZone<Calibration>(consumer->block());
  ASSERT_TRUE(zone.ok()) << zone.status();
  EXPECT_EQ(zone->value.gain, 2.5);
}

TEST_F(DataPlaneExamplesTest, TypesAreChecked) {
  ChannelConfig config;
  config.directory = folder();
  auto producer = Producer<Sample>::Create("adc", config);
  ASSERT_TRUE(producer.ok()) << producer.status();
  ConsumerOptions options;
  options.directory = folder();
  auto consumer = Consumer<Sample>::Open("adc", options);
  ASSERT_TRUE(consumer.ok()) << consumer.status();
  producer->Write({.volts = 1.5, .taken_ns = 7});
  EXPECT_EQ(consumer->Read(absl::Seconds(1))->volts, 1.5);
}

}  // namespace
