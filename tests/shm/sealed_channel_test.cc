// Channels without a name: descriptors handed over a socket, and from there everything as with named ones.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstring>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "shm/data_block_consumer.h"
#include "shm/data_block_producer.h"
#include "shm/os/kernel_lock.h"
#include "shm/os/memfd.h"
#include "shm/segment/layout.h"
#include "shm/segment_descriptors.h"
#include "tests/support/child_process.h"
#include "tests/support/every_policy.h"
#include "tests/support/socket_pair.h"
#include "tests/support/stamped_slots.h"

namespace pylabhub::shm {
namespace {

using ::pylabhub::testing::ChildProcess;
using ::pylabhub::testing::IsStamped;
using ::pylabhub::testing::PutStamped;
using ::pylabhub::testing::ReadStamped;
using ::pylabhub::testing::Received;
using ::pylabhub::testing::SocketPair;
using ::testing::HasSubstr;

constexpr absl::Duration kPatience = absl::Seconds(20);
constexpr uid_t kNobody = 65534;

ChannelConfig Config(Policy policy = Policy::kSyncReader, uint64_t slot_bytes = 4096) {
  return {.channel = "sealed.test", .policy = policy, .capacity_slots = 4, .slot_bytes = slot_bytes};
}

std::unique_ptr<DataBlockProducer> Create(const ChannelConfig& config,
                                          std::span<const SegmentDescriptors> predecessors = {}) {
  auto producer = DataBlockProducer::CreateSealed(config, {}, predecessors);
  EXPECT_TRUE(producer.ok()) << producer.status();
  return producer.ok() ? *std::move(producer) : nullptr;
}

std::unique_ptr<DataBlockConsumer> Open(const ConsumerDescriptors& descriptors,
                                        const ConsumerOptions& options = {}) {
  auto consumer = DataBlockConsumer::OpenSealed(descriptors, options);
  EXPECT_TRUE(consumer.ok()) << consumer.status();
  return consumer.ok() ? *std::move(consumer) : nullptr;
}

SegmentDescriptors Copy(const DataBlockProducer& producer) { return *producer.descriptors()->Duplicate(); }
ConsumerDescriptors For(const DataBlockProducer& producer, size_t part = 0) {
  return *producer.descriptors()->ForConsumer(part);
}

// What the process at the other end of `socket` hands over.
ConsumerDescriptors Receive(int socket) {
  auto received = ReceiveSegment(socket, kPatience);
  EXPECT_TRUE(received.ok()) << received.status();
  return received.ok() ? std::move(received->descriptors) : ConsumerDescriptors();
}

void Send(int socket, const DataBlockProducer& producer, size_t part = 0) {
  const absl::Status sent = SendSegment(socket, For(producer, part), "sealed.test", kPatience);
  EXPECT_TRUE(sent.ok()) << sent;
}

class SealedChannelTest : public ::testing::TestWithParam<std::tuple<Policy, uint64_t>> {
 protected:
  static ChannelConfig Given() { return Config(std::get<0>(GetParam()), std::get<1>(GetParam())); }
};

TEST_P(SealedChannelTest, SlotsPassBetweenProcesses) {
  constexpr uint64_t kSlots = 2000;
  SocketPair sockets;
  ChildProcess consumer([&](const ChildProcess::Line& parent) {
    const ConsumerDescriptors descriptors = Receive(sockets.second());
    const auto channel = Open(descriptors);
    parent.Signal();
    const Received received = ReadStamped(*channel, kPatience);
    if (received.end != SlotResult::kProducerClosed || received.wrong != 0) return 1;
    const bool all = received.slots + received.missed == kSlots;
    const bool lossless = IsLossless(Given().policy);
    return all && (!lossless || received.missed == 0) && received.slots > 0 ? 0 : 2;
  });
  auto producer = Create(Given());
  Send(sockets.first(), *producer);
  consumer.line().Await();
  for (uint64_t i = 0; i < kSlots; ++i) ASSERT_EQ(PutStamped(*producer, kPatience), SlotResult::kOk);
  producer.reset();
  EXPECT_EQ(consumer.Wait(), 0);
}

INSTANTIATE_TEST_SUITE_P(Policies, SealedChannelTest,
                         ::testing::Combine(::testing::ValuesIn(pylabhub::testing::kEveryPolicy),
                                            ::testing::Values(64, 4096)),
                         [](const auto& info) {
                           return absl::StrCat(NameOf(std::get<0>(info.param)), "_", std::get<1>(info.param));
                         });

TEST(SealedSegmentTest, AKilledProducerIsNoticedThoughItsDescriptorsWerePassedOn) {
  SocketPair sockets;
  ChildProcess child([&](const ChildProcess::Line& parent) {
    const auto producer = Create(Config());
    Send(sockets.second(), *producer);
    parent.Await();
    for (int i = 0; i < 3; ++i) {
      if (PutStamped(*producer, kPatience) != SlotResult::kOk) return 1;
    }
    const WriteSlot half = producer->Acquire(kPatience);
    std::memset(half.payload().data(), 0xee, half.payload().size() / 2);
    parent.Signal();
    parent.Await();
    return 1;
  });
  const ConsumerDescriptors descriptors = Receive(sockets.first());
  const ConsumerDescriptors passed_on = *descriptors.Duplicate();
  const auto consumer = Open(descriptors);
  child.line().Signal();
  child.line().Await();
  EXPECT_TRUE(consumer->ProducerIsAlive());
  child.Kill();
  EXPECT_FALSE(consumer->ProducerIsAlive());
  const Received received = ReadStamped(*consumer, kPatience);
  EXPECT_EQ(received.end, SlotResult::kProducerDead);
  EXPECT_EQ(received.slots, 3u);
  EXPECT_EQ(received.wrong, 0u);
}

TEST(SealedSegmentTest, AConsumerKilledWhileItHoldsASlotStopsNobody) {
  SocketPair sockets;
  const auto producer = Create(Config());
  ChildProcess child([&](const ChildProcess::Line& parent) {
    const auto consumer = Open(Receive(sockets.second()));
    parent.Signal();
    const ReadSlot held = consumer->Acquire(kPatience);
    parent.Signal();
    parent.Await();
    return held ? 1 : 2;
  });
  Send(sockets.first(), *producer);
  child.line().Await();
  EXPECT_EQ(producer->consumer_count(), 1u);
  const auto survivor = Open(For(*producer, 1));
  for (int i = 0; i < 4; ++i) ASSERT_EQ(PutStamped(*producer, kPatience), SlotResult::kOk);
  for (int i = 0; i < 4; ++i) ASSERT_TRUE(survivor->Acquire(kPatience));
  child.line().Await();
  EXPECT_EQ(producer->Acquire(absl::Milliseconds(30)).result(), SlotResult::kTimeout)
      << "it lives, and holds";
  child.Kill();
  for (int i = 0; i < 8; ++i) {
    ASSERT_EQ(PutStamped(*producer, kPatience), SlotResult::kOk);
    ASSERT_TRUE(survivor->Acquire(kPatience));
  }
  EXPECT_EQ(producer->consumer_count(), 1u);
  EXPECT_EQ(producer->Stats().evicted_consumers, 1u);
}

TEST(SealedSegmentTest, AConsumerCannotWriteDataWhateverItTries) {
  SocketPair sockets;
  const auto producer = Create(Config());
  const auto own = Open(For(*producer, 1));
  ASSERT_EQ(PutStamped(*producer, kPatience), SlotResult::kOk);
  ChildProcess thief([&](const ChildProcess::Line&) {
    const ConsumerDescriptors descriptors = Receive(sockets.second());
    const auto can_write = [](int fd) {
      return mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0) != MAP_FAILED ||
             pwrite(fd, "x", 1, 0) == 1 || ftruncate(fd, 0) == 0 || ftruncate(fd, 1 << 30) == 0 ||
             fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 4096) == 0;
    };
    if (can_write(descriptors.data.get())) return 1;
    const std::string path = absl::StrCat("/proc/self/fd/", descriptors.data.get());
    const int reopened = open(path.c_str(), O_RDWR | O_CLOEXEC);  // root's right
    if (reopened >= 0 && can_write(reopened)) return 2;
    void* view = mmap(nullptr, 4096, PROT_READ, MAP_SHARED, descriptors.data.get(), 0);
    if (mprotect(view, 4096, PROT_READ | PROT_WRITE) == 0) return 3;
    // Its part and the bell are its own to write, but not to cut short under the others.
    for (const int fd : {descriptors.part.get(), descriptors.bell.get()}) {
      if (ftruncate(fd, 0) == 0) return 4;
      if (fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE) == 0) return 5;
    }
    return 0;
  });
  Send(sockets.first(), *producer);
  EXPECT_EQ(thief.Wait(), 0);
  const ReadSlot slot = own->Acquire(kPatience);
  EXPECT_TRUE(slot && IsStamped(slot.payload(), 0));
}

