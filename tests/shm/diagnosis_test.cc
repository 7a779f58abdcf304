// What doctor sees, and what it may remove: real processes, killed and stopped.
#include "shm/diagnosis.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <memory>
#include <string>

#include "absl/strings/str_join.h"
#include "shm/channel/channel_files.h"
#include "shm/data_block_consumer.h"
#include "shm/data_block_producer.h"
#include "tests/shm/writable_data.h"
#include "tests/support/child_process.h"
#include "tests/support/shm_folder.h"
#include "tests/support/stamped_slots.h"

namespace pylabhub::shm {
namespace {

namespace fs = std::filesystem;
using ::pylabhub::testing::ChildProcess;
using ::pylabhub::testing::PutStamped;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr absl::Duration kPatience = absl::Seconds(20);

class DiagnosisTest : public ::testing::Test {
 protected:
  std::unique_ptr<DataBlockProducer> Create(const std::string& channel = "doctor.test",
                                            Policy policy = Policy::kSyncReader) const {
    auto producer = DataBlockProducer::Create({.channel = channel,
                                               .policy = policy,
                                               .capacity_slots = 4,
                                               .slot_bytes = 4096,
                                               .directory = folder_.path()});
    EXPECT_TRUE(producer.ok()) << producer.status();
    return *std::move(producer);
  }
  std::unique_ptr<DataBlockConsumer> Open() const {
    return *DataBlockConsumer::Open("doctor.test", {.open_timeout = kPatience, .directory = folder_.path()});
  }
  Diagnosis Look() const {
    const auto diagnosis = Diagnose(folder_.path());
    EXPECT_TRUE(diagnosis.ok()) << diagnosis.status();
    return *diagnosis;
  }
  // What was removed, of all that was found abandoned.
  size_t Clean() const {
    size_t removed = 0;
    for (const Leftover& leftover : LeftoversOf(Look()))
      removed += RemoveLeftover(folder_.path(), leftover) ? 1 : 0;
    return removed;
  }
  std::string Problems() const {
    std::string all;
    for (const SegmentReport& report : Look().segments) all += absl::StrJoin(report.problems, "; ");
    return all;
  }
  // A channel whose producer was killed, and nothing of which anybody needs.
  void LeaveAnOrphan(const std::string& channel = "doctor.test") const {
    ChildProcess child([&](const ChildProcess::Line& parent) {
      const auto producer = Create(channel);
      PutStamped(*producer, kPatience);
      parent.Signal();
      parent.Await();
      return 0;
    });
    child.line().Await();
    child.Kill();
  }

