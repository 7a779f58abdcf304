// What a consumer says of files that are not what they should be. The files are the copy of a live channel's,
// so that nobody holds their locks, spoiled one way at a time.
#include "shm/channel/named_segment.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstring>
#include <filesystem>
#include <fstream>
#include <functional>
#include <memory>
#include <string>
#include <utility>

#include "shm/data_block_consumer.h"
#include "shm/data_block_producer.h"
#include "tests/support/shm_folder.h"

namespace pylabhub::shm {
namespace {

using ::testing::HasSubstr;
namespace fs = std::filesystem;

constexpr uid_t kNobody = 65534;

class NamedSegmentTest : public ::testing::Test {
 protected:
  NamedSegmentTest() {
    producer_ = Create("damaged.test");
    copy_.AllowLeftovers();
    Copy();
  }

  std::unique_ptr<DataBlockProducer> Create(const std::string& channel) const {
    auto producer =
        DataBlockProducer::Create({.channel = channel, .slot_bytes = 64, .directory = live_.path()});
    EXPECT_TRUE(producer.ok()) << producer.status();
    return *std::move(producer);
  }
  // A whole copy in place of whatever was made of the last.
  void Copy() const {
    for (const auto& file : fs::directory_iterator(copy_.path())) fs::remove_all(file);
    fs::copy(live_.path(), copy_.path());
  }

  ChannelFiles files() const { return {copy_.path(), "damaged.test"}; }
  std::string data() const { return files().DataPath(producer_->segment_id()); }
  std::string control() const { return files().ControlPath(producer_->segment_id()); }
  std::string anchor() const { return files().AnchorPath(); }

  absl::Status Open() const {
    return DataBlockConsumer::Open("damaged.test", {.directory = copy_.path()}).status();
  }
  void ExpectError(absl::StatusCode code, const std::string& path, const std::string& what) const {
    const absl::Status status = Open();
    EXPECT_EQ(status.code(), code) << status;
    EXPECT_THAT(std::string(status.message()), HasSubstr(path));
    EXPECT_THAT(std::string(status.message()), HasSubstr(what));
  }

