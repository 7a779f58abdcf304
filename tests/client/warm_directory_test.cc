#include "client/warm_directory.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <map>
#include <memory>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "client/error_reason.h"
#include "client/name_pattern.h"
#include "gmock/gmock.h"
#include "tests/support/seed.h"

namespace pylabhub {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

constexpr char kHistory[] = "history";

Channel Ready(const std::string& name, uint64_t epoch = 1, uint64_t revision = 0) {
  return {.spec = {.name = name}, .state = ChannelState::kReady, .epoch = epoch, .revision = revision};
}

Channel Closing(const std::string& name, CloseReason why, uint64_t revision) {
  return {.spec = {.name = name},
          .state = ChannelState::kClosing,
          .epoch = 1,
          .revision = revision,
          .close_reason = why};
}

absl::Status Compacted() {
  absl::Status status = absl::OutOfRangeError("compacted");
  SetReason(status, reason::kRevisionCompacted);
  return status;
}

class WarmDirectoryTest : public ::testing::Test {
 protected:
  // What each change was, as "a ready 1" or "a closing".
  std::vector<std::string> Apply(std::vector<WatchEvent> events, const std::string& history = kHistory) {
    WarmDirectory::Changes changes;
    EXPECT_TRUE(directory_.Apply({.events = std::move(events), .history_id = history}, changes).ok());
    std::vector<std::string> words;
    for (const auto& channel : changes) {
      words.push_back(channel->state == ChannelState::kReady
                          ? channel->spec.name + " ready " + std::to_string(channel->epoch)
                          : channel->spec.name + " closing");
    }
    return words;
  }

  std::vector<std::string> Snapshot(const std::vector<Channel>& channels, uint64_t revision,
                                    const std::string& history = kHistory) {
    std::vector<WatchEvent> events;
    for (const Channel& channel : channels) {
      events.push_back({.kind = WatchEventKind::kSnapshot, .revision = revision, .channel = channel});
    }
    events.push_back({.kind = WatchEventKind::kSnapshotComplete, .revision = revision});
    return Apply(std::move(events), history);
  }

