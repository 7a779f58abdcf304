// Faults of an earlier system (docs/tests.md lists all 21), each with a test that would have caught it: those of segments
// that were replaced, repaired, judged or read by the wrong ones.
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <memory>
#include <string>

#include "shm/data_block_consumer.h"
#include "shm/data_block_producer.h"
#include "tests/shm/faults/fault_fixture.h"
#include "tests/support/child_process.h"
#include "tests/support/every_policy.h"

namespace pylabhub::shm {
namespace {

using ::pylabhub::testing::ChildProcess;

// Then, the new segment took the name, and the consumers stayed on one that nobody wrote into any more.
TEST_F(FaultTest, F02CreatingANameThatIsInUseChangesNothing) {
  const auto producer = Create(Config(Policy::kSyncReader));
  const auto consumer = Open();
  const auto files = folder_.Files();
  const auto refused = DataBlockProducer::Create(Config(Policy::kPublishSubscribe, 128));
  ASSERT_TRUE(absl::IsAlreadyExists(refused.status())) << refused.status();
  EXPECT_EQ(folder_.Files(), files);
  PutNumbers(*producer, 0, 1);
  EXPECT_EQ(Get(*consumer), "0");
  EXPECT_EQ(Open()->segment_id(), producer->segment_id());
}

// Then, what a dead producer left was "repaired" by a new segment of the same name, and what nobody had read was gone.
TEST_F(FaultTest, F03TakingOverAfterADeadProducerLosesNothingThatItCommitted) {
  ChildProcess dies([&](const ChildProcess::Line& test) {
    const auto producer = Create(Config(Policy::kSyncReader));
    test.Signal();
    test.Await();
    for (int slot = 0; slot < 3; ++slot) Put(*producer, std::to_string(slot));
    const WriteSlot begun = producer->Acquire(kPatience);
    test.Signal();
    test.Await();
    return 1;
  });
  ASSERT_NE(dies.line().Await(), 0);
  const auto consumer = Open();
  dies.line().Signal();
  ASSERT_NE(dies.line().Await(), 0);
  dies.Kill();

  const auto successor = Create(Config(Policy::kSyncReader));
  PutNumbers(*successor, 10, 14);
  for (int slot = 0; slot < 3; ++slot) EXPECT_EQ(Get(*consumer), std::to_string(slot));
  EXPECT_EQ(Get(*consumer), "producer dead");
  ASSERT_TRUE(consumer->Follow(kPatience).ok());
  for (int slot = 10; slot < 14; ++slot) EXPECT_EQ(Get(*consumer), std::to_string(slot));
  EXPECT_EQ(consumer->Stats().missed_slots, 0u);
}

// Then, each healthy block with a flexible zone failed its validation.
TEST_F(FaultTest, F04AHealthyChannelWithAZoneIsValid) {
  for (const Policy policy : pylabhub::testing::kEveryPolicy) {
    for (const uint64_t zone_bytes : {1, 40, 5000}) {
      ChannelConfig config = Config(policy);
      config.zone_bytes = zone_bytes;
      const auto producer = Create(config);
      const auto consumer = Open({.order = ReadOrder::kNext});
      PutNumbers(*producer, 0, 3);
      for (int slot = 0; slot < 3; ++slot) EXPECT_EQ(Get(*consumer), std::to_string(slot));
      const auto data = ViewData(DataOf(*producer).bytes());
      ASSERT_TRUE(data.ok()) << data.status();
      EXPECT_EQ(data->config.zone_bytes, zone_bytes);
      EXPECT_TRUE(ViewControl(ControlOf(*producer).bytes()).ok());
    }
  }
}

// Then, a secret that opened the channel lay in the channel, where everybody could read it. There is no such secret: what
// decides is whose the files are.
TEST_F(FaultTest, F15TheFilesOfAChannelAreForTheirUserAloneAndDataIsForItsProducerAlone) {
  const mode_t old_umask = umask(0);
  const auto producer = Create(Config(Policy::kSyncReader));
  umask(old_umask);
  const auto consumer = Open();
  EXPECT_EQ(folder_.Files().size(), 3u);
  for (const std::string& name : folder_.Files()) {
    struct stat stats = {};
    ASSERT_EQ(stat((folder_.path() + "/" + name).c_str(), &stats), 0);
    EXPECT_EQ(stats.st_mode & 07777, 0600u) << name;
  }
  ChildProcess writes([&](const ChildProcess::Line& test) {
    const auto attached = Open();
    test.Signal();
    const ReadSlot slot = attached->Acquire(kPatience);
    if (!slot) return 1;
    const_cast<std::byte&>(slot.payload()[0]) = std::byte{1};
    return 0;
  });
  ASSERT_NE(writes.line().Await(), 0);
  PutNumbers(*producer, 0, 1);
  EXPECT_NE(writes.Wait(), 0) << "a consumer has written into a slot";
  EXPECT_EQ(Get(*consumer), "0");
}

}  // namespace
}  // namespace pylabhub::shm