  pylabhub::testing::ShmFolder live_;
  pylabhub::testing::ShmFolder copy_;
  std::unique_ptr<DataBlockProducer> producer_;
};

void Overwrite(const std::string& path, size_t offset_bytes, const std::string& bytes) {
  std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
  file.seekp(static_cast<std::streamoff>(offset_bytes));
  file.write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
  ASSERT_TRUE(file.good());
}

TEST_F(NamedSegmentTest, AWholeCopyIsAChannelWhoseProducerIsDead) {
  auto consumer = DataBlockConsumer::Open("damaged.test", {.directory = copy_.path()});
  ASSERT_TRUE(consumer.ok()) << consumer.status();
  EXPECT_EQ((*consumer)->Acquire(absl::Seconds(20)).result(), SlotResult::kProducerDead);
  consumer->reset();
  EXPECT_THAT(copy_.Files(), ::testing::IsEmpty()) << "the last to leave cleans up";
}

TEST_F(NamedSegmentTest, ATruncatedFileIsNamed) {
  for (const auto& path : {data(), control()}) {
    for (const uint64_t bytes : {1, 63, 4095, 4096, 4097, 8192}) {
      Copy();
      fs::resize_file(path, bytes);
      ExpectError(absl::StatusCode::kFailedPrecondition, path, "truncated");
    }
    Copy();
    fs::resize_file(path, 0);
    ExpectError(absl::StatusCode::kFailedPrecondition, path, "empty");
  }
}

TEST_F(NamedSegmentTest, AFileThatGrewIsNamed) {
  for (const auto& path : {data(), control()}) {
    Copy();
    fs::resize_file(path, fs::file_size(path) + 4096);
    const absl::Status status = Open();
    EXPECT_TRUE(absl::IsFailedPrecondition(status)) << status;
    EXPECT_THAT(std::string(status.message()), HasSubstr(path));
  }
}

TEST_F(NamedSegmentTest, AnotherVersionAnotherLayoutAndAStrangersFileAreNamed) {
  for (const auto& path : {data(), control()}) {
    Copy();
    Overwrite(path, offsetof(Superblock, abi_version), "\x07");
    ExpectError(absl::StatusCode::kFailedPrecondition, path, "version 7");
    Copy();
    Overwrite(path, offsetof(Superblock, layout_hash), "\x01\x02\x03\x04");
    ExpectError(absl::StatusCode::kFailedPrecondition, path, "another layout");
    Copy();
    Overwrite(path, 0, "not ours");
    ExpectError(absl::StatusCode::kFailedPrecondition, path, "not a segment of pylabhub");
    Copy();
    Overwrite(path, 0, std::string(8, '\0'));
    ExpectError(absl::StatusCode::kFailedPrecondition, path, "not finished");
  }
}

TEST_F(NamedSegmentTest, AMissingSegmentIsNotFoundInAFiniteTime) {
  fs::remove(data());
  EXPECT_TRUE(absl::IsNotFound(Open())) << Open();
  Copy();
  fs::remove(control());
  EXPECT_TRUE(absl::IsNotFound(Open())) << Open();
}

TEST_F(NamedSegmentTest, FilesOfTwoChannelsDoNotBelongTogether) {
  const auto other = Create("other.test");
  const ChannelFiles others(live_.path(), "other.test");
  fs::copy_file(others.DataPath(other->segment_id()), data(), fs::copy_options::overwrite_existing);
  ExpectError(absl::StatusCode::kFailedPrecondition, data(), "do not belong together");
  Copy();
  fs::copy_file(others.ControlPath(other->segment_id()), control(), fs::copy_options::overwrite_existing);
  ExpectError(absl::StatusCode::kFailedPrecondition, data(), "do not belong together");
}

TEST_F(NamedSegmentTest, ASymbolicLinkIsNotFollowed) {
  for (const auto& path : {anchor(), data(), control()}) {
    Copy();
    const std::string target = path + ".target";
    fs::rename(path, target);
    fs::create_symlink(target, path);
    ExpectError(absl::StatusCode::kPermissionDenied, path, "symbolic link");
    EXPECT_TRUE(absl::IsPermissionDenied(
        path == anchor() ? DataBlockProducer::Create(
                               {.channel = "damaged.test", .slot_bytes = 64, .directory = copy_.path()})
                               .status()
                         : Open()));
  }
}

TEST_F(NamedSegmentTest, WhatIsNoRegularFileIsRefusedAndNobodyHangs) {
  const std::function<void(const std::string&)> replacements[] = {
      [](const std::string& path) { ASSERT_EQ(mkdir(path.c_str(), 0700), 0); },
      [](const std::string& path) { ASSERT_EQ(mkfifo(path.c_str(), 0600), 0); },
      [](const std::string& path) { ASSERT_EQ(mknod(path.c_str(), S_IFSOCK | 0600, 0), 0); },
  };
  for (const auto& path : {anchor(), data(), control()}) {
    for (const auto& replace : replacements) {
      Copy();
      fs::remove(path);
      replace(path);
      const absl::Status status = Open();
      EXPECT_FALSE(status.ok());
      EXPECT_FALSE(absl::IsNotFound(status)) << status;
      EXPECT_THAT(std::string(status.message()), HasSubstr(path));
    }
  }
  // A producer meets the anchor alone.
  for (const auto& replace : replacements) {
    Copy();
    fs::remove(anchor());
    replace(anchor());
    const auto producer =
        DataBlockProducer::Create({.channel = "damaged.test", .slot_bytes = 64, .directory = copy_.path()});
    EXPECT_FALSE(producer.ok());
    EXPECT_THAT(std::string(producer.status().message()), HasSubstr(anchor()));
  }
}

TEST_F(NamedSegmentTest, AFileOfSomebodyElseIsRefusedUnlessItIsSharedWithAGroupOfOurs) {
  const bool may_give = geteuid() == 0 && chown(anchor().c_str(), kNobody, kNobody) == 0;
  if (!may_give) GTEST_SKIP() << "only root, and not in a user namespace, can give files away";
  for (const auto& path : {anchor(), data(), control()}) {
    Copy();
    ASSERT_EQ(chown(path.c_str(), kNobody, kNobody), 0);
    ExpectError(absl::StatusCode::kPermissionDenied, path, "belongs to user 65534");
    // Readable for a group, but not for one of ours.
    ASSERT_EQ(chmod(path.c_str(), 0640), 0);
    ExpectError(absl::StatusCode::kPermissionDenied, path, "belongs to user 65534");
    ASSERT_EQ(chown(path.c_str(), kNobody, getegid()), 0);
    EXPECT_TRUE(Open().ok()) << Open();
  }
}

TEST_F(NamedSegmentTest, ATakeoverOfADamagedChannelGivesAWorkingOne) {
  for (const auto& path : {data(), control()}) {
    Copy();
    fs::resize_file(path, 5000);
    auto producer =
        DataBlockProducer::Create({.channel = "damaged.test", .slot_bytes = 64, .directory = copy_.path()});
    ASSERT_TRUE(producer.ok()) << producer.status();
    EXPECT_TRUE(Open().ok()) << Open();
    EXPECT_EQ(copy_.Files().size(), 3u) << "the damaged segment is left behind";
  }
}

}  // namespace
}  // namespace pylabhub::shm