  WarmDirectory directory_;
};

TEST_F(WarmDirectoryTest, NothingIsAnsweredBeforeTheSnapshotIsComplete) {
  EXPECT_TRUE(directory_.Begin({"*"}).snapshot);
  Apply({{.kind = WatchEventKind::kSnapshot, .revision = 5, .channel = Ready("a")}});
  EXPECT_FALSE(directory_.is_fresh());
  EXPECT_EQ(directory_.FindReady("a"), nullptr);
  EXPECT_EQ(directory_.FindLastKnown("a"), nullptr);
  EXPECT_THAT(Apply({{.kind = WatchEventKind::kSnapshotComplete, .revision = 5}}), ElementsAre("a ready 1"));
  EXPECT_NE(directory_.FindReady("a"), nullptr);
  EXPECT_EQ(directory_.revision(), 5u);
}

TEST_F(WarmDirectoryTest, AClosingChannelLeavesAtOnce) {
  directory_.Begin({"*"});
  Snapshot({Ready("a")}, 5);
  EXPECT_THAT(Apply({{.kind = WatchEventKind::kChannelClosing,
                      .revision = 6,
                      .channel = Closing("a", CloseReason::kLeaseExpired, 6)}}),
              ElementsAre("a closing"));
  EXPECT_EQ(directory_.FindReady("a"), nullptr);
  EXPECT_EQ(directory_.FindLastKnown("a")->close_reason, CloseReason::kLeaseExpired);
  EXPECT_TRUE(directory_.Covers("a"));
  EXPECT_THAT(Apply({{.kind = WatchEventKind::kChannelRemoved, .revision = 7, .channel = Ready("a")}}),
              IsEmpty());
  EXPECT_EQ(directory_.FindLastKnown("a"), nullptr);
}

TEST_F(WarmDirectoryTest, OnlyWhatThePatternsMatchIsCovered) {
  directory_.Begin({"camera.*"});
  EXPECT_FALSE(directory_.Covers("camera.left"));
  Snapshot({}, 5);
  EXPECT_TRUE(directory_.Covers("camera.left"));
  EXPECT_FALSE(directory_.Covers("sensor"));
}

TEST_F(WarmDirectoryTest, AStreamThatEndedIsGoneOnWithFromTheRevisionThatWasToldInFull) {
  directory_.Begin({"*"});
  Snapshot({Ready("a")}, 5);
  // Others may share revision 7.
  Apply({{.kind = WatchEventKind::kChannelReady, .revision = 6, .channel = Ready("b")},
         {.kind = WatchEventKind::kChannelReady, .revision = 7, .channel = Ready("c")}});
  directory_.End(absl::UnavailableError("broken"));
  EXPECT_EQ(directory_.FindReady("a"), nullptr);
  const WatchRequest request = directory_.Begin({"*"});
  EXPECT_FALSE(request.snapshot);
  EXPECT_EQ(request.after_revision, 6u);
  EXPECT_EQ(request.history_id, kHistory);
  EXPECT_FALSE(directory_.is_fresh());
  EXPECT_THAT(Apply({{.kind = WatchEventKind::kChannelReady, .revision = 7, .channel = Ready("c")}}),
              IsEmpty());
  EXPECT_NE(directory_.FindReady("a"), nullptr);
}

TEST_F(WarmDirectoryTest, OtherPatternsAGapAndAnotherHistoryNeedASnapshot) {
  directory_.Begin({"a*"});
  Snapshot({Ready("a")}, 5);
  directory_.End(absl::CancelledError("to be widened"));
  EXPECT_TRUE(directory_.Begin({"a*", "b"}).snapshot);
  Snapshot({Ready("a")}, 5);
  directory_.End(Compacted());
  EXPECT_TRUE(directory_.Begin({"a*", "b"}).snapshot);
  Snapshot({Ready("a")}, 9);
  directory_.End(absl::UnavailableError("broken"));
  EXPECT_FALSE(directory_.Begin({"a*", "b"}).snapshot);
  WarmDirectory::Changes changes;
  const absl::Status status = directory_.Apply(
      {.events = {{.kind = WatchEventKind::kBookmark, .revision = 12}}, .history_id = "another"}, changes);
  EXPECT_TRUE(absl::IsDataLoss(status));
  directory_.End(status);
  EXPECT_TRUE(directory_.Begin({"a*", "b"}).snapshot);
}

TEST_F(WarmDirectoryTest, AnEmptyDirectorysFirstRevisionIsNotResumedFrom) {
  directory_.Begin({"*"});
  Snapshot({}, 0);
  directory_.End(absl::UnavailableError("broken"));
  // After revision 0 would mean from now on.
  EXPECT_TRUE(directory_.Begin({"*"}).snapshot);
}

TEST_F(WarmDirectoryTest, ASnapshotThatBrokeOffIsBegunAgain) {
  directory_.Begin({"*"});
  Apply({{.kind = WatchEventKind::kSnapshot, .revision = 5, .channel = Ready("a")}});
  directory_.End(absl::UnavailableError("broken"));
  EXPECT_TRUE(directory_.Begin({"*"}).snapshot);
}

TEST_F(WarmDirectoryTest, ASnapshotTellsWhatChangedMeanwhileAndNothingElse) {
  directory_.Begin({"*"});
  Snapshot({Ready("gone"), Ready("kept"), Ready("replaced")}, 5);
  directory_.End(Compacted());
  directory_.Begin({"*"});
  EXPECT_THAT(Snapshot({Ready("kept"), Ready("new"), Ready("replaced", 2)}, 3, "another history"),
              ::testing::UnorderedElementsAre("gone closing", "new ready 1", "replaced ready 2"));
  EXPECT_EQ(directory_.revision(), 3u);
}

TEST_F(WarmDirectoryTest, WhatNarrowerPatternsLeaveOutIsNotSaidToClose) {
  directory_.Begin({"*"});
  Snapshot({Ready("a"), Ready("b")}, 5);
  directory_.End(absl::CancelledError("to be narrowed"));
  directory_.Begin({"a"});
  EXPECT_THAT(Snapshot({Ready("a")}, 5), IsEmpty());
  EXPECT_EQ(directory_.size(), 1u);
}

TEST_F(WarmDirectoryTest, WhatThisProcessChangedIsNotAnsweredFromBefore) {
  directory_.Begin({"*"});
  Snapshot({Ready("a"), Ready("b")}, 5);
  directory_.Expect("a", 8);
  EXPECT_EQ(directory_.FindReady("a"), nullptr);
  EXPECT_NE(directory_.FindReady("b"), nullptr);
  Apply({{.kind = WatchEventKind::kConsumerJoined, .revision = 7, .channel = Ready("a", 1, 7)}});
  EXPECT_EQ(directory_.FindReady("a"), nullptr);
  Apply({{.kind = WatchEventKind::kConsumerJoined, .revision = 8, .channel = Ready("a", 1, 8)}});
  EXPECT_NE(directory_.FindReady("a"), nullptr);
  directory_.Expect("a", 9);
  Apply({{.kind = WatchEventKind::kBookmark, .revision = 9}});
  EXPECT_NE(directory_.FindReady("a"), nullptr);
  directory_.Expect("a", 9);
  EXPECT_NE(directory_.FindReady("a"), nullptr);
}

TEST_F(WarmDirectoryTest, KindsOfALaterVersionAreSkipped) {
  directory_.Begin({"*"});
  Snapshot({Ready("a")}, 5);
  EXPECT_THAT(Apply({{.kind = WatchEventKind::kUnknown, .revision = 6}}), IsEmpty());
  EXPECT_EQ(directory_.size(), 1u);
}

// A broker's directory, slow and obvious, with a stream that splits, breaks and repeats as it may.
class Model {
 public:
  explicit Model(std::mt19937_64& random) : random_(random) {
    channels_["steady"] = Ready("steady", ++epoch_, ++revision_);
  }

