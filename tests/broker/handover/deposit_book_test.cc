#include "broker/handover/deposit_book.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/mman.h>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "broker/handover/memory_check.h"
#include "broker/refusal.h"

namespace pylabhub::broker {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

const ConsumerKey kAnn = {"session-a", "c"};
const ConsumerKey kBob = {"session-b", "c"};
const ConsumerKey kCid = {"session-c", "c"};

handover::Descriptor AnyDescriptor() { return handover::Descriptor(memfd_create("book", MFD_CLOEXEC)); }

Memory Part(uint32_t part, const std::string& group = "") {
  return {.role = MemoryRole::kPart,
          .part = part,
          .group = group,
          .size_bytes = 1,
          .descriptor = AnyDescriptor()};
}
Memory InUse(uint32_t part) { return {.role = MemoryRole::kPart, .part = part, .in_use = true}; }

std::vector<Memory> Whole(std::vector<Memory> parts) {
  std::vector<Memory> memories;
  memories.push_back({.role = MemoryRole::kData, .size_bytes = 1, .descriptor = AnyDescriptor()});
  memories.push_back({.role = MemoryRole::kBell, .size_bytes = 1, .descriptor = AnyDescriptor()});
  for (Memory& part : parts) memories.push_back(std::move(part));
  return memories;
}

template <typename... Parts>
std::vector<Memory> Parts_(Parts... parts) {
  std::vector<Memory> memories;
  (memories.push_back(std::move(parts)), ...);
  return memories;
}

class DepositBookTest : public ::testing::Test {
 protected:
  void Open(char segment, uint64_t epoch, const std::string& identity = "producer") {
    auto spec = std::make_shared<ChannelSpec>();
    spec->name = "camera";
    spec->segment_id = std::string(16, segment);
    book_.Open({.spec = spec, .epoch = epoch, .producer_identity = identity});
  }
  std::string Deposit(uint64_t epoch, std::vector<Memory> memories) {
    return Verdict(book_.Deposit("camera", epoch, std::move(memories)));
  }
  // "part 3", or why not.
  std::string Collect(const ConsumerKey& consumer, const std::string& group = "", bool onlooker = false) {
    const auto collected = book_.Collect("camera", consumer, group, onlooker);
    if (!collected.ok()) return Verdict(collected.status());
    EXPECT_EQ(collected->memories.size(), 3u);
    for (const Memory& memory : collected->memories) EXPECT_TRUE(memory.descriptor.is_open());
    return absl::StrCat("part ", collected->memories[2].part);
  }
  std::string CollectWith(const ConsumerKey& consumer, const PartClaim& claim) {
    const auto collected = book_.Collect("camera", consumer, "", /*onlooker=*/false, /*revision=*/0, claim);
    return collected.ok() ? NameOf(collected->memories[2]) : Verdict(collected.status());
  }
  std::string InheritedPieces(size_t skip, size_t count) const {
    const auto inherited = book_.Inherit("camera", skip, count);
    if (!inherited.ok()) return Verdict(inherited.status());
    std::vector<std::string> names;
    for (const Memory& memory : inherited->memories) {
      EXPECT_TRUE(memory.descriptor.is_open());
      names.push_back(NameOf(memory));
    }
    return absl::StrJoin(names, " ") + (inherited->more ? " and more" : "");
  }
  static std::string Verdict(const absl::Status& status) {
    return status.ok() ? "OK" : DetailsOf(status)->reason;
  }
  DepositBook::Task Task() { return book_.TaskOf("camera"); }

