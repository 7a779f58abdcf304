// Producers, consumers and the broker in processes of their own, which are killed where it hurts.
//
// The data goes through lossless channels of 16 slots, so every number that is asserted here is exact: a slot lost, torn or
// seen twice would show.
#include <signal.h>

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "client/error_reason.h"
#include "client/messenger.h"
#include "gtest/gtest.h"
#include "tests/support/child_program.h"
#include "tests/support/shm_folder.h"
#include "tests/support/temp_folder.h"

namespace pylabhub {
namespace {

using ::pylabhub::testing::ChildProgram;
using ::pylabhub::testing::ShmFolder;
using ::pylabhub::testing::TempFolder;

constexpr char kPeer[] = "tests/e2e/channel_peer";
constexpr char kBroker[] = "broker/pylabhub-broker";
constexpr char kChannel[] = "sensor.temperature";

// A pylabhub-broker process on a port of its own, with certificates that it made at its first start.
class BrokerProcess {
 public:
  BrokerProcess() { Start("0"); }

  void KillAndStartAgain() {
    program_->Kill();
    Start(address_.substr(address_.rfind(':') + 1));
  }
  void Kill() { program_->Kill(); }
  // Stopped: it keeps its connections, and answers nothing.
  void Stop() { program_->Signal(SIGSTOP); }
  void Continue() { program_->Signal(SIGCONT); }

  const std::string& address() const { return address_; }
  std::string certificates_folder() const { return state_ / "certs"; }

 private:
  void Start(const std::string& port) {
    program_.emplace(
        std::vector<std::string>{kBroker, "--port", port, "--state-dir", state_.path(), "--lease-ttl", "2s"});
    const std::string prefix = "listening on ";
    const std::string line = program_->Hear();
    ASSERT_EQ(line.substr(0, prefix.size()), prefix) << line;
    address_ = line.substr(prefix.size());
  }

  TempFolder state_;
  std::string address_;
  std::optional<ChildProgram> program_;
};

class ProcessTest : public ::testing::TestWithParam<bool> {
 protected:
  void SetUp() override {
    if (GetParam()) broker_.emplace();
  }

  std::unique_ptr<ChildProgram> Start(const std::string& role) {
    std::vector<std::string> command = {kPeer, role, folder_.path(), kChannel};
    if (broker_.has_value()) {
      command.push_back(broker_->address());
      command.push_back(broker_->certificates_folder());
    }
    return std::make_unique<ChildProgram>(command);
  }

  std::unique_ptr<ChildProgram> Ready(const std::string& role) {
    std::unique_ptr<ChildProgram> child = Start(role);
    EXPECT_EQ(child->Hear(), "ready");
    return child;
  }

  std::unique_ptr<Messenger> Connected() {
    auto messenger = Messenger::Connect(
        {.address = broker_->address(), .certificates_folder = broker_->certificates_folder()});
    EXPECT_TRUE(messenger.ok()) << messenger.status();
    return messenger.ok() ? *std::move(messenger) : nullptr;
  }