  void ChangeSomething() {
    const std::string name = "c" + std::to_string(random_() % 20);
    // Sometimes what belongs together shares a revision; never with what was said to be all of it.
    if (!may_share_revision_ || random_() % 3 != 0) ++revision_;
    may_share_revision_ = true;
    const auto found = channels_.find(name);
    if (found == channels_.end()) {
      Add(WatchEventKind::kChannelPending,
          {.spec = {.name = name}, .state = ChannelState::kPending, .epoch = ++epoch_});
      return;
    }
    Channel channel = found->second;
    switch (channel.state) {
      case ChannelState::kPending:
        channel.state = ChannelState::kReady;
        return Add(WatchEventKind::kChannelReady, channel);
      case ChannelState::kReady:
        if (random_() % 2 == 0) {
          ++channel.consumer_count;
          return Add(WatchEventKind::kConsumerJoined, channel);
        }
        channel.state = ChannelState::kClosing;
        return Add(WatchEventKind::kChannelClosing, channel);
      default:
        if (random_() % 2 == 0) {
          channel.state = ChannelState::kPending;
          channel.epoch = ++epoch_;
          return Add(WatchEventKind::kChannelPending, channel);
        }
        channel.revision = revision_;
        events_.push_back(
            {.kind = WatchEventKind::kChannelRemoved, .revision = revision_, .channel = channel});
        channels_.erase(name);
    }
  }

  void Compact() {
    compacted_revision_ = ++revision_;
    may_share_revision_ = false;
    events_.clear();
    sent_ = 0;
  }
  void LoseHistory() {
    Compact();
    history_ = "history " + std::to_string(++histories_);
    revision_ = random_() % 100;
    compacted_revision_ = revision_;
  }

