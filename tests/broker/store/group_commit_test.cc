#include "broker/store/group_commit.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <future>
#include <map>
#include <string>
#include <thread>
#include <vector>

#include "broker/refusal.h"
#include "tests/broker/store/fake_store.h"

namespace pylabhub::broker {
namespace {

using ::testing::ElementsAre;
using ::testing::Pair;

Change Put(const std::string& key, const std::string& value) { return {key, OpaqueRecord{value}}; }
Change Remove(const std::string& key) { return {key, RemovedRecord{}}; }

Row Encode(const Change& change) {
  const auto* record = std::get_if<OpaqueRecord>(&change.record);
  if (record == nullptr) return {change.key, std::nullopt};
  return {change.key, record->bytes};
}

std::string ReasonOf(const absl::Status& status) {
  const auto details = DetailsOf(status);
  return details.has_value() ? details->reason : std::string(status.message());
}

class GroupCommitTest : public ::testing::Test {
 protected:
  void SetUp() override { Start(); }

  void Start(const std::string& damage = "") {
    commit_.reset();
    auto store = std::make_unique<FakeStore>();
    store_ = store.get();
    commit_ = std::make_unique<GroupCommit>(
        GroupCommitOptions{.store = std::move(store),
                           .damage = damage,
                           .encode = Encode,
                           .on_durable = [this](const std::vector<Event>& events) { told_.Add(events); },
                           .min_retry_delay = absl::Milliseconds(1),
                           .max_retry_delay = absl::Milliseconds(4)});
  }