TEST(SealedSegmentTest, AProcessOfAnotherUserAttachesToWhatItIsHandedAndTakesNoLockOfTheProducer) {
  if (geteuid() != 0) GTEST_SKIP() << "only root can become another user";
  SocketPair sockets;
  const auto producer = Create(Config());
  ChildProcess stranger([&](const ChildProcess::Line& parent) {
    if (setgid(kNobody) != 0 || setuid(kNobody) != 0) return 1;
    const ConsumerDescriptors descriptors = Receive(sockets.second());
    const auto consumer = Open(descriptors);
    if (consumer == nullptr) return 2;
    const std::string path = absl::StrCat("/proc/self/fd/", descriptors.data.get());
    if (open(path.c_str(), O_RDWR | O_CLOEXEC) >= 0) return 3;
    if (TryLockByte(descriptors.data.get(), kProducerLockByte).ok()) return 4;
    parent.Signal();
    const ReadSlot slot = consumer->Acquire(kPatience);
    return slot && IsStamped(slot.payload(), 0) ? 0 : 5;
  });
  Send(sockets.first(), *producer);
  ASSERT_EQ(stranger.line().Await(), '.');
  ASSERT_EQ(PutStamped(*producer, kPatience), SlotResult::kOk);
  EXPECT_EQ(stranger.Wait(), 0);
}