  // False: REVISION_COMPACTED.
  bool Begin(const WatchRequest& request) {
    patterns_ = request.name_patterns;
    waiting_.clear();
    if (request.snapshot) {
      for (const auto& [name, channel] : channels_) {
        if (!NameMatchesAny(name, patterns_)) continue;
        waiting_.push_back({.kind = WatchEventKind::kSnapshot, .revision = revision_, .channel = channel});
      }
      std::shuffle(waiting_.begin(), waiting_.end(), random_);
      waiting_.push_back({.kind = WatchEventKind::kSnapshotComplete, .revision = revision_});
      sent_ = events_.size();
      may_share_revision_ = false;
      return true;
    }
    if (request.history_id != history_ || request.after_revision < compacted_revision_) return false;
    sent_ = 0;
    while (sent_ < events_.size() && events_[sent_].revision <= request.after_revision) ++sent_;
    return true;
  }

  // A part of what there is to tell. With all of it, a bookmark.
  WatchBatch Next(bool all) {
    for (; sent_ < events_.size(); ++sent_) {
      if (NameMatchesAny(events_[sent_].channel.spec.name, patterns_)) waiting_.push_back(events_[sent_]);
    }
    const size_t count = all ? waiting_.size() : random_() % (waiting_.size() + 1);
    WatchBatch batch{.history_id = history_};
    batch.events.assign(waiting_.begin(), waiting_.begin() + static_cast<ptrdiff_t>(count));
    waiting_.erase(waiting_.begin(), waiting_.begin() + static_cast<ptrdiff_t>(count));
    if (all) batch.events.push_back({.kind = WatchEventKind::kBookmark, .revision = revision_});
    may_share_revision_ = may_share_revision_ && !all;
    return batch;
  }

  const std::map<std::string, Channel>& channels() const { return channels_; }
  uint64_t revision() const { return revision_; }

 private:
  void Add(WatchEventKind kind, Channel channel) {
    channel.revision = revision_;
    channels_[channel.spec.name] = channel;
    events_.push_back({.kind = kind, .revision = revision_, .channel = channel});
  }