  // First, so that it is looked at when everybody has gone.
  ShmFolder folder_;
  std::optional<BrokerProcess> broker_;
};

INSTANTIATE_TEST_SUITE_P(Broker, ProcessTest, ::testing::Bool(),
                         [](const auto& info) { return info.param ? "WithBroker" : "WithNoBroker"; });

TEST_P(ProcessTest, EverySlotArrivesOnceInOrderAndWhole) {
  const auto producer = Ready("producer");
  const auto consumer = Ready("consumer");
  consumer->Say("read 1000");
  EXPECT_EQ(producer->Ask("write 1000"), "wrote 1000 ok");
  EXPECT_EQ(consumer->Hear(), "read 1000");
  EXPECT_EQ(producer->Finish(), 0);
  EXPECT_EQ(consumer->Ask("drain"), "drained 0 missed 0 wrong 0 producer closed");
  EXPECT_EQ(consumer->Finish(), 0);
}

TEST_P(ProcessTest, ConsumerThatStartsFirstWaitsForItsProducer) {
  const auto consumer = Start("consumer");
  const auto producer = Ready("producer");
  EXPECT_EQ(consumer->Hear(), "ready");
  EXPECT_EQ(producer->Ask("write 3"), "wrote 3 ok");
  EXPECT_EQ(consumer->Ask("read 3"), "read 3");
  EXPECT_EQ(producer->Finish(), 0);
  EXPECT_EQ(consumer->Finish(), 0);
}

TEST_P(ProcessTest, WhatAKilledProducerCommittedIsReadAndWhatItHadBegunIsNeverSeen) {
  const auto producer = Ready("producer");
  const auto consumer = Ready("consumer");
  EXPECT_EQ(producer->Ask("write 10"), "wrote 10 ok");
  EXPECT_EQ(consumer->Ask("read 4"), "read 4");
  EXPECT_EQ(producer->Ask("begin"), "begun");
  producer->Kill();
  EXPECT_EQ(consumer->Ask("drain"), "drained 6 missed 0 wrong 0 producer dead");
  EXPECT_EQ(consumer->Finish(), 0);
}

TEST_P(ProcessTest, ConsumersGoOnWithTheProducerThatFollowsAKilledOne) {
  const auto first = Ready("producer");
  const auto consumer = Ready("consumer");
  EXPECT_EQ(first->Ask("write 10"), "wrote 10 ok");
  EXPECT_EQ(first->Ask("begin"), "begun");
  first->Kill();
  // At once, long before any lease ends: the kernel's word that the first one is dead is enough.
  const auto second = Ready("producer");
  EXPECT_EQ(consumer->Ask("drain"), "drained 10 missed 0 wrong 0 producer dead");
  EXPECT_EQ(second->Ask("write 12"), "wrote 12 ok");
  EXPECT_EQ(consumer->Ask("follow"), "followed");
  EXPECT_EQ(consumer->Ask("read 12"), "read 12");
  EXPECT_EQ(second->Finish(), 0);
  EXPECT_EQ(consumer->Finish(), 0);
}

TEST_P(ProcessTest, ConsumerKilledHoldingASlotHoldsUpNobody) {
  const auto producer = Ready("producer");
  const auto survivor = Ready("consumer");
  const auto victim = Ready("consumer");
  EXPECT_EQ(producer->Ask("write 5"), "wrote 5 ok");
  EXPECT_EQ(victim->Ask("hold"), "holding");
  victim->Kill();
  // More than the ring holds: the producer has to pass the slot that the victim held.
  survivor->Say("read 100");
  EXPECT_EQ(producer->Ask("write 95"), "wrote 100 ok");
  EXPECT_EQ(survivor->Hear(), "read 100");
  EXPECT_EQ(producer->Finish(), 0);
  EXPECT_EQ(survivor->Finish(), 0);
}

TEST_P(ProcessTest, SecondProducerOfALivingChannelIsRefused) {
  const auto first = Ready("producer");
  const auto second = Start("producer");
  const std::string answer = second->Hear();
  EXPECT_EQ(answer.substr(0, 14), "ALREADY_EXISTS") << answer;
  EXPECT_EQ(second->Finish(), 1);
  EXPECT_EQ(first->Ask("write 1"), "wrote 1 ok");
  EXPECT_EQ(first->Finish(), 0);
}

class BrokerProcessTest : public ProcessTest {};

INSTANTIATE_TEST_SUITE_P(Broker, BrokerProcessTest, ::testing::Values(true),
                         [](const auto&) { return "WithBroker"; });

TEST_P(BrokerProcessTest, BrokerKnowsWhoIsThereWhileTheyAreThere) {
  const auto watcher = Connected();
  const auto producer = Ready("producer");
  const auto consumer = Ready("consumer");
  const auto found = watcher->DiscoverProducer(kChannel, absl::Seconds(20));
  ASSERT_TRUE(found.ok()) << found.status();
  EXPECT_EQ(found->consumer_count, 1u);
  EXPECT_EQ(found->spec.metadata.at("overflow"), "block");
  // Strong, since others change it: the broker's word now, not what the watcher was told last.
  const auto now = [&] {
    return watcher->DiscoverProducer(kChannel, absl::ZeroDuration(), Consistency::kStrong);
  };
  EXPECT_EQ(consumer->Finish(), 0);
  EXPECT_EQ(now()->consumer_count, 0u);
  EXPECT_EQ(producer->Finish(), 0);
  EXPECT_EQ(ReasonOf(now().status()), reason::kChannelNotFound);
}

TEST_P(BrokerProcessTest, DataFlowsWhileTheBrokerIsDeadAndTheNextBrokerHearsOfEverything) {
  const auto producer = Ready("producer");
  const auto consumer = Ready("consumer");
  broker_->KillAndStartAgain();
  EXPECT_EQ(producer->Ask("write 10"), "wrote 10 ok");
  EXPECT_EQ(consumer->Ask("read 10"), "read 10");
  const auto watcher = Connected();
  ASSERT_NE(watcher, nullptr);
  const auto found = watcher->DiscoverProducer(kChannel, absl::Seconds(20));
  ASSERT_TRUE(found.ok()) << found.status();
  // Who was there before is still attached, and who comes now is let in.
  const auto late = Ready("consumer");
  EXPECT_EQ(producer->Ask("write 5"), "wrote 15 ok");
  EXPECT_EQ(consumer->Ask("read 5"), "read 5");
  EXPECT_EQ(late->Ask("read 5"), "read 5");
  EXPECT_EQ(producer->Finish(), 0);
  EXPECT_EQ(consumer->Finish(), 0);
  EXPECT_EQ(late->Finish(), 0);
}

TEST_P(BrokerProcessTest, SlotsMoveAsEverWhileTheBrokerIsStopped) {
  const auto producer = Ready("producer");
  const auto consumer = Ready("consumer");
  broker_->Stop();
  // Many times the ring, one after the other in both processes: whoever waited for the broker anywhere would stand still.
  for (int round = 0; round < 50; ++round) {
    ASSERT_EQ(producer->Ask("write 10"), "wrote " + std::to_string(10 * (round + 1)) + " ok");
    ASSERT_EQ(consumer->Ask("read 10"), "read 10");
  }
  broker_->Continue();
  EXPECT_EQ(producer->Finish(), 0);
  EXPECT_EQ(consumer->Finish(), 0);
}

TEST_P(BrokerProcessTest, ProcessesEndInGoodOrderAlthoughTheBrokerIsGone) {
  const auto producer = Ready("producer");
  const auto consumer = Ready("consumer");
  broker_->Kill();
  EXPECT_EQ(producer->Ask("write 10"), "wrote 10 ok");
  EXPECT_EQ(consumer->Ask("read 10"), "read 10");
  EXPECT_EQ(producer->Finish(), 0);
  EXPECT_EQ(consumer->Ask("drain"), "drained 0 missed 0 wrong 0 producer closed");
  EXPECT_EQ(consumer->Finish(), 0);
}

}  // namespace
}  // namespace pylabhub
