// Random lives of channels beside the reference model of one, in one thread: after each step they must agree.
//
// PYLABHUB_TEST_STEPS sets the steps for each shape of channel (ring_model_soak: half a million), PYLABHUB_TEST_SEED
// repeats a run.
#include <gtest/gtest.h>

#include <cstdlib>
#include <string>

#include "shm/segment/layout.h"
#include "tests/shm/reference_episode.h"
#include "tests/support/every_policy.h"
#include "tests/support/seed.h"
#include "tests/support/shm_folder.h"

namespace pylabhub::shm {
namespace {

constexpr uint32_t kPlaces = 4;
constexpr uint64_t kDefaultSteps = 20'000;

uint64_t Steps() {
  const char* given = std::getenv("PYLABHUB_TEST_STEPS");
  return given != nullptr ? std::strtoull(given, nullptr, 10) : kDefaultSteps;
}

ChannelConfig ConfigOf(Policy policy, uint64_t slot_bytes, uint32_t capacity_slots,
                       const std::string& folder) {
  uint32_t places = kPlaces;
  if (policy == Policy::kSingleReader) places = 1;
  if (policy == Policy::kPipeline) places = 8 * kPlaces;
  return {.channel = "model.test",
          .policy = policy,
          .buffering = capacity_slots == 1 ? Buffering::kSingle : Buffering::kRingBuffer,
          .capacity_slots = capacity_slots,
          .slot_bytes = slot_bytes,
          .max_consumers = places,
          .directory = folder};
}

class RingModelTest : public ::testing::TestWithParam<Policy> {
 protected:
  static void Live(uint64_t slot_bytes, uint32_t capacity, ReferenceEpisode::Counts& counts) {
    pylabhub::testing::ShmFolder folder;
    ReferenceEpisode episode(ConfigOf(GetParam(), slot_bytes, capacity, folder.path()),
                             pylabhub::testing::Seed() + slot_bytes + capacity);
    while (!HasFailure() && episode.counts().steps < Steps()) episode.Step();
    if (!HasFailure()) episode.Finish();
    ASSERT_FALSE(HasFailure()) << "slots of " << slot_bytes << ", capacity " << capacity << ", step "
                               << episode.counts().steps
                               << ", PYLABHUB_TEST_SEED=" << pylabhub::testing::Seed();
    counts.Add(episode.counts());
  }
};

TEST_P(RingModelTest, EveryAnswerIsTheReferenceModels) {
  ReferenceEpisode::Counts counts;
  for (const uint64_t slot_bytes :
       {uint64_t{1}, uint64_t{100}, kMaxInlineBytes, kMaxInlineBytes + 1, uint64_t{5000}}) {
    for (const uint32_t capacity : {1u, 2u, 3u, 8u}) {
      Live(slot_bytes, capacity, counts);
      if (HasFailure()) return;
    }
  }
  // Whatever may happen did.
  const Policy policy = GetParam();
  const uint64_t thousands = counts.steps / 1000;
  EXPECT_GT(counts.committed, 10 * thousands);
  EXPECT_GT(counts.read, 10 * thousands);
  EXPECT_GT(counts.aborted, thousands);
  EXPECT_GT(counts.timeouts, thousands);
  EXPECT_GT(counts.corrupt, 0u);
  EXPECT_GT(counts.followed, 0u);
  EXPECT_GT(counts.missed, 0u);
  EXPECT_TRUE(policy == Policy::kSingleReader || counts.deaths > 0);
  if (policy == Policy::kSyncReader) {
    EXPECT_GT(counts.evicted, 0u);
    EXPECT_GT(counts.dropped, 0u);
    EXPECT_GT(counts.cut_off, 0u);
    EXPECT_GT(counts.joined_behind, 0u);
  }
  EXPECT_TRUE(policy != Policy::kPipeline || counts.redelivered > 0);
}

INSTANTIATE_TEST_SUITE_P(Policies, RingModelTest, ::testing::ValuesIn(pylabhub::testing::kEveryPolicy),
                         [](const auto& info) { return std::string(NameOf(info.param)); });

}  // namespace
}  // namespace pylabhub::shm
