#include "shm/channel_directory.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <memory>
#include <string>
#include <utility>

#include "shm/channel/channel_files.h"
#include "shm/data_block_consumer.h"
#include "shm/data_block_producer.h"
#include "tests/support/shm_folder.h"

namespace pylabhub::shm {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;

class ChannelDirectoryTest : public ::testing::Test {
 protected:
  std::unique_ptr<DataBlockProducer> Create(const std::string& channel) const {
    auto producer =
        DataBlockProducer::Create({.channel = channel, .slot_bytes = 64, .directory = folder_.path()});
    EXPECT_TRUE(producer.ok()) << producer.status();
    return *std::move(producer);
  }
  std::vector<NamedChannel> List() const {
    auto channels = ListNamedChannels(folder_.path());
    EXPECT_TRUE(channels.ok()) << channels.status();
    return *std::move(channels);
  }

  pylabhub::testing::ShmFolder folder_;
};

TEST_F(ChannelDirectoryTest, AFolderWithoutChannelsIsEmptyAndOneThatIsNotThereIsAnError) {
  EXPECT_THAT(List(), IsEmpty());
  const auto missing = ListNamedChannels(folder_.path() + "/missing");
  ASSERT_TRUE(absl::IsUnavailable(missing.status())) << missing.status();
  EXPECT_THAT(std::string(missing.status().message()), HasSubstr("/missing"));
}

TEST_F(ChannelDirectoryTest, ADamagedChannelIsListedWithWhatIsWrongAndTheOthersStandBesideIt) {
  const auto good = Create("a.good");
  const auto torn = Create("b.torn");
  const auto last = Create("c.good");
  const ChannelFiles files(folder_.path(), "b.torn");
  const std::string path = files.DataPath(torn->segment_id());
  // Its producer has the file mapped and shall not miss a page: a shorter copy takes the name.
  const std::string copy = folder_.path() + "/copy";
  std::filesystem::copy_file(path, copy);
  std::filesystem::resize_file(copy, std::filesystem::file_size(copy) / 2);
  std::filesystem::rename(copy, path);

  const std::vector<NamedChannel> channels = List();
  ASSERT_EQ(channels.size(), 3u);
  EXPECT_EQ(channels[0].channel, "a.good");
  EXPECT_TRUE(channels[0].status.ok()) << channels[0].status;
  EXPECT_TRUE(channels[0].producer_alive);
  EXPECT_EQ(channels[1].channel, "b.torn");
  EXPECT_TRUE(absl::IsFailedPrecondition(channels[1].status)) << channels[1].status;
  EXPECT_THAT(std::string(channels[1].status.message()), HasSubstr(path));
  EXPECT_THAT(std::string(channels[1].status.message()), HasSubstr("truncated"));
  EXPECT_TRUE(channels[2].status.ok()) << channels[2].status;
}

TEST_F(ChannelDirectoryTest, AnAnchorThatIsNoneIsListedAsDamaged) {
  const auto good = Create("a.good");
  const std::string path = ChannelFiles(folder_.path(), "b.bad").AnchorPath();
  std::ofstream(path) << std::string(4096, 'x');
  const std::vector<NamedChannel> channels = List();
  ASSERT_EQ(channels.size(), 2u);
  EXPECT_TRUE(absl::IsFailedPrecondition(channels[1].status)) << channels[1].status;
  EXPECT_THAT(std::string(channels[1].status.message()), HasSubstr(path));
  std::filesystem::remove(path);
}

TEST_F(ChannelDirectoryTest, FilesThatAreNotChannelsAreLeftOut) {
  const char* names[] = {"something", "pylabhub.UPPER.anchor", "pylabhub..anchor.old", "pylabhub.x.data"};
  for (const char* name : names) std::ofstream(folder_.path() + "/" + name) << "x";
  EXPECT_THAT(List(), IsEmpty());
  for (const char* name : names) std::filesystem::remove(folder_.path() + "/" + name);
}

TEST_F(ChannelDirectoryTest, AClosedChannelThatIsStillReadIsListedAsClosed) {
  auto producer = Create("a.closed");
  const auto consumer = DataBlockConsumer::Open("a.closed", {.directory = folder_.path()});
  ASSERT_TRUE(consumer.ok());
  producer.reset();
  const std::vector<NamedChannel> channels = List();
  ASSERT_EQ(channels.size(), 1u);
  EXPECT_TRUE(channels[0].producer_closed);
  EXPECT_FALSE(channels[0].producer_alive);
  EXPECT_EQ(channels[0].consumer_count, 1u);
}

}  // namespace
}  // namespace pylabhub::shm
