// Producers and consumers in processes of their own, whose memory the broker hands over.

#include <gtest/gtest.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/time/clock.h"
#include "client/channel.h"
#include "client/messenger.h"
#include "tests/support/child_program.h"
#include "tests/support/lab_broker.h"
#include "tests/support/stamped_slots.h"
#include "tests/support/temp_folder.h"

namespace pylabhub {
namespace {

namespace fs = std::filesystem;
using testing::ChildProgram;
using testing::PutStamped;

constexpr char kPeer[] = "tests/e2e/channel_peer";
constexpr char kChannel[] = "camera.left";
constexpr absl::Duration kPatience = absl::Seconds(20);

class HandOverProcessTest : public ::testing::Test {
 protected:
  HandOverProcessTest() { chmod(folder_.path().c_str(), 0755); }

  std::unique_ptr<Messenger> Connect() const {
    auto messenger = Messenger::Connect(broker_.ToHere());
    EXPECT_TRUE(messenger.ok()) << messenger.status();
    return *std::move(messenger);
  }
  std::vector<std::string> Peer(const std::string& role) const {
    return {kPeer, role, "/dev/shm", kChannel, broker_.address(), broker_.certificates_folder()};
  }
  static std::vector<std::string> With(std::vector<std::string> before,
                                       const std::vector<std::string>& command) {
    before.insert(before.end(), command.begin(), command.end());
    return before;
  }
  static shm::ChannelConfig Config() {
    return {.channel = kChannel,
            .policy = shm::Policy::kSyncReader,
            .capacity_slots = 16,
            .slot_bytes = 4096,
            .max_consumers = 4};
  }
  // What of the channel is in /dev/shm.
  static size_t FilesOfTheChannel() {
    size_t files = 0;
    for (const auto& entry : fs::directory_iterator("/dev/shm")) {
      files += absl::StrContains(entry.path().filename().string(), kChannel) ? 1 : 0;
    }
    return files;
  }

  const testing::TempFolder folder_{"/tmp"};
  testing::LabBroker broker_{absl::Seconds(2), {.socket = folder_ / "s", .mode = 0666}};
};

TEST_F(HandOverProcessTest, MemoryIsHandedOverByDefaultAndLeavesNoFile) {
  const size_t files = FilesOfTheChannel();
  const auto messenger = Connect();
  EXPECT_TRUE(messenger->HandsOver());
  absl::StatusOr<ChannelProducer> producer = CreateChannel(Config(), messenger.get());
  ASSERT_TRUE(producer.ok()) << producer.status();
  absl::StatusOr<ChannelConsumer> consumer = ConnectChannel(kChannel, kPatience, messenger.get());
  ASSERT_TRUE(consumer.ok()) << consumer.status();
  EXPECT_TRUE(consumer->is_handed_over());
  EXPECT_EQ(FilesOfTheChannel(), files);
  for (int i = 0; i < 40; ++i) {
    ASSERT_EQ(PutStamped(*producer->block, kPatience), shm::SlotResult::kOk);
    const shm::ReadSlot slot = consumer->block->Acquire(kPatience);
    ASSERT_TRUE(slot);
    EXPECT_TRUE(testing::IsStamped(slot.payload(), static_cast<uint64_t>(i)));
  }
  // Others of the same user cannot take it from this process.
  EXPECT_EQ(prctl(PR_GET_DUMPABLE), 0);
}

TEST_F(HandOverProcessTest, ANamedChannelIsHadForTheAsking) {
  const auto messenger = Connect();
  absl::StatusOr<ChannelProducer> producer =
      CreateChannel(Config(), messenger.get(), {}, MemoryChoice::kNamed);
  ASSERT_TRUE(producer.ok()) << producer.status();
  EXPECT_GT(FilesOfTheChannel(), 0u);
  EXPECT_EQ(CreateChannel(Config(), nullptr, {}, MemoryChoice::kHandedOver).status().code(),
            absl::StatusCode::kFailedPrecondition);
}

TEST_F(HandOverProcessTest, TwoProcessesWithADevShmOfTheirOwnShareTheSocketAlone) {
  if (getuid() != 0) GTEST_SKIP() << "needs root, to mount another /dev/shm";
  const std::vector<std::string> alone = {"/usr/bin/unshare", "--mount", "/bin/sh", "-c",
                                          "mount -t tmpfs none /dev/shm && exec \"$0\" \"$@\""};
  ChildProgram producer(With(alone, Peer("producer")));
  ASSERT_EQ(producer.Hear(), "ready");
  ChildProgram consumer(With(alone, Peer("consumer")));
  ASSERT_EQ(consumer.Hear(), "ready");
  producer.Say("write 100");
  EXPECT_EQ(consumer.Ask("read 100"), "read 100");
  EXPECT_EQ(producer.Hear(), "wrote 100 ok");
  EXPECT_EQ(consumer.Finish(), 0);
  EXPECT_EQ(producer.Finish(), 0);
}

TEST_F(HandOverProcessTest, TwoUsersShareAChannel) {
  if (getuid() != 0) GTEST_SKIP() << "needs root, to run as another user";
  // What the other user needs, where that user may read it.
  const std::string peer = folder_ / "peer";
  const std::string certificates = folder_ / "certs";
  fs::copy_file(kPeer, peer);
  fs::create_directory(certificates);
  for (const char* name : {"ca.pem", "client.pem", "client.key"}) {
    fs::copy_file(broker_.certificates_folder() + "/" + name, certificates + "/" + name);
    ASSERT_EQ(chown((certificates + "/" + name).c_str(), 65534, 65534), 0);
  }
  ASSERT_EQ(chmod(certificates.c_str(), 0755), 0);
  ChildProgram producer(Peer("producer"));
  ASSERT_EQ(producer.Hear(), "ready");
  ChildProgram consumer({"/usr/bin/setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", peer,
                         "consumer", "/dev/shm", kChannel, broker_.address(), certificates});
  ASSERT_EQ(consumer.Hear(), "ready");
  producer.Say("write 100");
  EXPECT_EQ(consumer.Ask("read 100"), "read 100");
  EXPECT_EQ(producer.Hear(), "wrote 100 ok");
  EXPECT_EQ(consumer.Finish(), 0);
  EXPECT_EQ(producer.Finish(), 0);
}

TEST_F(HandOverProcessTest, ARunningConsumerDoesNotNoticeThatTheBrokerIsRestartedAndANewOneAttachesAfter) {
  const auto messenger = Connect();
  absl::StatusOr<ChannelProducer> producer = CreateChannel(Config(), messenger.get());
  ASSERT_TRUE(producer.ok()) << producer.status();
  ChildProgram consumer(Peer("consumer"));
  ASSERT_EQ(consumer.Hear(), "ready");
  const auto pass = [&](int slots) {
    consumer.Say("read " + std::to_string(slots));
    for (int i = 0; i < slots; ++i) {
      ASSERT_EQ(PutStamped(*producer->block, kPatience), shm::SlotResult::kOk);
    }
    // Each in its turn, and none missed.
    EXPECT_EQ(consumer.Hear(), "read " + std::to_string(slots));
  };
  pass(50);
  broker_.Stop();
  pass(50);
  broker_.Restart();
  pass(50);
  ChildProgram late(Peer("consumer"));
  ASSERT_EQ(late.Hear(), "ready");
  late.Say("read 50");
  pass(50);
  EXPECT_EQ(late.Hear(), "read 50");
}

// A producer process is replaced while two consumers are still reading what it left.
class ReplacedProducerTest : public HandOverProcessTest {
 protected:
  static constexpr int kSlots = 40;  // more than the ring has