  ToldEvents told_;
  FakeStore* store_ = nullptr;
  std::unique_ptr<GroupCommit> commit_;
};

TEST_F(GroupCommitTest, WhatWasWaitedForIsInTheStore) {
  const auto ticket = commit_->Add({Put("a", "1"), Put("b", "2")}, {});
  EXPECT_EQ(store_->commit_count(), 0);
  ASSERT_EQ(ReasonOf(commit_->Wait(ticket)), "");
  EXPECT_THAT(store_->contents(), ElementsAre(Pair("a", "1"), Pair("b", "2")));
}

TEST_F(GroupCommitTest, OfSeveralChangesWithOneKeyTheLastIsWritten) {
  commit_->Add({Put("a", "1"), Put("a", "2"), Put("b", "1")}, {});
  const auto ticket = commit_->Add({Remove("b"), Put("a", "3")}, {});
  ASSERT_TRUE(commit_->Wait(ticket).ok());
  EXPECT_THAT(store_->contents(), ElementsAre(Pair("a", "3")));
  EXPECT_EQ(store_->commit_count(), 1);
}

TEST_F(GroupCommitTest, WhatManyThreadsWaitForIsCommittedInGroups) {
  constexpr int kThreads = 16;
  store_->Block();
  std::vector<std::thread> threads;
  std::atomic<int> durable = 0;
  for (int i = 0; i < kThreads; ++i) {
    threads.emplace_back([&, i] {
      const auto ticket = commit_->Add({Put(std::to_string(i), "x")}, {});
      if (commit_->Wait(ticket).ok()) durable += store_->contents().contains(std::to_string(i)) ? 1 : 0;
    });
  }
  while (commit_->last() < kThreads) std::this_thread::yield();
  store_->Unblock();
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(durable, kThreads);
  // The one that was blocked had what was there when it began; the next took all the others.
  EXPECT_LE(store_->commit_count(), 2);
}

TEST_F(GroupCommitTest, EventsAreToldInTheirOrderAndOnlyWhenTheirChangesAreDurable) {
  const auto first = commit_->Add({Put("a", "1")}, EventsOf({1, 2}));
  const auto second = commit_->Add({Put("b", "1")}, EventsOf({3}));
  EXPECT_THAT(told_.revisions(), ElementsAre());
  ASSERT_TRUE(commit_->Wait(first).ok());
  ASSERT_TRUE(commit_->Wait(second).ok());
  EXPECT_THAT(told_.revisions(), ElementsAre(1, 2, 3));
}

TEST_F(GroupCommitTest, WhatNobodyWaitsForIsCommittedAllTheSame) {
  commit_->Add({Put("a", "1")}, EventsOf({1}));
  commit_->CommitSoon();
  told_.Await(1);
  EXPECT_THAT(store_->contents(), ElementsAre(Pair("a", "1")));
}

TEST_F(GroupCommitTest, WhatIsPendingAtTheEndIsWritten) {
  std::map<std::string, std::string> contents;
  store_->CopyContentsTo(&contents);
  commit_->Add({Put("a", "1")}, {});
  commit_.reset();
  EXPECT_THAT(contents, ElementsAre(Pair("a", "1")));
}

TEST_F(GroupCommitTest, AStoreThatFailsIsReadOnlyUntilItTakesWhatIsPending) {
  store_->Fail("disk full");
  const auto ticket = commit_->Add({Put("a", "1")}, {});
  const absl::Status refused = commit_->Wait(ticket);
  EXPECT_EQ(ReasonOf(refused), "STORE_READ_ONLY");
  EXPECT_THAT(std::string(refused.message()), ::testing::HasSubstr("disk full"));
  EXPECT_TRUE(DetailsOf(refused)->retry_delay.has_value());
  EXPECT_EQ(ReasonOf(commit_->CheckWritable()), "STORE_READ_ONLY");
  EXPECT_TRUE(commit_->counts().read_only);
  store_->AwaitFailures(3);
  store_->Recover();
  while (!commit_->CheckWritable().ok()) std::this_thread::yield();
  // What was refused is there after all, as the caller was told that it may be.
  EXPECT_THAT(store_->contents(), ElementsAre(Pair("a", "1")));
  EXPECT_TRUE(commit_->Wait(ticket).ok());
  EXPECT_TRUE(commit_->Wait(commit_->Add({Put("b", "1")}, {})).ok());
}

TEST_F(GroupCommitTest, ChangesThatCameWhileACommitFailedAreTheNewerOnes) {
  store_->Fail("disk full");
  EXPECT_FALSE(commit_->Wait(commit_->Add({Put("a", "1"), Put("b", "1")}, {})).ok());
  commit_->Add({Put("a", "2")}, {});
  store_->Recover();
  while (!commit_->CheckWritable().ok()) std::this_thread::yield();
  commit_->CommitSoon();
  ASSERT_TRUE(commit_->Wait(commit_->last()).ok());
  EXPECT_THAT(store_->contents(), ElementsAre(Pair("a", "2"), Pair("b", "1")));
}

TEST_F(GroupCommitTest, EventsAreToldWhileTheStoreIsReadOnly) {
  store_->Fail("disk full");
  EXPECT_FALSE(commit_->Wait(commit_->Add({Put("a", "1")}, EventsOf({1}))).ok());
  commit_->Add({Remove("a")}, EventsOf({2}));
  told_.Await(2);
  EXPECT_THAT(told_.revisions(), ElementsAre(1, 2));
}

TEST_F(GroupCommitTest, ADamagedStoreIsNeverWritten) {
  Start("row 3 is damaged");
  EXPECT_EQ(ReasonOf(commit_->CheckWritable()), "STORE_READ_ONLY");
  const auto ticket = commit_->Add({Put("a", "1")}, EventsOf({1}));
  EXPECT_EQ(ReasonOf(commit_->Wait(ticket)), "STORE_READ_ONLY");
  told_.Await(1);
  const int commits = store_->commit_count();
  EXPECT_EQ(commits, 0);
}

TEST(GroupCommitEventsTest, ACommitDoesNotWaitUntilTheEventsOfTheOneBeforeAreTold) {
  std::promise<void> telling;
  std::promise<void> second_is_durable;
  auto wait_for_second = second_is_durable.get_future();
  bool in_time = false;
  std::vector<uint64_t> told;
  GroupCommit commit({.store = std::make_unique<FakeStore>(),
                      .encode = Encode,
                      .on_durable = [&](const std::vector<Event>& events) {
                        if (told.empty()) {
                          telling.set_value();
                          in_time =
                              wait_for_second.wait_for(std::chrono::seconds(20)) == std::future_status::ready;
                        }
                        for (const Event& event : events) told.push_back(event.revision);
                      }});
  std::thread first([&] { EXPECT_TRUE(commit.Wait(commit.Add({Put("a", "1")}, EventsOf({1}))).ok()); });
  telling.get_future().wait();
  EXPECT_TRUE(commit.Wait(commit.Add({Put("b", "1")}, EventsOf({2}))).ok());
  second_is_durable.set_value();
  first.join();
  EXPECT_TRUE(in_time);
  EXPECT_THAT(told, ElementsAre(1, 2));
}

TEST(GroupCommitWithNoStoreTest, EverythingIsDurableAtOnce) {
  ToldEvents told;
  GroupCommit commit({.on_durable = [&](const std::vector<Event>& events) { told.Add(events); }});
  const auto ticket = commit.Add({Put("a", "1")}, EventsOf({7}));
  EXPECT_THAT(told.revisions(), ElementsAre(7));
  EXPECT_TRUE(commit.Wait(ticket).ok());
  EXPECT_TRUE(commit.CheckWritable().ok());
}

// The one test that lets everything happen at once: for ThreadSanitizer.
TEST_F(GroupCommitTest, ManyThreadsAndAFailingStoreEndWithEverythingWritten) {
  constexpr int kThreads = 8;
  constexpr int kChanges = 200;
  std::atomic<int> refused = 0;
  std::vector<std::thread> threads;
  for (int i = 0; i < kThreads; ++i) {
    threads.emplace_back([&, i] {
      for (int j = 0; j < kChanges; ++j) {
        const std::string key = std::to_string(i) + "/" + std::to_string(j);
        const auto ticket = commit_->Add({Put(key, "x"), Put("shared", key)}, EventsOf({1}));
        if (j == kChanges / 2 && i == 0) store_->FailTimes(3);
        if (j % 7 == 0) {
          commit_->CommitSoon();
        } else if (!commit_->Wait(ticket).ok()) {
          ++refused;
        }
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  store_->Recover();
  while (!commit_->CheckWritable().ok()) std::this_thread::yield();
  ASSERT_TRUE(commit_->Wait(commit_->last()).ok());
  EXPECT_EQ(store_->contents().size(), size_t{kThreads} * kChanges + 1);
  EXPECT_GT(refused, 0);
  told_.Await(size_t{kThreads} * kChanges);
}

}  // namespace
}  // namespace pylabhub::broker
