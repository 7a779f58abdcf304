#include "broker/store/sqlite_store.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>
#include <map>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "broker/store/sqlite_connection.h"
#include "broker/store/sqlite_format.h"
#include "broker/store/store_lock.h"
#include "tests/support/temp_folder.h"

namespace pylabhub::broker {
namespace {

using ::pylabhub::testing::TempFolder;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Pair;

using Contents = std::map<std::string, std::string>;

std::string Read(const std::string& path) {
  std::stringstream text;
  text << std::ifstream(path, std::ios::binary).rdbuf();
  return text.str();
}

void Write(const std::string& path, const std::string& bytes) {
  std::ofstream(path, std::ios::binary | std::ios::trunc) << bytes;
}

std::unique_ptr<Store> Open(const std::string& folder) {
  auto store = OpenSqliteStore(folder);
  EXPECT_TRUE(store.ok()) << store.status();
  return store.ok() ? *std::move(store) : nullptr;
}

Contents ContentsOf(const StoredRows& stored) {
  Contents contents;
  for (const Row& row : stored.rows) contents.emplace(row.key, *row.value);
  return contents;
}

// What a store that is sound holds.
Contents Load(Store& store) {
  const auto stored = store.Load();
  EXPECT_TRUE(stored.ok()) << stored.status();
  if (!stored.ok()) return {};
  EXPECT_EQ(stored->damage, "");
  return ContentsOf(*stored);
}

TEST(SqliteStoreTest, ANewStoreIsEmptyAndItsFilesAreItsOwnersOnly) {
  const TempFolder temp;
  const auto store = Open(temp / "state");
  EXPECT_THAT(Load(*store), IsEmpty());
  ASSERT_TRUE(store->Commit({{"a", "1"}}).ok());
  for (const auto& entry : std::filesystem::directory_iterator(temp / "state")) {
    struct stat status = {};
    ASSERT_EQ(stat(entry.path().c_str(), &status), 0);
    EXPECT_EQ(status.st_mode & 0777, 0600u) << entry.path();
  }
}

// Ten times what the log's file has, on and on.
TEST(SqliteStoreTest, TheLogIsMovedIntoTheDatabaseWhileCommitsGoOnAndItsFileDoesNotGrow) {
  constexpr int kCommits = 50;
  constexpr int kRows = 400;
  const TempFolder temp;
  const auto store = Open(temp / "state");
  Load(*store);
  const auto log_bytes = std::filesystem::file_size(temp / "state/broker.db-wal");
  for (int commit = 0; commit < kCommits; ++commit) {
    std::vector<Row> rows;
    for (int row = 0; row < kRows; ++row)
      rows.push_back({absl::StrCat("row/", row), std::string(4000, static_cast<char>('a' + commit % 26))});
    ASSERT_TRUE(store->Commit(rows).ok());
  }
  EXPECT_GT(std::filesystem::file_size(temp / "state/broker.db"), size_t{kRows} * 4000);
  // One commit more than what is reserved at most.
  EXPECT_LE(std::filesystem::file_size(temp / "state/broker.db-wal"), 2 * log_bytes);
}

TEST(SqliteStoreTest, WhatWasCommittedIsThereWhenItIsOpenedAgain) {
  const TempFolder temp;
  const std::string binary("\0\xff\0", 3);
  {
    const auto store = Open(temp.path());
    Load(*store);
    ASSERT_TRUE(store->Commit({{"a", "1"}, {"b", binary}, {"c", ""}}).ok());
    ASSERT_TRUE(store->Commit({{"a", "2"}, {"gone", "x"}}).ok());
    ASSERT_TRUE(store->Commit({{"gone", std::nullopt}, {"never there", std::nullopt}}).ok());
  }
  const auto store = Open(temp.path());
  EXPECT_THAT(Load(*store), ElementsAre(Pair("a", "2"), Pair("b", binary), Pair("c", "")));
}

TEST(SqliteStoreTest, ASecondBrokerIsKeptOutAndToldByWhom) {
  const TempFolder temp;
  auto store = Open(temp.path());
  const auto second = OpenSqliteStore(temp.path());
  EXPECT_EQ(second.status().code(), absl::StatusCode::kAlreadyExists);
  EXPECT_THAT(std::string(second.status().message()), HasSubstr("in use by another broker"));
  Load(*store);
  const auto third = OpenSqliteStore(temp.path());
  EXPECT_THAT(std::string(third.status().message()), HasSubstr(absl::StrCat("process ", getpid())));
  store.reset();
  EXPECT_TRUE(OpenSqliteStore(temp.path()).ok());
}

TEST(SqliteStoreTest, AnotherProgramsDatabaseIsRefusedAndLeftAlone) {
  const TempFolder temp;
  const std::string text = "SQLite format 3" + std::string(200, '\0');
  Write(temp / "broker.db", text);
  const auto store = OpenSqliteStore(temp.path());
  EXPECT_EQ(store.status().code(), absl::StatusCode::kFailedPrecondition) << store.status();
  EXPECT_EQ(Read(temp / "broker.db"), text);
}

TEST(SqliteStoreTest, AStoreOfANewerVersionIsRefused) {
  const TempFolder temp;
  Open(temp.path()).reset();
  std::string bytes = Read(temp / "broker.db");
  bytes[63] = 2;
  Write(temp / "broker.db", bytes);
  const auto store = OpenSqliteStore(temp.path());
  EXPECT_EQ(store.status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(store.status().message()), HasSubstr("version 2"));
}

TEST(SqliteStoreTest, AFileThatHasLostItsBeginningIsRefusedWithTheCommandThatMendsIt) {
  const TempFolder temp;
  for (const std::string& bytes : {std::string(), std::string(8192, 'x')}) {
    Write(temp / "broker.db", bytes);
    const auto store = OpenSqliteStore(temp.path());
    EXPECT_EQ(store.status().code(), absl::StatusCode::kDataLoss);
    EXPECT_THAT(std::string(store.status().message()), HasSubstr("pylabhub-broker restore --state-dir"));
  }
}

// A soft limit on the size of files stands for a disk that is full; it is lifted in the end.
class FullDisk {
 public:
  FullDisk() {
    signal(SIGXFSZ, SIG_IGN);
    getrlimit(RLIMIT_FSIZE, &before_);
    rlimit limit = before_;
    limit.rlim_cur = 0;
    setrlimit(RLIMIT_FSIZE, &limit);
  }
  ~FullDisk() { setrlimit(RLIMIT_FSIZE, &before_); }