  ReplacedProducerTest() {
    for (auto& consumer : consumers_) {
      consumer.emplace(Peer("consumer"));
      EXPECT_EQ(consumer->Hear(), "ready");
    }
    EXPECT_EQ(first_.Ask("write 5"), "wrote 5 ok");
  }

  // The next one writes before anybody has followed, and waits for both.
  void ExpectNothingIsLostWithTheNextOne() {
    ChildProgram next(Peer("producer"));
    ASSERT_EQ(next.Hear(), "ready");
    next.Say("write " + std::to_string(kSlots));
    for (auto& consumer : consumers_) {
      EXPECT_TRUE(absl::StartsWith(consumer->Ask("drain"), "drained 5 missed 0 wrong 0 "));
      EXPECT_EQ(consumer->Ask("follow"), "followed");
      consumer->Say("read " + std::to_string(kSlots));
    }
    // Each in its turn, from the first on.
    for (auto& consumer : consumers_) EXPECT_EQ(consumer->Hear(), "read " + std::to_string(kSlots));
    EXPECT_EQ(next.Hear(), "wrote " + std::to_string(kSlots) + " ok");
    EXPECT_EQ(next.Finish(), 0);
  }

  struct FirstProducer : ChildProgram {
    explicit FirstProducer(const std::vector<std::string>& command) : ChildProgram(command) {
      EXPECT_EQ(Hear(), "ready");
    }
  };
  FirstProducer first_{Peer("producer")};
  std::array<std::optional<ChildProgram>, 2> consumers_;
};

TEST_F(ReplacedProducerTest, ConsumersOfOneThatWasKilledLoseNoSlotOfTheNext) {
  first_.Kill();
  ExpectNothingIsLostWithTheNextOne();
}

TEST_F(ReplacedProducerTest, ConsumersOfOneThatClosedLoseNoSlotOfTheNext) {
  EXPECT_EQ(first_.Finish(), 0);
  ExpectNothingIsLostWithTheNextOne();
}

TEST_F(ReplacedProducerTest, TheyLoseNoneEitherIfTheBrokerWasRestartedBefore) {
  broker_.Restart();
  // Who can attach finds that all was deposited again.
  ChildProgram late(Peer("consumer"));
  ASSERT_EQ(late.Hear(), "ready");
  late.Kill();
  first_.Kill();
  ExpectNothingIsLostWithTheNextOne();
}

TEST_F(HandOverProcessTest, AProcessThatHasNothingToSayComesBackSoonToABrokerThatWasRestarted) {
  ChildProgram producer(Peer("producer"));
  ASSERT_EQ(producer.Hear(), "ready");
  broker_.Restart();
  const absl::Time restarted = absl::Now();
  const auto messenger = Connect();
  const absl::StatusOr<Channel> found = messenger->DiscoverProducer(kChannel, kPatience);
  ASSERT_TRUE(found.ok()) << found.status();
  // It tries every two seconds, and is then connected at once.
  EXPECT_LT(absl::Now() - restarted, absl::Seconds(4));
}

TEST_F(HandOverProcessTest, APlaceThatAConsumerLeftIsHadByTheNext) {
  const auto messenger = Connect();
  shm::ChannelConfig config = Config();
  config.policy = shm::Policy::kSingleReader;
  config.max_consumers = 1;
  absl::StatusOr<ChannelProducer> producer = CreateChannel(config, messenger.get());
  ASSERT_TRUE(producer.ok()) << producer.status();
  for (int i = 0; i < 3; ++i) {
    ChildProgram consumer(Peer("consumer"));
    ASSERT_EQ(consumer.Hear(), "ready");
    consumer.Say("read 10");
    for (int slot = 0; slot < 10; ++slot) {
      ASSERT_EQ(PutStamped(*producer->block, kPatience), shm::SlotResult::kOk);
    }
    EXPECT_EQ(consumer.Hear(), "read 10");
    // Killed, so that its lease has to end first; the last one leaves in good order.
    if (i < 1) {
      consumer.Kill();
    } else {
      EXPECT_EQ(consumer.Finish(), 0);
    }
  }
}

TEST_F(HandOverProcessTest,
       AThousandAndTwentyFourConsumersAreHandedAPlaceEachAndTheNextOneIsToldThatNoneIsLeft) {
  constexpr uint32_t kConsumers = 1024;
  const auto messenger = Connect();
  shm::ChannelConfig config = Config();
  config.max_consumers = kConsumers;
  absl::StatusOr<ChannelProducer> producer = CreateChannel(config, messenger.get());
  ASSERT_TRUE(producer.ok()) << producer.status();
  std::vector<ChannelConsumer> consumers;
  for (uint32_t i = 0; i < kConsumers; ++i) {
    absl::StatusOr<ChannelConsumer> consumer = ConnectChannel(kChannel, kPatience, messenger.get());
    ASSERT_TRUE(consumer.ok()) << i << ": " << consumer.status();
    consumers.push_back(*std::move(consumer));
  }
  EXPECT_EQ(producer->block->consumer_count(), kConsumers);
  const absl::Status none_left = ConnectChannel(kChannel, absl::ZeroDuration(), messenger.get()).status();
  EXPECT_TRUE(absl::IsResourceExhausted(none_left)) << none_left;
  for (uint64_t number = 0; number < 3; ++number) {
    ASSERT_EQ(PutStamped(*producer->block, kPatience), shm::SlotResult::kOk);
    for (const ChannelConsumer& consumer : consumers) {
      const shm::ReadSlot slot = consumer.block->Acquire(kPatience);
      ASSERT_TRUE(slot);
      EXPECT_TRUE(testing::IsStamped(slot.payload(), number));
    }
  }
}

TEST_F(HandOverProcessTest, AProducerThatWasKilledIsSucceededAtOnce) {
  ChildProgram first(Peer("producer"));
  ASSERT_EQ(first.Hear(), "ready");
  ChildProgram consumer(Peer("consumer"));
  ASSERT_EQ(consumer.Hear(), "ready");
  EXPECT_EQ(first.Ask("write 5"), "wrote 5 ok");
  {
    // Not while it lives, by the kernel's word.
    ChildProgram second(Peer("producer"));
    EXPECT_TRUE(absl::StrContains(second.Hear(), "is held by"));
  }
  first.Kill();
  EXPECT_EQ(consumer.Ask("drain"), "drained 5 missed 0 wrong 0 producer dead");
  ChildProgram next(Peer("producer"));
  ASSERT_EQ(next.Hear(), "ready");
  EXPECT_EQ(consumer.Ask("follow"), "followed");
  EXPECT_EQ(next.Ask("write 5"), "wrote 5 ok");
  EXPECT_EQ(consumer.Ask("read 5"), "read 5");
}

}  // namespace
}  // namespace pylabhub