  DepositBook book_{{.max_descriptors = 20, .max_descriptors_per_identity = 12}, absl::Seconds(3)};
};

TEST_F(DepositBookTest, NothingCanBeCollectedBeforeItIsDeposited) {
  EXPECT_EQ(Collect(kAnn), "NOT_DEPOSITED");
  Open('1', 5);
  EXPECT_EQ(Collect(kAnn), "NOT_DEPOSITED");
  EXPECT_TRUE(Task().deposit_again);
  EXPECT_EQ(Deposit(5, Whole(Parts_(Part(0), Part(1)))), "OK");
  EXPECT_TRUE(Task().empty());
  EXPECT_EQ(Collect(kAnn), "part 0");
}

TEST_F(DepositBookTest, EachConsumerHasAPartAndNobodyGetsItAgain) {
  Open('1', 5);
  ASSERT_EQ(Deposit(5, Whole(Parts_(Part(0), Part(1)))), "OK");
  EXPECT_EQ(Collect(kAnn), "part 0");
  EXPECT_EQ(Collect(kBob), "part 1");
  EXPECT_EQ(Collect(kCid), "LIMIT_EXCEEDED");
  book_.Leave("camera", kAnn, /*revoked=*/false);
  // What Ann may still have mapped is made anew first.
  EXPECT_EQ(Collect(kCid), "LIMIT_EXCEEDED");
  EXPECT_THAT(Task().retired_parts, ElementsAre(0));
  EXPECT_FALSE(Task().move_on);
  EXPECT_EQ(Deposit(5, Parts_(Part(0), Part(1))), "OK");
  EXPECT_TRUE(Task().empty());
  EXPECT_EQ(Collect(kCid), "part 0");
  EXPECT_EQ(book_.PartOf("camera", kBob), 1u);
}

TEST_F(DepositBookTest, WhoCollectsAgainGetsAnotherPartOnce) {
  Open('1', 5);
  ASSERT_EQ(Deposit(5, Whole(Parts_(Part(0), Part(1), Part(2)))), "OK");
  EXPECT_EQ(Collect(kAnn), "part 0");
  EXPECT_EQ(Collect(kAnn), "part 1");
  EXPECT_THAT(Task().retired_parts, ElementsAre(0));
  // It cannot use up everybody's.
  EXPECT_EQ(Collect(kAnn), "LIMIT_EXCEEDED");
  EXPECT_EQ(Collect(kBob), "part 2");
}

TEST_F(DepositBookTest, ALeavingThatIsToldLateTakesNothingFromWhoCameBack) {
  Open('1', 5);
  ASSERT_EQ(Deposit(5, Whole(Parts_(Part(0), Part(1)))), "OK");
  ASSERT_TRUE(book_.Collect("camera", kAnn, "", /*onlooker=*/false, /*revision=*/12).ok());
  book_.Leave("camera", kAnn, /*revoked=*/true, /*revision=*/10);
  EXPECT_TRUE(Task().empty());
  EXPECT_EQ(book_.PartOf("camera", kAnn), 0u);
  book_.Leave("camera", kAnn, /*revoked=*/false, /*revision=*/13);
  EXPECT_THAT(Task().retired_parts, ElementsAre(0));
}

TEST_F(DepositBookTest, AMemberOfAGroupGetsItsGroupsPartAndAnOnlookerItsOwn) {
  Open('1', 5);
  ASSERT_EQ(Deposit(5, Whole(Parts_(Part(0, "x"), Part(1, "y"), Part(2)))), "OK");
  EXPECT_EQ(Collect(kAnn, "x"), "part 0");
  EXPECT_EQ(Collect(kBob, "x"), "part 0");
  EXPECT_EQ(Collect(kCid, "y"), "part 1");
  EXPECT_EQ(Collect(kCid, "z"), "INVALID_REQUEST");
  EXPECT_EQ(Collect(kCid), "INVALID_REQUEST");
  EXPECT_EQ(Collect({"session-d", ""}, "", /*onlooker=*/true), "part 2");
  book_.Leave("camera", kAnn, /*revoked=*/false);
  EXPECT_TRUE(Task().empty());
  book_.Leave("camera", kBob, /*revoked=*/true);
  EXPECT_TRUE(Task().move_on);
  EXPECT_THAT(Task().excepted_parts, IsEmpty());
}

TEST_F(DepositBookTest, ARevokedConsumerMakesTheProducerMoveOnAndTheOthersInheritTheirPlaces) {
  Open('1', 5);
  ASSERT_EQ(Deposit(5, Whole(Parts_(Part(0), Part(1), Part(2)))), "OK");
  ASSERT_EQ(Collect(kAnn), "part 0");
  ASSERT_EQ(Collect(kBob), "part 1");
  book_.Leave("camera", kAnn, /*revoked=*/true);
  EXPECT_TRUE(Task().move_on);
  EXPECT_THAT(Task().excepted_parts, ElementsAre(0));
  Open('2', 6);
  EXPECT_FALSE(Task().move_on);
  EXPECT_EQ(Deposit(5, Whole(Parts_(Part(0)))), "STALE_EPOCH");
  ASSERT_EQ(Deposit(6, Whole(Parts_(Part(0), Part(1), Part(2)))), "OK");
  EXPECT_EQ(Collect(kCid), "part 0");
  EXPECT_EQ(Collect({"session-d", ""}), "part 2");
  EXPECT_EQ(Collect({"session-e", ""}), "LIMIT_EXCEEDED");
  EXPECT_EQ(Collect(kBob), "part 1");
}

TEST_F(DepositBookTest, ARevokedConsumerThatHasNothingOfTheSegmentMovesNobody) {
  Open('1', 5);
  ASSERT_EQ(Deposit(5, Whole(Parts_(Part(0), Part(1)))), "OK");
  book_.Leave("camera", kAnn, /*revoked=*/true);
  EXPECT_TRUE(Task().empty());
  ASSERT_EQ(Collect(kBob), "part 0");
  Open('2', 6);
  ASSERT_EQ(Deposit(6, Whole(Parts_(Part(0), Part(1)))), "OK");
  // An heir that has not come: its place is made anew, that is all.
  book_.Leave("camera", kBob, /*revoked=*/true);
  EXPECT_FALSE(Task().move_on);
  EXPECT_THAT(Task().retired_parts, ElementsAre(0));
}

TEST_F(DepositBookTest, AfterARestartPartsInUseAreNobodysUntilTheirConsumersLeave) {
  Open('1', 5);
  ASSERT_EQ(Deposit(5, Whole(Parts_(InUse(0), Part(1)))), "OK");
  EXPECT_EQ(Collect(kBob), "part 1");
  EXPECT_EQ(Collect(kCid), "LIMIT_EXCEEDED");
  // Ann had it, or may have had.
  book_.Leave("camera", kAnn, /*revoked=*/true);
  EXPECT_TRUE(Task().deposit_again);
  EXPECT_TRUE(Task().move_on);
  ASSERT_EQ(Deposit(5, Whole(Parts_(Part(0), Part(1)))), "OK");
  EXPECT_FALSE(Task().deposit_again);
  EXPECT_EQ(book_.PartOf("camera", kBob), 1u);
  EXPECT_EQ(Collect(kCid), "part 0");
}

TEST_F(DepositBookTest, WhatAProducerLeavesIsTheNextOnesUntilItsDepositHasCome) {
  Open('1', 5);
  EXPECT_FALSE(book_.HasPredecessor("camera"));
  ASSERT_EQ(Deposit(5, Whole(Parts_(Part(0), Part(1), Part(2)))), "OK");
  ASSERT_EQ(Collect(kAnn), "part 0");
  ASSERT_EQ(Collect(kBob), "part 1");
  Open('2', 6);
  ASSERT_TRUE(book_.HasPredecessor("camera"));
  // Data, bell, and who reads: a page at a time.
  EXPECT_EQ(InheritedPieces(0, 3), "data bell part 0 and more");
  EXPECT_EQ(InheritedPieces(3, 3), "part 1");
  EXPECT_EQ(InheritedPieces(4, 3), "NOT_DEPOSITED");
  // Who leaves is no heir.
  book_.Leave("camera", kAnn, /*revoked=*/true);
  EXPECT_EQ(InheritedPieces(0, 9), "data bell part 1");
  EXPECT_EQ(book_.descriptor_count(), 3u);
  // A producer that dies before its deposit takes nothing from the one after it.
  Open('3', 7);
  EXPECT_EQ(InheritedPieces(0, 9), "data bell part 1");
  ASSERT_EQ(Deposit(7, Whole(Parts_(Part(0), Part(1), Part(2)))), "OK");
  EXPECT_FALSE(book_.HasPredecessor("camera"));
  EXPECT_EQ(book_.descriptor_count(), 5u);
  EXPECT_EQ(Collect(kBob), "part 1");
}

TEST_F(DepositBookTest, WhatAProducerLeavesIsNoOtherIdentitys) {
  Open('1', 5);
  ASSERT_EQ(Deposit(5, Whole(Parts_(Part(0)))), "OK");
  ASSERT_EQ(Collect(kAnn), "part 0");
  Open('2', 6, "another");
  EXPECT_FALSE(book_.HasPredecessor("camera"));
  EXPECT_EQ(book_.descriptor_count(), 0u);
}

TEST_F(DepositBookTest, AConsumerOfWhichARestartedBrokerDoesNotKnowThePartMaySayIt) {
  Open('1', 5);
  std::vector<Memory> memories = Whole(Parts_(Part(0), InUse(1), InUse(2)));
  memories[4].descriptor = AnyDescriptor();
  ASSERT_EQ(Deposit(5, std::move(memories)), "OK");
  ASSERT_EQ(Collect(kCid), "part 0");
  Open('2', 6);
  EXPECT_EQ(InheritedPieces(0, 9), "data bell part 0 part 2");
  ASSERT_EQ(Deposit(6, Whole(Parts_(Part(0), Part(1), Part(2), Part(3)))), "OK");
  const std::string before(16, '1');
  // Not what somebody else is known to have had, nor of another segment: that is what a newcomer gets.
  EXPECT_EQ(CollectWith(kAnn, {std::string(16, '0'), 2}), "part 3");
  EXPECT_EQ(CollectWith(kBob, {before, 2}), "part 2");
  EXPECT_EQ(CollectWith({"session-d", ""}, {before, 0}), "part 1");
  EXPECT_EQ(Collect(kCid), "part 0");
}

TEST_F(DepositBookTest, ADepositThatIsNotWholeIsRefusedAndWhatWasThereStays) {
  Open('1', 5);
  EXPECT_EQ(Deposit(5, Parts_(Part(0))), "DEPOSIT_REFUSED");
  EXPECT_EQ(Deposit(5, Whole({})), "DEPOSIT_REFUSED");
  EXPECT_EQ(Deposit(5, Whole(Parts_(Part(0), Part(0)))), "DEPOSIT_REFUSED");
  std::vector<Memory> no_bell = Whole(Parts_(Part(0)));
  no_bell.erase(no_bell.begin() + 1);
  EXPECT_EQ(Deposit(5, std::move(no_bell)), "DEPOSIT_REFUSED");
  EXPECT_EQ(book_.descriptor_count(), 0u);
  ASSERT_EQ(Deposit(5, Whole(Parts_(Part(0)))), "OK");
  EXPECT_EQ(Deposit(5, Whole({})), "DEPOSIT_REFUSED");
  EXPECT_EQ(Collect(kAnn), "part 0");
}

TEST_F(DepositBookTest, TheBudgetIsKeptToAndWhatGoesMakesRoom) {
  Open('1', 5);
  std::vector<Memory> many;
  for (uint32_t i = 0; i < 11; ++i) many.push_back(Part(i));
  EXPECT_EQ(Deposit(5, Whole(std::move(many))), "LIMIT_EXCEEDED");
  ASSERT_EQ(Deposit(5, Whole(Parts_(Part(0), Part(1)))), "OK");
  EXPECT_EQ(book_.descriptor_count(), 4u);
  ASSERT_EQ(Collect(kAnn), "part 0");
  // It is the next producer's to see.
  EXPECT_EQ(book_.descriptor_count(), 4u);
  Open('2', 6, "another");
  EXPECT_EQ(book_.descriptor_count(), 0u);
  ASSERT_EQ(Deposit(6, Whole(Parts_(Part(0), Part(1)))), "OK");
  book_.Forget("camera", 5);
  EXPECT_EQ(book_.descriptor_count(), 4u);
  book_.Forget("camera", 6);
  EXPECT_EQ(book_.descriptor_count(), 0u);
  EXPECT_EQ(book_.channel_count(), 0u);
}

}  // namespace
}  // namespace pylabhub::broker