  pylabhub::testing::ShmFolder folder_;
};

TEST_F(DiagnosisTest, AnEmptyFolderIsHealthyAndAMissingOneIsAnError) {
  EXPECT_TRUE(Look().healthy());
  EXPECT_TRUE(absl::IsUnavailable(Diagnose(folder_.path() + "/missing").status()));
}

TEST_F(DiagnosisTest, ALiveChannelIsHealthyAndIsLeftAlone) {
  const auto producer = Create();
  const auto consumer = Open();
  ASSERT_EQ(PutStamped(*producer, kPatience), SlotResult::kOk);
  const Diagnosis diagnosis = Look();
  EXPECT_TRUE(diagnosis.healthy()) << Problems();
  ASSERT_EQ(diagnosis.segments.size(), 1u);
  EXPECT_TRUE(diagnosis.segments[0].current);
  EXPECT_EQ(diagnosis.segments[0].metrics.consumers.size(), 1u);
  EXPECT_EQ(diagnosis.segments[0].metrics.consumers[0].lag, 1u);
  EXPECT_THAT(LeftoversOf(diagnosis), IsEmpty());
  EXPECT_FALSE(
      RemoveLeftover(folder_.path(), {.channel = "doctor.test", .segment_id = producer->segment_id()}));
  EXPECT_FALSE(RemoveLeftover(folder_.path(), {.channel = "doctor.test"}));
  EXPECT_TRUE(consumer->Acquire(kPatience));
}

TEST_F(DiagnosisTest, WhatAKilledProducerLeftIsSeenAndRemoved) {
  LeaveAnOrphan();
  EXPECT_THAT(Problems(), HasSubstr("died without closing it; nobody alive uses it"));
  EXPECT_EQ(Clean(), 1u);
  EXPECT_THAT(folder_.Files(), IsEmpty());
}

TEST_F(DiagnosisTest, AConsumerThatDiedHoldingASlotIsNotCalledHealthy) {
  const auto producer = Create();
  ChildProcess child([&](const ChildProcess::Line& parent) {
    const auto consumer = Open();
    parent.Signal();
    const ReadSlot held = consumer->Acquire(kPatience);
    parent.Signal();
    parent.Await();
    return held ? 0 : 1;
  });
  child.line().Await();
  ASSERT_EQ(PutStamped(*producer, kPatience), SlotResult::kOk);
  child.line().Await();
  EXPECT_TRUE(Look().healthy()) << Problems();
  child.Kill();
  EXPECT_FALSE(Look().healthy());
  EXPECT_THAT(Problems(), HasSubstr("died without leaving, and 1 slots wait for it"));
  // Once the producer has passed it, nothing is wrong any more.
  for (int i = 0; i < 6; ++i) ASSERT_EQ(PutStamped(*producer, kPatience), SlotResult::kOk);
  EXPECT_TRUE(Look().healthy()) << Problems();
}

TEST_F(DiagnosisTest, AConsumerThatDiedWithAPinnedChunkIsNotCalledHealthy) {
  const auto producer = Create("doctor.test", Policy::kPublishSubscribe);
  ChildProcess child([&](const ChildProcess::Line& parent) {
    const auto consumer = Open();
    parent.Signal();
    const ReadSlot held = consumer->Acquire(kPatience);
    parent.Signal();
    parent.Await();
    return held ? 0 : 1;
  });
  child.line().Await();
  ASSERT_EQ(PutStamped(*producer, kPatience), SlotResult::kOk);
  child.line().Await();
  child.Kill();
  EXPECT_THAT(Problems(), HasSubstr("died while it held 1 slots"));
}

TEST_F(DiagnosisTest, APayloadThatIsNotWhatItsChecksumSaysIsFoundWhereSomebodyAsks) {
  for (const uint64_t slot_bytes : {200, 5000}) {
    pylabhub::testing::ShmFolder folder;
    const auto producer = *DataBlockProducer::Create({.channel = "doctor.test",
                                                      .policy = Policy::kPublishSubscribe,
                                                      .capacity_slots = 4,
                                                      .slot_bytes = slot_bytes,
                                                      .checksum = Checksum::kEnforced,
                                                      .directory = folder.path()});
    for (int i = 0; i < 7; ++i) ASSERT_EQ(PutStamped(*producer, kPatience), SlotResult::kOk);
    const auto problems = [&](bool verify) {
      const auto diagnosis = Diagnose(folder.path(), {.verify_checksums = verify});
      EXPECT_TRUE(diagnosis.ok()) << diagnosis.status();
      return absl::StrJoin(diagnosis->segments.at(0).problems, "; ");
    };
    EXPECT_EQ(problems(true), "");
    const WritableData data(folder);
    data.Flip(5, 17);
    data.Flip(4, 0);
    EXPECT_EQ(problems(false), "");
    EXPECT_THAT(problems(true), HasSubstr("2 of its slots have another payload"));
    EXPECT_THAT(problems(true), HasSubstr("the first is slot 4"));
    data.Flip(5, 17);
    data.Flip(4, 0);
    data.descriptor(6).flags.store(0);
    EXPECT_THAT(problems(true), HasSubstr("1 of its slots have another payload"));
    data.descriptor(6).flags.store(kHasChecksum);
    EXPECT_EQ(problems(true), "") << "looking has changed something";
  }
}

TEST_F(DiagnosisTest, ChecksumsAreRightInARingThatIsWrittenAtFullSpeed) {
  for (const uint64_t slot_bytes : {200, 5000}) {
    pylabhub::testing::ShmFolder folder;
    ChildProcess writer([&](const ChildProcess::Line& test) {
      const auto producer = *DataBlockProducer::Create({.channel = "doctor.test",
                                                        .policy = Policy::kPublishSubscribe,
                                                        .capacity_slots = 4,
                                                        .slot_bytes = slot_bytes,
                                                        .checksum = Checksum::kEnforced,
                                                        .directory = folder.path()});
      test.Signal();
      while (PutStamped(*producer, kPatience) == SlotResult::kOk) {
      }
      return 1;
    });
    writer.line().Await();
    for (int look = 0; look < 1000; ++look) {
      const auto diagnosis = Diagnose(folder.path(), {.verify_checksums = true});
      ASSERT_TRUE(diagnosis.ok()) << diagnosis.status();
      ASSERT_THAT(diagnosis->segments.at(0).problems, IsEmpty());
    }
    writer.Kill();
    for (const Leftover& leftover : LeftoversOf(*Diagnose(folder.path())))
      EXPECT_TRUE(RemoveLeftover(folder.path(), leftover));
  }
}

TEST_F(DiagnosisTest, WhatAConsumerKilledAfterItsProducerClosedLeftBehindIsRemoved) {
  auto producer = Create();
  ChildProcess child([&](const ChildProcess::Line& parent) {
    const auto consumer = Open();
    parent.Signal();
    parent.Await();
    return 0;
  });
  child.line().Await();
  producer.reset();
  EXPECT_TRUE(Look().healthy()) << "its consumer still reads: " << Problems();
  child.Kill();
  EXPECT_FALSE(Look().healthy());
  EXPECT_EQ(Clean(), 1u);
  EXPECT_THAT(folder_.Files(), IsEmpty());
}

TEST_F(DiagnosisTest, AStoppedConsumerIsAliveAndKeepsItsSegment) {
  auto producer = Create();
  ChildProcess child([&](const ChildProcess::Line& parent) {
    const auto consumer = Open();
    parent.Signal();
    parent.Await();
    return 0;
  });
  child.line().Await();
  child.Stop();
  producer.reset();
  EXPECT_EQ(Clean(), 0u);
  EXPECT_EQ(folder_.Files().size(), 3u);
  child.Continue();
  child.line().Signal();
  EXPECT_EQ(child.Wait(), 0);
  EXPECT_THAT(folder_.Files(), IsEmpty());
}

TEST_F(DiagnosisTest, DamagedFilesThatNobodyHoldsAreNamedAndRemoved) {
  LeaveAnOrphan();
  const ChannelFiles files(folder_.path(), "doctor.test");
  fs::resize_file(files.DataPath(files.ListSegments().at(0)), 100);
  EXPECT_THAT(Problems(), HasSubstr("truncated"));
  EXPECT_EQ(Clean(), 1u);
  EXPECT_THAT(folder_.Files(), IsEmpty());
}

TEST_F(DiagnosisTest, AnAnchorThatLeadsNowhereIsRemovedDamagedOrNot) {
  for (const uint64_t bytes : {uint64_t{0}, uint64_t{10}, uint64_t{4096}}) {
    const std::string path = ChannelFiles(folder_.path(), "doctor.test").AnchorPath();
    std::ofstream(path) << std::string(bytes, 'x');
    EXPECT_FALSE(Look().healthy());
    EXPECT_EQ(Clean(), 1u) << bytes;
    EXPECT_THAT(folder_.Files(), IsEmpty());
  }
}

TEST_F(DiagnosisTest, ASegmentWithoutAnAnchorIsRemoved) {
  LeaveAnOrphan();
  fs::remove(ChannelFiles(folder_.path(), "doctor.test").AnchorPath());
  EXPECT_EQ(Clean(), 1u);
  EXPECT_THAT(folder_.Files(), IsEmpty());
}

TEST_F(DiagnosisTest, AStrangersFileIsListedAndNeverRemoved) {
  const std::string path = folder_.path() + "/pylabhub.notes.txt";
  std::ofstream(path) << "mine";
  ASSERT_EQ(Look().files.size(), 1u);
  EXPECT_EQ(Look().files[0].path, path);
  EXPECT_EQ(Clean(), 0u);
  EXPECT_TRUE(fs::remove(path));
}

TEST_F(DiagnosisTest, ALeftoverThatANewProducerTookOverIsNotRemoved) {
  LeaveAnOrphan();
  const auto shown = LeftoversOf(Look());
  ASSERT_EQ(shown.size(), 1u);
  const auto producer = Create();
  EXPECT_FALSE(RemoveLeftover(folder_.path(), shown[0])) << "the new producer has removed it itself";
  EXPECT_TRUE(Look().healthy()) << Problems();
  EXPECT_EQ(PutStamped(*producer, kPatience), SlotResult::kOk);
}

TEST_F(DiagnosisTest, ProducersThatStartWhileOthersCleanUpKeepTheirChannels) {
  constexpr int kRounds = 100;
  constexpr int kLooksPerRound = 20;
  // A process, not a thread: the orphans are forked here, which a process of one thread alone may do at any time.
  ChildProcess cleaner([&](const ChildProcess::Line& parent) {
    size_t removed = 0;
    while (parent.Await() == '.') {
      for (int look = 0; look < kLooksPerRound; ++look) removed += Clean();
    }
    return static_cast<int>(std::min<size_t>(removed, kRounds));
  });
  uint64_t cleaned_under_us = 0;
  for (int round = 0; round < kRounds; ++round) {
    LeaveAnOrphan();
    cleaner.line().Signal();
    const auto producer = Create();
    const auto consumer = Open();
    ASSERT_EQ(PutStamped(*producer, kPatience), SlotResult::kOk);
    ASSERT_TRUE(consumer->Acquire(kPatience));
    ASSERT_EQ(consumer->segment_id(), producer->segment_id());
    cleaned_under_us += fs::exists(ChannelFiles(folder_.path(), "doctor.test").AnchorPath()) ? 0 : 1;
  }
  cleaner.line().Signal('e');
  const int removed = cleaner.Wait();
  EXPECT_EQ(cleaned_under_us, 0u);
  // Most orphans are the next producer's to remove; that some were the cleaner's shows that they met.
  EXPECT_GE(removed, 0);
  std::printf("the cleaner removed %d of %d\n", removed, kRounds);
}

}  // namespace
}  // namespace pylabhub::shm
