#include "shm/ring/group_claims.h"

#include <gtest/gtest.h>

#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <random>
#include <set>
#include <utility>
#include <vector>

#include "shm/channel_config.h"
#include "shm/segment/data_segment.h"
#include "tests/shm/segment_memory.h"
#include "tests/support/seed.h"

namespace pylabhub::shm {
namespace {

constexpr uint32_t kPlaces = 4;
constexpr uint32_t kCapacity = 4;

// The claim words of two groups in private memory. Who is dead is what the test says.
class GroupClaimsTest : public ::testing::Test {
 protected:
  GroupClaimsTest()
      : memory_(ControlFileBytes(kShape)),
        view_(BuildControl(memory_.bytes(), kShape, SegmentId::Random())) {}

  GroupMember Member(uint32_t place, uint32_t group = 0) {
    return {view_, group, place, [this, place](uint32_t holder) {
              EXPECT_NE(holder, place) << "nobody sees its own lock";
              if (on_probe_) std::exchange(on_probe_, nullptr)();
              return dead_.count(holder) == 0;
            }};
  }
  std::atomic<uint64_t>& word(uint64_t sequence, uint32_t group = 0) {
    return view_.claims(group)[sequence % kCapacity];
  }

  static constexpr ControlShape kShape = {
      .max_consumers = kPlaces, .group_count = 2, .capacity_slots = kCapacity};
  SegmentMemory memory_;
  ControlView view_;
  std::set<uint32_t> dead_;
  std::function<void()> on_probe_;  // once
};

TEST_F(GroupClaimsTest, ASlotGoesToOneMemberOfAGroupAndToOneOfAnother) {
  GroupMember a = Member(0);
  GroupMember b = Member(1);
  GroupMember other = Member(2, 1);
  ASSERT_TRUE(a.TryClaim(0));
  EXPECT_FALSE(b.TryClaim(0));
  EXPECT_FALSE(a.TryClaim(0));
  EXPECT_TRUE(other.TryClaim(0));
  ASSERT_TRUE(b.TryClaim(1));
  a.Finish(0);
  EXPECT_FALSE(b.TryClaim(0));
  EXPECT_FALSE(b.TryClaim(0 + 2 * kCapacity)) << "slot 4 is not done";
  EXPECT_TRUE(b.TryClaim(0 + kCapacity));
}

TEST_F(GroupClaimsTest, AGroupsCursorIsTheEndOfTheRunOfDoneSlots) {
  GroupMember a = Member(0);
  GroupMember b = Member(1);
  GroupProgress progress(view_, 0);
  EXPECT_EQ(progress.DoneBelow(3), 0u);
  ASSERT_TRUE(a.TryClaim(0));
  ASSERT_TRUE(b.TryClaim(1));
  ASSERT_TRUE(b.TryClaim(2));
  EXPECT_EQ(progress.DoneBelow(3), 0u);
  b.Finish(1);
  EXPECT_EQ(progress.DoneBelow(3), 0u);
  a.Finish(0);
  EXPECT_EQ(progress.DoneBelow(3), 2u);
  b.Finish(2);
  EXPECT_EQ(progress.DoneBelow(3), 3u);
  EXPECT_EQ(progress.DoneBelow(4), 3u) << "nobody has claimed slot 3";
  EXPECT_EQ(progress.invalid_words(), 0u);
}

TEST_F(GroupClaimsTest, WhatNoMemberWritesIsNotDoneAndIsCounted) {
  GroupProgress progress(view_, 0);
  const uint64_t nonsense[] = {
      0x0123456789ABCDEF,
      UINT64_MAX,
      ClaimWord(1, ClaimState::kDone),                        // another cell's
      ClaimWord(kCapacity, ClaimState::kDone),                // of a slot that was not written yet
      ClaimWord(0, static_cast<ClaimState>(3)),               // no such state
      ClaimWord(0, ClaimState::kClaimed, kPlaces),            // no such place
      ClaimWord(-uint64_t{kCapacity}, ClaimState::kClaimed),  // of the slot before, and not done
  };
  uint64_t invalid = 0;
  for (const uint64_t value : nonsense) {
    word(0) = value;
    EXPECT_EQ(progress.DoneBelow(kCapacity), 0u) << std::hex << value;
    EXPECT_EQ(progress.invalid_words(), ++invalid) << std::hex << value;
  }
}

TEST_F(GroupClaimsTest, OnlyWhatADeadMemberHeldIsTakenOverAndItIsMarked) {
  GroupMember a = Member(0);
  GroupMember b = Member(1);
  ASSERT_TRUE(a.TryClaim(0));
  EXPECT_FALSE(b.IsAbandoned(0));
  EXPECT_FALSE(b.TakeOver(0));
  dead_ = {0};
  EXPECT_TRUE(b.IsAbandoned(0));
  EXPECT_FALSE(b.TryClaim(0)) << "the kernel is not asked about fresh slots";
  const auto claim = b.TakeOver(0);
  ASSERT_TRUE(claim);
  EXPECT_EQ(claim->sequence, 0u);
  EXPECT_TRUE(claim->redelivered);
  EXPECT_FALSE(b.TakeOver(0)) << "it is this member's own";
  b.Finish(0);
  EXPECT_FALSE(b.IsAbandoned(0));
  EXPECT_FALSE(b.TakeOver(0));
  EXPECT_EQ(GroupProgress(view_, 0).DoneBelow(1), 1u);
  ASSERT_TRUE(b.TryClaim(kCapacity));
  EXPECT_FALSE(Member(2).TryClaim(kCapacity));
}

TEST_F(GroupClaimsTest, AClaimOfWhoTookADeadMembersPlaceIsNotTakenForTheDeadOnes) {
  GroupMember dead = Member(0);
  GroupMember heir = Member(0);
  GroupMember slow = Member(1);
  ASSERT_TRUE(dead.TryClaim(0));
  dead_ = {0};
  std::optional<GroupMember::Claim> heirs;
  // Between the look at the lock and the compare-and-swap.
  on_probe_ = [&] {
    ReopenPlace(view_, 0);
    heirs = heir.TryClaim(0);
  };
  EXPECT_FALSE(slow.TakeOver(0)) << "two living members hold one slot";
  ASSERT_TRUE(heirs);
  EXPECT_TRUE(heirs->redelivered);
}

TEST_F(GroupClaimsTest, WhoTakesAPlaceOpensWhatIsClaimedUnderItInEveryGroupAndNothingElse) {
  GroupMember dead = Member(3);
  GroupMember dead_in_other = Member(3, 1);
  GroupMember living = Member(1);
  ASSERT_TRUE(dead.TryClaim(0));
  ASSERT_TRUE(living.TryClaim(1));
  ASSERT_TRUE(dead.TryClaim(2));
  dead.Finish(2);
  ASSERT_TRUE(dead_in_other.TryClaim(1));
  ReopenPlace(view_, 3);
  const auto again = living.TryClaim(0);
  ASSERT_TRUE(again) << "an open slot needs no look at a lock";
  EXPECT_TRUE(again->redelivered);
  EXPECT_FALSE(Member(2).TryClaim(1));
  EXPECT_FALSE(Member(2).TryClaim(2));
  const auto in_other = Member(2, 1).TryClaim(1);
  ASSERT_TRUE(in_other);
  EXPECT_TRUE(in_other->redelivered);
}

TEST_F(GroupClaimsTest, NoWordOfASlotComesTwiceInARow) {
  dead_ = {0, 1};
  GroupMember members[] = {Member(0), Member(1)};
  ASSERT_TRUE(members[0].TryClaim(0));
  uint64_t before = word(0);
  for (int i = 1; i < 200; ++i) {
    const auto claim = members[i % 2].TakeOver(0);
    ASSERT_TRUE(claim) << i;
    ASSERT_TRUE(claim->redelivered) << i;
    ASSERT_NE(word(0).load(), before);
    ReopenPlace(view_, static_cast<uint32_t>(i % 2));
    ASSERT_TRUE(members[i % 2].TryClaim(0)->redelivered) << i;
    before = word(0);
  }
}

TEST_F(GroupClaimsTest, ClaimedAndDoneSlotsArePassedAndSoIsAWholeLap) {
  const std::atomic<uint64_t> head = 12;
  GroupMember a = Member(0);
  GroupMember b = Member(1);
  ASSERT_TRUE(a.TryClaim(0));
  ASSERT_TRUE(a.TryClaim(1));
  a.Finish(1);
  EXPECT_EQ(b.PassClaimed(0, head), 2u);
  // Others did ten slots meanwhile.
  a.Finish(0);
  for (uint64_t slot = 2; slot < 10; ++slot) {
    ASSERT_TRUE(a.TryClaim(slot));
    a.Finish(slot);
  }
  EXPECT_EQ(b.PassClaimed(0, head), 10u);
  EXPECT_EQ(b.PassClaimed(3, head), 10u);
}

TEST_F(GroupClaimsTest, AWordOfAFarSlotLeadsNobodyPastTheHead) {
  const std::atomic<uint64_t> head = 2;
  word(0) = ClaimWord(uint64_t{kCapacity} << 30, ClaimState::kDone);
  EXPECT_EQ(Member(0).PassClaimed(0, head), 0u);
}

TEST_F(GroupClaimsTest, ASlotWhoseWordMakesNoSenseGoesToWhoLooksBack) {
  GroupMember a = Member(0);
  word(2) = 0xDEADDEADDEADDEAD;
  EXPECT_FALSE(a.TryClaim(2));
  ASSERT_TRUE(a.IsAbandoned(2));
  const auto claim = a.TakeOver(2);
  ASSERT_TRUE(claim);
  EXPECT_TRUE(claim->redelivered) << "it may have been somebody's";
  a.Finish(2);
  EXPECT_EQ(word(2).load(), ClaimWord(2, ClaimState::kDone, 0));
}

TEST_F(GroupClaimsTest, NumbersThatDoNotFitIntoAWordMakeNoDifference) {
  constexpr uint64_t kFar = (uint64_t{1} << kClaimSequenceBits) - 2;
  for (uint64_t slot = kFar - kCapacity; slot < kFar; ++slot) word(slot) = ClaimWord(slot, ClaimState::kDone);
  GroupMember a = Member(0);
  for (uint64_t slot = kFar; slot < kFar + uint64_t{3} * kCapacity; ++slot) {
    ASSERT_TRUE(a.TryClaim(slot)) << slot - kFar;
    ASSERT_FALSE(a.IsAbandoned(slot));
    a.Finish(slot);
    ASSERT_EQ(a.DoneBelow(slot + 1), slot + 1);
    ASSERT_FALSE(a.TryClaim(slot));
  }
}

TEST_F(GroupClaimsTest, TheProducerIsWokenForItsGroupAndForASlotThatHoldsItUpOnly) {
  // On the heap: the address sanitizer's stack keeps no alignment of 128 bytes.
  const auto wait = std::make_unique<ProducerWait>();
  GroupMember a = Member(0);
  const auto woken = [&] { return view_.group(0).releases.exchange(0) != 0; };
  ASSERT_TRUE(a.TryClaim(0));
  a.Finish(0);
  wait->waiting_cursor = 1;
  a.WakeProducer(*wait, 0);
  EXPECT_FALSE(woken()) << "it is awake";
  wait->waiting_place = kWaitingGroup + 1;
  a.WakeProducer(*wait, 0);
  EXPECT_FALSE(woken()) << "it sleeps for the other group";
  wait->waiting_place = 1;
  a.WakeProducer(*wait, 0);
  EXPECT_FALSE(woken()) << "it sleeps for the consumer at place 0";
  wait->waiting_place = kWaitingGroup;
  a.WakeProducer(*wait, 1);
  EXPECT_FALSE(woken()) << "slot 1 does not hold it up";
  a.WakeProducer(*wait, 0);
  EXPECT_TRUE(woken());
}

TEST_F(GroupClaimsTest, UndoneSlotsAreCountedToTheLastStampWhereverHeadIs) {
  const ChannelConfig config = ChannelConfig{.channel = "claims.test",
                                             .policy = Policy::kPipeline,
                                             .capacity_slots = kCapacity,
                                             .slot_bytes = 8,
                                             .max_consumers = kPlaces}
                                   .WithDefaults();
  const SegmentMemory data(DataFileBytes(config));
  const DataSegment segment = BuildData(data.bytes(), config, SegmentId::Random(), SegmentId());
  PublishData(data.bytes());
  const auto view = ViewData(data.bytes());
  ASSERT_TRUE(view.ok()) << view.status();
  const auto commit = [&](uint64_t slot) {
    At<SlotDescriptor>(segment.base, segment.geometry.cells_offset_bytes +
                                         slot % kCapacity * segment.geometry.cell_stride_bytes)
        ->stamp = slot + 1;
  };
  EXPECT_EQ(CountUndone(*view, view_, 0), 0u);
  for (uint64_t slot = 0; slot < 3; ++slot) commit(slot);
  segment.header->progress.head = 1;  // killed between a stamp and the head
  EXPECT_EQ(CommittedSlots(*view), 3u);
  EXPECT_EQ(CountUndone(*view, view_, 0), 3u);
  GroupMember a = Member(0);
  ASSERT_TRUE(a.TryClaim(1));
  EXPECT_EQ(CountUndone(*view, view_, 0), 3u) << "held is not done";
  a.Finish(1);
  EXPECT_EQ(CountUndone(*view, view_, 0), 2u);
  EXPECT_EQ(CountUndone(*view, view_, 1), 3u);
  EXPECT_FALSE(a.AllDoneBelow(CommittedSlots(*view)));
  for (const uint64_t slot : {0, 2}) {
    ASSERT_TRUE(a.TryClaim(slot));
    a.Finish(slot);
  }
  commit(3);
  segment.header->progress.head = 4;
  ASSERT_TRUE(a.TryClaim(3));
  a.Finish(3);
  commit(4);
  EXPECT_EQ(CommittedSlots(*view), 5u);
  EXPECT_EQ(CountUndone(*view, view_, 0), 1u);
  ASSERT_TRUE(a.TryClaim(4));
  a.Finish(4);
  EXPECT_EQ(CountUndone(*view, view_, 0), 0u);
  EXPECT_TRUE(a.AllDoneBelow(5));
}

// The obvious model: a list of who holds which slot.
TEST_F(GroupClaimsTest, EveryAnswerIsTheModelsOverRandomOperations) {
  struct Slot {
    std::optional<uint32_t> holder;
    bool open = true;
    bool taken_away = false;
  };
  struct Living {
    std::unique_ptr<GroupMember> member;
    std::set<uint64_t> held;
  };
  std::mt19937_64 random(pylabhub::testing::Seed());
  std::deque<Slot> undone;  // from `done_below` on
  uint64_t done_below = 0;
  std::atomic<uint64_t> head = 0;
  GroupProgress progress(view_, 0);
  std::vector<Living> living(kPlaces);
  int redelivered = 0;
  const auto is_held_by_dead = [&](const Slot& slot) {
    return slot.holder.has_value() && dead_.count(*slot.holder) != 0;
  };
  for (int step = 0; step < 200'000; ++step) {
    const auto place = static_cast<uint32_t>(random() % kPlaces);
    Living& who = living[place];
    const uint64_t dice = random() % 100;
    if (dice < 30 && head < done_below + kCapacity) {
      undone.emplace_back();
      ++head;
    } else if (who.member == nullptr) {
      // Somebody else takes the place.
      ReopenPlace(view_, place);
      dead_.erase(place);
      who.member = std::make_unique<GroupMember>(Member(place));
      for (Slot& slot : undone) {
        if (slot.holder != place) continue;
        slot = {.holder = std::nullopt, .open = true, .taken_away = true};
      }
    } else if (dice < 33) {
      dead_.insert(place);
      who.member.reset();
      who.held.clear();
    } else if (dice < 60 && !who.held.empty()) {
      const uint64_t sequence = *who.held.begin();
      who.held.erase(who.held.begin());
      who.member->Finish(sequence);
      undone[sequence - done_below] = {.holder = std::nullopt, .open = false, .taken_away = false};
    } else if (!undone.empty()) {
      const uint64_t sequence = done_below + random() % undone.size();
      Slot& slot = undone[sequence - done_below];
      const bool looks_back = random() % 2 == 0;
      const bool can = slot.open || (looks_back && is_held_by_dead(slot));
      const bool marked = slot.taken_away || is_held_by_dead(slot);
      ASSERT_EQ(who.member->IsAbandoned(sequence), slot.open || is_held_by_dead(slot));
      const auto claim = looks_back ? who.member->TakeOver(sequence) : who.member->TryClaim(sequence);
      ASSERT_EQ(claim.has_value(), can) << step;
      if (claim) {
        ASSERT_EQ(claim->redelivered, marked) << step;
        redelivered += marked ? 1 : 0;
        slot = {.holder = place, .open = false, .taken_away = marked};
        who.held.insert(sequence);
      }
    }
    while (!undone.empty() && !undone.front().holder && !undone.front().open) {
      undone.pop_front();
      ++done_below;
    }
    ASSERT_EQ(progress.DoneBelow(head), done_below) << step;
    for (const Living& other : living) {
      if (other.member == nullptr) continue;
      ASSERT_EQ(other.member->DoneBelow(head), done_below) << step;
      // The first slot that nobody ever had.
      const uint64_t next = other.member->PassClaimed(done_below, head);
      ASSERT_TRUE(next == head || undone[next - done_below].open) << step;
    }
  }
  EXPECT_EQ(progress.invalid_words(), 0u);
  EXPECT_GT(done_below, 10'000u);
  EXPECT_GT(redelivered, 500);
}

}  // namespace
}  // namespace pylabhub::shm