 private:
  rlimit before_ = {};
};

TEST(SqliteStoreTest, AFullDiskFailsACommitAndTheSameRowsCanBeCommittedLater) {
  const TempFolder temp;
  {
    const auto store = Open(temp.path());
    Load(*store);
    ASSERT_TRUE(store->Commit({{"a", "1"}}).ok());
    {
      const FullDisk full;
      EXPECT_FALSE(store->Commit({{"a", "2"}, {"b", "1"}}).ok());
      EXPECT_FALSE(store->Commit({{"a", "2"}, {"b", "1"}}).ok());
    }
    EXPECT_TRUE(store->Commit({{"a", "2"}, {"b", "1"}}).ok());
  }
  const auto store = Open(temp.path());
  EXPECT_THAT(Load(*store), ElementsAre(Pair("a", "2"), Pair("b", "1")));
}

TEST(SqliteStoreTest, TheLogDoesNotGrowWithoutEnd) {
  const TempFolder temp;
  const auto store = Open(temp.path());
  Load(*store);
  const std::string value(64 << 10, 'v');
  for (int i = 0; i < 800; ++i) ASSERT_TRUE(store->Commit({{absl::StrCat(i % 10), value}}).ok());
  // More than 50 MiB were written.
  EXPECT_LT(std::filesystem::file_size(temp / "broker.db-wal"), uintmax_t{40} << 20);
}

// What may come of a store after bytes of its files were changed.
class DamageTest : public ::testing::Test {
 protected:
  // A store with rows on several pages: as it is left by a broker that was killed, or one whose log is in the database.
  void Make(bool killed) {
    const auto store = Open(temp_.path());
    Load(*store);
    for (int i = 0; i < 40; ++i) {
      const Row row = {absl::StrCat("key.", i), std::string(200, static_cast<char>('a' + i % 26))};
      ASSERT_TRUE(store->Commit({row}).ok());
      contents_[row.key] = *row.value;
    }
    if (!killed) {
      auto connection = SqliteConnection::Open(temp_ / "broker.db");
      ASSERT_TRUE(connection.ok() && connection->Execute("PRAGMA wal_checkpoint(TRUNCATE)").ok());
    }
    for (const char* file : {kDatabase, kLog, kLock}) files_[file] = Read(temp_ / file);
    files_[kLog].resize(files_[kLog].find_last_not_of('\0') + 1);
    std::filesystem::create_directory(folder_);
  }

  void Damage(const std::string& file, size_t offset) {
    std::map<std::string, std::string> damaged = files_;
    damaged[file][offset] = static_cast<char>(damaged[file][offset] ^ 0x5a);
    Try(damaged, absl::StrCat(file, " at ", offset));
  }