// Memory of `bytes` bytes, sealed as data or control is, and otherwise empty.
UniqueFd Forged(size_t bytes, Writers writers) {
  absl::StatusOr<UniqueFd> memfd = CreateMemfd("pylabhub.sealed_channel_test");
  EXPECT_EQ(fallocate(memfd->get(), 0, 0, static_cast<off_t>(bytes)), 0);
  EXPECT_TRUE(Seal(memfd->get(), writers).ok());
  return *std::move(memfd);
}

TEST(SealedSegmentTest, RogueDescriptorsAreRefusedAndTheMessageSaysWhich) {
  const auto producer = Create(Config());
  const auto expect_refusal_of = [&](const ConsumerDescriptors& rogue, const std::string& what) {
    const absl::Status status = DataBlockConsumer::OpenSealed(rogue).status();
    EXPECT_TRUE(absl::IsFailedPrecondition(status)) << status;
    EXPECT_THAT(std::string(status.message()), HasSubstr(what));
  };
  const auto data = [&] { return For(*producer).data; };
  const auto bell = [&] { return For(*producer).bell; };
  const auto part = [&] { return For(*producer).part; };
  const auto expect_refusal = [&](UniqueFd data, UniqueFd part, const std::string& what) {
    expect_refusal_of({std::move(data), bell(), std::move(part)}, what);
  };
  const auto null = [] { return UniqueFd::Open("/dev/null", O_RDWR | O_CLOEXEC); };
  const auto unsealed = [] { return *CreateMemfd("pylabhub.sealed_channel_test"); };

  expect_refusal(null(), part(), "the data descriptor: the descriptor is not a segment's: it is not a memfd");
  expect_refusal(data(), null(),
                 "the part's descriptor: the descriptor is not a segment's: it is not a memfd");
  expect_refusal(unsealed(), part(),
                 "the data descriptor: the descriptor is not a segment's: it lacks the seals");
  expect_refusal(data(), unsealed(), "it lacks the seals F_SEAL_SHRINK, F_SEAL_GROW, F_SEAL_SEAL");
  expect_refusal(part(), part(), "it lacks the seals F_SEAL_FUTURE_WRITE");
  expect_refusal(Forged(100, Writers::kCreatorAlone), part(), "the segment is truncated");
  expect_refusal(Forged(1 << 20, Writers::kCreatorAlone), part(), "the data descriptor: ");
  expect_refusal(data(), Forged(100, Writers::kEverybody), "the segment is truncated");
  expect_refusal(data(), Forged(1 << 20, Writers::kEverybody), "the part's descriptor: ");
  const auto other = Create(Config());
  expect_refusal(data(), For(*other).part, "do not belong together");
  expect_refusal_of({data(), null(), part()}, "the bell's descriptor: the descriptor is not a segment's");
  expect_refusal_of({data(), part(), part()}, "the bell's descriptor: it has");
  // Data in place of a part cannot be mapped for writing.
  EXPECT_FALSE(DataBlockConsumer::OpenSealed({data(), bell(), data()}).ok());
  EXPECT_FALSE(DataBlockConsumer::OpenSealed({data(), data(), part()}).ok());
  EXPECT_FALSE(DataBlockConsumer::OpenSealed({}).ok());
  EXPECT_NE(Open(For(*producer)), nullptr);
}

