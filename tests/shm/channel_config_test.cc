#include "shm/channel_config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <string>

#include "shm/data_block_producer.h"
#include "tests/support/every_policy.h"
#include "tests/support/shm_folder.h"

namespace pylabhub::shm {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

ChannelConfig Good() { return {.channel = "a.b-c_9", .slot_bytes = 100}; }

TEST(ChannelConfigTest, DefaultsAreFilledIn) {
  const ChannelConfig config = Good().WithDefaults();
  EXPECT_TRUE(config.Validate().ok()) << config.Validate();
  EXPECT_EQ(config.capacity_slots, 64u);
  EXPECT_EQ(config.max_consumers, 64u);
  ChannelConfig single = Good();
  single.policy = Policy::kSingleReader;
  EXPECT_EQ(single.WithDefaults().max_consumers, 1u);
  ChannelConfig pipeline = Good();
  pipeline.policy = Policy::kPipeline;
  EXPECT_THAT(pipeline.WithDefaults().groups, ElementsAre("workers"));
  ChannelConfig with_zone = Good();
  with_zone.zone_schema.record_bytes = 40;
  EXPECT_EQ(with_zone.WithDefaults().zone_bytes, 40u);
}

TEST(ChannelConfigTest, NoPolicyIsMissingWhereATestSaysEveryPolicy) {
  for (int value = 0; value < 256; ++value) {
    const auto policy = static_cast<Policy>(value);
    const bool listed = std::ranges::count(pylabhub::testing::kEveryPolicy, policy) == 1;
    EXPECT_EQ(listed, NameOf(policy) != "unknown") << value;
  }
}

TEST(ChannelConfigTest, NamesFollowTheRuleOnBothSidesOfIt) {
  for (const char* name : {"a", "0", "-", ".", "_", "sensor.temperature"})
    EXPECT_TRUE(ValidateChannelName(name).ok());
  EXPECT_TRUE(ValidateChannelName(std::string(128, 'x')).ok());
  EXPECT_FALSE(ValidateChannelName(std::string(129, 'x')).ok());
  for (const char* name : {"", "A", "a/b", "a b", "\xc3\xa4", "a\n"})
    EXPECT_FALSE(ValidateChannelName(name).ok()) << name;
}

TEST(ChannelConfigTest, EveryBrokenRuleNamesItsMember) {
  const struct {
    const char* word;
    void (*spoil)(ChannelConfig&);
  } cases[] = {
      {"channel name", [](ChannelConfig& c) { c.channel = "A"; }},
      {"policy", [](ChannelConfig& c) { c.policy = static_cast<Policy>(77); }},
      {"buffering", [](ChannelConfig& c) { c.buffering = static_cast<Buffering>(77); }},
      {"single buffer", [](ChannelConfig& c) { c.buffering = Buffering::kSingle, c.capacity_slots = 2; }},
      {"double buffer",
       [](ChannelConfig& c) { c.buffering = Buffering::kDoubleBuffer, c.capacity_slots = 3; }},
      {"ring buffer", [](ChannelConfig& c) { c.capacity_slots = 1; }},
      {"ring buffer", [](ChannelConfig& c) { c.capacity_slots = kMaxCapacitySlots + 1; }},
      {"slot_bytes", [](ChannelConfig& c) { c.slot_bytes = 0; }},
      {"slot_bytes", [](ChannelConfig& c) { c.slot_bytes = kMaxSlotBytes + 1; }},
      {"max_consumers", [](ChannelConfig& c) { c.max_consumers = kMaxConsumers + 1; }},
      {"single_reader", [](ChannelConfig& c) { c.policy = Policy::kSingleReader, c.max_consumers = 2; }},
      {"min_consumers", [](ChannelConfig& c) { c.min_consumers = 65; }},
      {"max_pins", [](ChannelConfig& c) { c.max_pins = UINT32_MAX; }},
      {"reservation_ttl", [](ChannelConfig& c) { c.reservation_ttl = -absl::Seconds(1); }},
      {"no groups", [](ChannelConfig& c) { c.groups = {"workers"}; }},
      {"groups", [](ChannelConfig& c) { c.policy = Policy::kPipeline, c.groups.assign(9, "g"); }},
      {"there twice",
       [](ChannelConfig& c) {
         c.policy = Policy::kPipeline, c.groups = {"a", "b", "a"};
       }},
      {"group name",
       [](ChannelConfig& c) { c.policy = Policy::kPipeline, c.groups = {std::string(32, 'g')}; }},
      {"group name", [](ChannelConfig& c) { c.policy = Policy::kPipeline, c.groups = {"No Spaces"}; }},
      {"checksum", [](ChannelConfig& c) { c.checksum = static_cast<Checksum>(0); }},
      {"max_patience", [](ChannelConfig& c) { c.max_patience = absl::ZeroDuration(); }},
      {"zone_bytes", [](ChannelConfig& c) { c.zone_bytes = kMaxZoneBytes + 1; }},
      {"directory", [](ChannelConfig& c) { c.directory = "dev/shm"; }},
      {"schema", [](ChannelConfig& c) { c.schema.name = ""; }},
      {"record",
       [](ChannelConfig& c) {
         c.slot_bytes = 7;
         c.schema = {.name = "R",
                     .record_bytes = 8,
                     .fields = {{.name = "x", .type = ScalarType::kInt64, .offset_bytes = 0, .unit = ""}}};
       }},
  };
  for (const auto& broken : cases) {
    ChannelConfig config = Good();
    broken.spoil(config);
    const absl::Status status = config.WithDefaults().Validate();
    EXPECT_TRUE(absl::IsInvalidArgument(status)) << broken.word;
    EXPECT_THAT(std::string(status.message()), HasSubstr(broken.word));
  }
}

TEST(ChannelConfigTest, MoreMemoryThanThereIsIsAnErrorAndLeavesNothing) {
  pylabhub::testing::ShmFolder folder;
  ChannelConfig config = Good();
  config.directory = folder.path();
  config.slot_bytes = kMaxSlotBytes;
  config.capacity_slots = 60'000;
  const auto producer = DataBlockProducer::Create(config);
  ASSERT_TRUE(absl::IsResourceExhausted(producer.status())) << producer.status();
  EXPECT_THAT(std::string(producer.status().message()), HasSubstr("shared memory"));
  EXPECT_THAT(folder.Files(), ::testing::IsEmpty());
}

}  // namespace
}  // namespace pylabhub::shm
