#include "proto/tls/private_file.h"

#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <string>

#include "gtest/gtest.h"
#include "tests/support/temp_folder.h"

namespace pylabhub::tls {
namespace {

using ::pylabhub::testing::TempFolder;

mode_t ModeOf(const std::string& path) {
  struct stat found = {};
  EXPECT_EQ(stat(path.c_str(), &found), 0);
  return found.st_mode & 07777;
}

size_t FilesIn(const std::string& folder) {
  const std::filesystem::directory_iterator files(folder);
  return std::distance(begin(files), end(files));
}

TEST(PrivateFileTest, WrittenFileIsReadBackAndIsItsOwnersAlone) {
  const TempFolder folder;
  const mode_t old_mask = umask(0);
  const absl::Status status = WritePrivateFile(folder / "key", "secret");
  umask(old_mask);
  ASSERT_TRUE(status.ok()) << status;
  EXPECT_EQ(ModeOf(folder / "key"), 0600u);
  EXPECT_EQ(*ReadPrivateFile(folder / "key"), "secret");
}

TEST(PrivateFileTest, WritingReplacesTheWholeFileAndLeavesNothingBeside) {
  const TempFolder folder;
  ASSERT_TRUE(WritePrivateFile(folder / "key", "a longer secret").ok());
  ASSERT_TRUE(WritePrivateFile(folder / "key", "short").ok());
  EXPECT_EQ(*ReadPrivateFile(folder / "key"), "short");
  EXPECT_EQ(FilesIn(folder.path()), 1u);
}

TEST(PrivateFileTest, FailedWriteLeavesNothingBeside) {
  const TempFolder folder;
  ASSERT_EQ(mkdir((folder / "taken").c_str(), 0700), 0);
  EXPECT_FALSE(WritePrivateFile(folder / "taken", "secret").ok());
  EXPECT_EQ(FilesIn(folder.path()), 1u);
}

TEST(PrivateFileTest, KeyThatOthersCanReadIsRefusedWithTheMend) {
  const TempFolder folder;
  ASSERT_TRUE(WritePrivateFile(folder / "key", "secret").ok());
  for (const mode_t mode : {0640, 0604, 0620, 0601}) {
    ASSERT_EQ(chmod((folder / "key").c_str(), mode), 0);
    const absl::Status status = ReadPrivateFile(folder / "key").status();
    EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition) << std::oct << mode;
    EXPECT_NE(status.message().find("chmod 600 " + folder / "key"), std::string::npos) << status;
    EXPECT_TRUE(ReadPublicFile(folder / "key").ok());
  }
}

TEST(PrivateFileTest, EachReasonAFileCannotBeReadIsNamed) {
  const TempFolder folder;
  const absl::Status missing = ReadPrivateFile(folder / "absent").status();
  EXPECT_EQ(missing.code(), absl::StatusCode::kNotFound);
  EXPECT_NE(missing.message().find(folder / "absent"), std::string::npos);

  EXPECT_EQ(ReadPublicFile(folder.path()).status().code(), absl::StatusCode::kInvalidArgument);

  ASSERT_EQ(mkfifo((folder / "fifo").c_str(), 0600), 0);
  EXPECT_EQ(ReadPrivateFile(folder / "fifo").status().code(), absl::StatusCode::kInvalidArgument);

  ASSERT_TRUE(WritePrivateFile(folder / "large", std::string((1 << 20) + 1, 'x')).ok());
  EXPECT_EQ(ReadPrivateFile(folder / "large").status().code(), absl::StatusCode::kInvalidArgument);
}

TEST(PrivateFileTest, NewFolderIsItsOwnersAloneAndAnExistingOneIsKept) {
  const TempFolder folder;
  const mode_t old_mask = umask(0);
  ASSERT_TRUE(MakePrivateFolder(folder / "state").ok());
  umask(old_mask);
  EXPECT_EQ(ModeOf(folder / "state"), 0700u);
  EXPECT_TRUE(MakePrivateFolder(folder / "state").ok());
  ASSERT_TRUE(WritePrivateFile(folder / "file", "").ok());
  EXPECT_EQ(MakePrivateFolder(folder / "file").code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(MakePrivateFolder(folder / "absent/state").code(), absl::StatusCode::kNotFound);
}

}  // namespace
}  // namespace pylabhub::tls