TEST(SealedSegmentTest, ADescriptorOfAnotherVersionOfTheBytesIsNamed) {
  const auto producer = Create(Config());
  ConsumerDescriptors good = For(*producer);
  const off_t bytes = lseek(good.data.get(), 0, SEEK_END);
  absl::StatusOr<UniqueFd> memfd = CreateMemfd("pylabhub.sealed_channel_test");
  ASSERT_TRUE(memfd.ok()) << memfd.status();
  std::vector<char> copy(static_cast<size_t>(bytes));
  ASSERT_EQ(pread(good.data.get(), copy.data(), copy.size(), 0), bytes);
  copy[offsetof(Superblock, abi_version)] = 77;
  ASSERT_EQ(pwrite(memfd->get(), copy.data(), copy.size(), 0), bytes);
  ASSERT_TRUE(Seal(memfd->get(), Writers::kCreatorAlone).ok());
  const ConsumerDescriptors forged{*std::move(memfd), std::move(good.bell), std::move(good.part)};
  const absl::Status status = DataBlockConsumer::OpenSealed(forged).status();
  EXPECT_TRUE(absl::IsFailedPrecondition(status)) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr("version 77"));
}

TEST(SealedSegmentTest, AConsumerFollowsToTheSegmentThatItIsHandedNext) {
  auto first = Create(Config());
  std::vector<SegmentDescriptors> predecessors;
  predecessors.push_back(Copy(*first));
  const auto consumer = Open(For(*first));
  for (int i = 0; i < 3; ++i) ASSERT_EQ(PutStamped(*first, kPatience), SlotResult::kOk);
  EXPECT_TRUE(absl::IsFailedPrecondition(consumer->Follow(For(*first)))) << "the producer lives";
  first.reset();

  const auto second = Create(Config(), predecessors);
  EXPECT_EQ(second->predecessor_id(), consumer->segment_id());
  // More than the ring holds would have to wait for the consumer, whose place is kept.
  for (int i = 0; i < 4; ++i) ASSERT_EQ(PutStamped(*second, kPatience), SlotResult::kOk);
  EXPECT_EQ(second->Acquire(absl::Milliseconds(30)).result(), SlotResult::kTimeout);

  const Received old = ReadStamped(*consumer, kPatience);
  EXPECT_EQ(old.slots, 3u);
  EXPECT_EQ(old.end, SlotResult::kProducerClosed);
  ASSERT_TRUE(consumer->Follow(For(*second)).ok());
  EXPECT_EQ(consumer->segment_id(), second->segment_id());
  for (uint64_t i = 0; i < 4; ++i) {
    const ReadSlot slot = consumer->Acquire(kPatience);
    ASSERT_TRUE(slot && IsStamped(slot.payload(), i));
    EXPECT_EQ(slot.missed_slots(), 0u);
  }
  EXPECT_EQ(PutStamped(*second, kPatience), SlotResult::kOk);
}