  std::mt19937_64& random_;
  std::map<std::string, Channel> channels_;
  std::vector<WatchEvent> events_;
  uint64_t histories_ = 0;
  std::string history_ = "history 0";
  uint64_t epoch_ = 0;
  uint64_t revision_ = 0;
  uint64_t compacted_revision_ = 0;
  bool may_share_revision_ = false;
  std::vector<std::string> patterns_;
  std::vector<WatchEvent> waiting_;
  size_t sent_ = 0;
};

TEST(WarmDirectoryModelTest, WhateverBecomesOfTheStreamWhatIsFreshIsTrueAndNothingSteadyIsEverAbsent) {
  std::mt19937_64 random(testing::Seed());
  Model model(random);
  // Not on the stack: AddressSanitizer's own does not align it.
  const auto owned_directory = std::make_unique<WarmDirectory>();
  WarmDirectory& directory = *owned_directory;
  // What somebody believes who only listens to changes: epochs of ready channels.
  std::map<std::string, uint64_t> believed;
  const std::vector<std::vector<std::string>> scopes = {{"*"}, {"c1*", "steady"}, {"c?", "steady"}};
  size_t checks = 0;
  size_t resumptions = 0;
  size_t refusals = 0;
  bool steady_seen = false;
  const std::vector<std::string>* scope = nullptr;
  const auto apply = [&](WatchBatch batch) {
    WarmDirectory::Changes changes;
    absl::Status status = directory.Apply(std::move(batch), changes);
    // Of what narrower patterns leave out nothing more is told.
    if (directory.is_fresh()) {
      std::erase_if(believed, [&](const auto& ready) { return !NameMatchesAny(ready.first, *scope); });
    }
    for (const auto& channel : changes) {
      if (channel->state == ChannelState::kReady) {
        EXPECT_NE(believed[channel->spec.name], channel->epoch) << "told twice";
        believed[channel->spec.name] = channel->epoch;
      } else {
        EXPECT_EQ(believed.erase(channel->spec.name), 1u) << "closed, and was not open";
      }
    }
    return status;
  };
  for (int stream = 0; stream < 2'000; ++stream) {
    scope = &scopes[random() % 10 == 0 ? random() % scopes.size() : 0];
    const WatchRequest request = directory.Begin(*scope);
    if (!model.Begin(request)) {
      ++refusals;
      directory.End(Compacted());
      continue;
    }
    resumptions += request.snapshot ? 0 : 1;
    for (size_t batch = random() % 8; batch > 0; --batch) {
      for (size_t i = random() % 5; i > 0; --i) model.ChangeSomething();
      const bool all = random() % 3 == 0;
      ASSERT_TRUE(apply(model.Next(all)).ok());
      steady_seen = steady_seen || directory.is_fresh();
      ASSERT_EQ(directory.FindLastKnown("steady") != nullptr, steady_seen);
      if (!all) continue;
      ++checks;
      ASSERT_TRUE(directory.is_fresh());
      ASSERT_EQ(directory.revision(), model.revision());
      size_t matching = 0;
      for (const auto& [name, channel] : model.channels()) {
        if (!NameMatchesAny(name, *scope)) continue;
        ++matching;
        const bool ready = channel.state == ChannelState::kReady;
        const WarmDirectory::ChannelPtr found = directory.FindReady(name);
        ASSERT_EQ(found != nullptr, ready) << name;
        ASSERT_EQ(believed.contains(name), ready) << name;
        if (!ready) continue;
        ASSERT_EQ(found->epoch, channel.epoch);
        ASSERT_EQ(found->consumer_count, channel.consumer_count);
        ASSERT_EQ(believed[name], channel.epoch);
      }
      ASSERT_EQ(directory.size(), matching);
    }
    if (random() % 10 == 0) model.Compact();
    if (random() % 40 == 0) model.LoseHistory();
    directory.End(absl::UnavailableError("broken"));
    ASSERT_FALSE(directory.is_fresh());
  }
  EXPECT_GT(checks, 500u);
  EXPECT_GT(resumptions, 500u);
  EXPECT_GT(refusals, 20u);
}

TEST(WarmDirectoryThreadTest, WhileOneSnapshotTakesTheOthersPlaceNoLookUpFindsNothing) {
  const auto owned_directory = std::make_unique<WarmDirectory>();
  WarmDirectory& directory = *owned_directory;
  constexpr int kChannels = 200;
  const auto list = [&](uint64_t revision) {
    directory.Begin({"*"});
    WatchBatch batch{.history_id = kHistory};
    for (int i = 0; i < kChannels; ++i) {
      batch.events.push_back({.kind = WatchEventKind::kSnapshot,
                              .revision = revision,
                              .channel = Ready("c" + std::to_string(i), revision, revision)});
    }
    batch.events.push_back({.kind = WatchEventKind::kSnapshotComplete, .revision = revision});
    WarmDirectory::Changes changes;
    EXPECT_TRUE(directory.Apply(std::move(batch), changes).ok());
  };
  list(1);
  std::atomic<bool> done = false;
  std::atomic<uint64_t> swaps_seen = 0;
  std::vector<std::thread> readers;
  for (int reader = 0; reader < 3; ++reader) {
    readers.emplace_back([&, reader] {
      uint64_t last = 1;
      for (int i = 0; !done; ++i) {
        const auto found = directory.FindLastKnown("c" + std::to_string(i % kChannels));
        ASSERT_NE(found, nullptr);
        ASSERT_GE(found->epoch, last);
        if (found->epoch > last) ++swaps_seen;
        last = found->epoch;
        if (i % 1'000 == reader) {
          ASSERT_EQ(directory.List("c").size(), static_cast<size_t>(kChannels));
        }
      }
    });
  }
  for (uint64_t revision = 2; revision < 100 || swaps_seen < 10; ++revision) {
    directory.End(Compacted());
    list(revision);
  }
  done = true;
  for (std::thread& reader : readers) reader.join();
}

}  // namespace
}  // namespace pylabhub
