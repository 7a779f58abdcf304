#include "broker/schema_directory.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "broker/refusal.h"
#include "broker/store/records.h"
#include "tests/broker/registry_fixture.h"

namespace pylabhub::broker {
namespace {

using ::testing::_;
using ::testing::ElementsAre;
using ::testing::Pair;

using Rows = std::map<std::string, std::string>;

// Keeps rows in a map of the test's; or refuses to.
class MapStore final : public Store {
 public:
  MapStore(Rows& rows, const bool& full) : rows_(rows), full_(full) {}

  absl::StatusOr<StoredRows> Load() override { return StoredRows(); }

  absl::Status Commit(const std::vector<Row>& rows) override {
    if (full_) return absl::ResourceExhaustedError("the disk is full");
    for (const Row& row : rows) rows_[row.key] = row.value.value_or("");
    return absl::OkStatus();
  }

 private:
  Rows& rows_;
  const bool& full_;
};

v1::Schema Bytes(const std::string& name) {
  v1::Schema schema;
  schema.set_name(name);
  return schema;
}

class SchemaDirectoryTest : public ::testing::Test {
 protected:
  // A directory of its own store and lifetime, as a broker's run is.
  struct Run {
    explicit Run(Rows& rows, const bool& full)
        : commit({.store = std::make_unique<MapStore>(rows, full), .encode = ToRow}),
          schemas(Limits{}, commit, Rows(rows), nullptr) {}

    absl::StatusOr<SchemaRegistration> Register(const std::string& name, const v1::Schema& schema) {
      return schemas.Register(name, schema, "alice", v1::COMPATIBILITY_UNSPECIFIED, kRegistered);
    }
    absl::StatusOr<SchemaRecordPtr> Find(const std::string& name, uint32_t version) {
      return schemas.Read([&](const SchemaBook& book) { return book.Find(name, version); });
    }

    GroupCommit commit;
    SchemaDirectory schemas;
  };

  static inline const absl::Time kRegistered =
      absl::UnixEpoch() + absl::Nanoseconds(1'700'000'000'123'456'789);

  Rows rows_;
  bool full_ = false;
};

TEST_F(SchemaDirectoryTest, WhatWasRegisteredIsThereAfterARestart) {
  {
    Run run(rows_, full_);
    ASSERT_TRUE(run.Register("a", Bytes("First")).ok());
    EXPECT_THAT(rows_, ElementsAre(Pair("schema/a/1", _)));
    ASSERT_TRUE(run.Register("a", Bytes("Second")).ok());
    ASSERT_TRUE(run.Register("a", Bytes("First")).ok());
  }
  EXPECT_THAT(rows_, ElementsAre(Pair("schema/a/1", _), Pair("schema/a/2", _)));
  rows_["session/x"] = "somebody else's";
  Run run(rows_, full_);
  const auto first = run.Find("a", 1);
  ASSERT_TRUE(first.ok()) << first.status();
  EXPECT_EQ((*first)->schema->name(), "First");
  EXPECT_EQ((*first)->identity, "alice");
  EXPECT_EQ((*first)->register_time, kRegistered);
  EXPECT_EQ((*run.Find("a", 0))->version, 2u);
  EXPECT_FALSE(run.Register("a", Bytes("Second"))->created);
}

TEST_F(SchemaDirectoryTest, ARowThatSaysNothingIsLeftOut) {
  {
    Run run(rows_, full_);
    ASSERT_TRUE(run.Register("a", Bytes("First")).ok());
  }
  rows_["schema/b/1"] = "\xff";
  rows_["schema/c/1"] = "";
  Run run(rows_, full_);
  EXPECT_TRUE(run.Find("a", 1).ok());
  EXPECT_EQ(ReasonOf(run.Find("b", 0)), "SCHEMA_NOT_FOUND");
  EXPECT_EQ(ReasonOf(run.Find("c", 0)), "SCHEMA_NOT_FOUND");
}

TEST_F(SchemaDirectoryTest, WithAFullDiskNothingNewIsRegisteredAndWhatIsThereIsFound) {
  Run run(rows_, full_);
  ASSERT_TRUE(run.Register("a", Bytes("First")).ok());
  full_ = true;
  EXPECT_EQ(ReasonOf(run.Register("a", Bytes("Second"))), "STORE_READ_ONLY");
  EXPECT_EQ(ReasonOf(run.Register("a", Bytes("Third"))), "STORE_READ_ONLY");
  EXPECT_EQ(ReasonOf(run.Find("a", 3)), "SCHEMA_NOT_FOUND");
  EXPECT_TRUE(run.Find("a", 1).ok());
}

}  // namespace
}  // namespace pylabhub::broker