  // As OpenSqliteStore and Load do, but for what comes after: making the store ready to be written.
  void Try(const std::map<std::string, std::string>& files, const std::string& what) {
    for (const auto& [name, bytes] : files) Write(folder_ + "/" + name, bytes);
    std::filesystem::remove(folder_ + "/" + kDatabase + "-shm");
    const std::string path = folder_ + "/" + kDatabase;
    if (!CheckStoreHeader(path).ok()) {
      ++refused_;
      return;
    }
    auto connection = SqliteConnection::Open(path);
    absl::StatusOr<CheckedRows> checked = absl::UnavailableError("");
    if (connection.ok()) checked = ReadAndCheck(*connection, StoreLock::LastCommitIn(folder_ + "/" + kLock));
    if (!checked.ok()) {
      ++refused_;
      return;
    }
    Contents found;
    for (const Row& row : checked->rows) found.emplace(row.key, *row.value);
    if (checked->damage.empty()) {
      ++unchanged_;
      EXPECT_EQ(found, contents_) << what;
      return;
    }
    ++served_;
    // What is served is right, as far as it goes.
    for (const auto& [key, value] : found) {
      ASSERT_TRUE(contents_.contains(key)) << what << ": " << key;
      ASSERT_EQ(value, contents_[key]) << what;
    }
  }

  static constexpr char kDatabase[] = "broker.db";
  static constexpr char kLog[] = "broker.db-wal";
  static constexpr char kLock[] = "broker.lock";

  TempFolder temp_;
  const std::string folder_ = temp_ / "damaged";
  Contents contents_;
  std::map<std::string, std::string> files_;
  int refused_ = 0;
  int served_ = 0;
  int unchanged_ = 0;
};

TEST_F(DamageTest, EachByteOfTheLastPageIsEitherMissedOrMeansNothing) {
  Make(/*killed=*/false);
  const size_t bytes = files_[kDatabase].size();
  ASSERT_GT(bytes, size_t{4} * 4096);
  for (size_t offset = bytes - 4096; offset < bytes; ++offset) Damage(kDatabase, offset);
  EXPECT_GT(served_, 1000) << refused_ << " " << unchanged_;
}

TEST_F(DamageTest, BytesOfTheFirstPageAreEitherMissedOrMeanNothing) {
  Make(/*killed=*/false);
  for (size_t offset = 0; offset < 100; ++offset) Damage(kDatabase, offset);
  for (size_t offset = 100; offset < 4096; offset += 29) Damage(kDatabase, offset);
  EXPECT_GT(refused_, 16);
  EXPECT_GT(unchanged_, 0);
}

TEST_F(DamageTest, BytesOfTheLastCommitInTheLogAreEitherMissedOrMeanNothing) {
  Make(/*killed=*/true);
  const size_t end = files_[kLog].size();
  constexpr size_t kFrame = 4096 + 24;
  ASSERT_GT(end, kFrame);
  for (size_t offset = end - kFrame; offset < end; offset += 37) Damage(kLog, offset);
  // SQLite takes such a log for one that ends before; the number of the last commit tells.
  EXPECT_GT(served_, 80) << refused_ << " " << unchanged_;
}

TEST_F(DamageTest, APageThatIsCutOffIsMissed) {
  Make(/*killed=*/false);
  auto files = files_;
  files[kDatabase].resize(files[kDatabase].size() - 4096);
  Try(files, "cut off");
  EXPECT_EQ(unchanged_, 0);
}

TEST_F(DamageTest, ADamagedStoreIsLoadedWithWhatIsSoundAndNeverWritten) {
  Make(/*killed=*/false);
  // In the middle of a value, on the last page.
  std::string& bytes = files_[kDatabase];
  const size_t place = bytes.rfind(std::string(50, 'a'));
  ASSERT_NE(place, std::string::npos);
  bytes[place] = 'z';
  for (const auto& [name, content] : files_) Write(folder_ + "/" + name, content);
  {
    const auto store = Open(folder_);
    const auto stored = store->Load();
    ASSERT_TRUE(stored.ok()) << stored.status();
    EXPECT_THAT(stored->damage, HasSubstr("does not fit its checksum"));
    EXPECT_THAT(stored->damage, HasSubstr("pylabhub-broker restore --state-dir " + folder_));
    EXPECT_EQ(stored->rows.size(), contents_.size() - 1);
    EXPECT_FALSE(store->Commit({{"x", "y"}}).ok());
  }
  EXPECT_EQ(Read(folder_ + "/" + kDatabase), bytes);
}

}  // namespace
}  // namespace pylabhub::broker