TEST(SealedSegmentTest, ASuccessorTwoSegmentsOnKeepsThePlaceToo) {
  auto first = Create(Config());
  std::vector<SegmentDescriptors> chain;
  chain.push_back(Copy(*first));
  const auto consumer = Open(For(*first));
  ASSERT_EQ(PutStamped(*first, kPatience), SlotResult::kOk);
  first.reset();
  auto second = Create(Config(), chain);
  chain.push_back(Copy(*second));
  ASSERT_EQ(PutStamped(*second, kPatience), SlotResult::kOk);
  second.reset();
  const auto third = Create(Config(), chain);
  ASSERT_EQ(PutStamped(*third, kPatience), SlotResult::kOk);

  EXPECT_EQ(ReadStamped(*consumer, kPatience).slots, 1u);
  const absl::Status skipped = consumer->Follow(For(*third));
  EXPECT_TRUE(absl::IsFailedPrecondition(skipped)) << skipped;
  EXPECT_THAT(std::string(skipped.message()), HasSubstr("does not follow"));
  for (const SegmentDescriptors* next : {&std::as_const(chain[1]), third->descriptors()}) {
    ASSERT_TRUE(consumer->Follow(*next->ForConsumer(0)).ok());
    const ReadSlot slot = consumer->Acquire(kPatience);
    ASSERT_TRUE(slot);
    EXPECT_EQ(slot.sequence(), 0u);
    EXPECT_EQ(slot.missed_slots(), 0u);
  }
}

TEST(SealedSegmentTest, PredecessorsThatAreNoChainOrStillHaveAProducerAreRefused) {
  const auto living = Create(Config());
  std::vector<SegmentDescriptors> chain;
  chain.push_back(Copy(*living));
  EXPECT_TRUE(absl::IsAlreadyExists(DataBlockProducer::CreateSealed(Config(), {}, chain).status()));

  std::vector<SegmentDescriptors> strangers;
  for (int i = 0; i < 2; ++i) strangers.push_back(Copy(*Create(Config())));
  const absl::Status status = DataBlockProducer::CreateSealed(Config(), {}, strangers).status();
  EXPECT_TRUE(absl::IsInvalidArgument(status)) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr("oldest first"));

  ChannelConfig other = Config();
  other.channel = "other.test";
  strangers.pop_back();
  EXPECT_TRUE(absl::IsInvalidArgument(DataBlockProducer::CreateSealed(other, {}, strangers).status()));
}

TEST(SealedSegmentTest, WhatBelongsToNamesIsRefusedByNameOrHasNoMeaning) {
  ChannelConfig config = Config();
  config.unix_group = 0;
  const absl::Status status = DataBlockProducer::CreateSealed(config).status();
  EXPECT_TRUE(absl::IsInvalidArgument(status)) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr("unix_group"));

  auto producer = Create(Config());
  const auto consumer = Open(For(*producer));
  EXPECT_EQ(consumer->config().directory, "");
  producer.reset();
  const absl::Status follow = consumer->Follow(absl::ZeroDuration());
  EXPECT_TRUE(absl::IsFailedPrecondition(follow)) << follow;
  EXPECT_THAT(std::string(follow.message()), HasSubstr("descriptors"));
}

TEST(SealedSegmentTest, ASchemaThatIsNotTheExpectedOneIsRefused) {
  const auto producer = Create(Config());
  Schema expected = Schema::Opaque();
  expected.name = "another";
  const absl::Status status =
      DataBlockConsumer::OpenSealed(For(*producer), {.expected_schema = expected}).status();
  EXPECT_TRUE(absl::IsFailedPrecondition(status)) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr("SCHEMA_MISMATCH"));
}

}  // namespace
}  // namespace pylabhub::shm
