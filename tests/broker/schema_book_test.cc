#include "broker/schema_book.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <random>
#include <set>

#include "broker/refusal.h"
#include "proto/schema/canonical.h"
#include "tests/broker/registry_fixture.h"
#include "tests/proto/schema/random_schema.h"
#include "tests/support/seed.h"

namespace pylabhub::broker {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

constexpr absl::Time kNow = absl::UnixEpoch();

v1::Schema Temperature(const std::string& unit = "Cel") {
  v1::Schema schema;
  schema.set_name("Temperature");
  schema.set_size_bytes(8);
  v1::Field& field = *schema.add_fields();
  field.set_name("celsius");
  field.set_type(v1::FIELD_TYPE_FLOAT64);
  field.set_count(1);
  field.set_unit(unit);
  return schema;
}

v1::Schema WithHumidity() {
  v1::Schema schema = Temperature();
  schema.set_size_bytes(16);
  *schema.add_fields() = schema.fields(0);
  schema.mutable_fields(1)->set_name("humidity");
  schema.mutable_fields(1)->set_offset_bytes(8);
  return schema;
}

class SchemaBookTest : public ::testing::Test {
 protected:
  absl::StatusOr<SchemaRegistration> Register(const std::string& name, const v1::Schema& schema,
                                              v1::Compatibility required = v1::COMPATIBILITY_UNSPECIFIED,
                                              const std::string& identity = "alice") {
    return book_.Register(name, schema, identity, required, kNow);
  }
  uint32_t VersionOf(const absl::StatusOr<SchemaRegistration>& registration) {
    EXPECT_TRUE(registration.ok()) << registration.status();
    return registration.ok() ? registration->record->version : 0;
  }

  Limits limits_ = {.max_schemas = 3, .max_versions_per_schema = 4, .max_schema_bytes_per_identity = 4000};
  SchemaBook book_{limits_};
};

TEST_F(SchemaBookTest, VersionsOfANameCountFromOne) {
  EXPECT_EQ(VersionOf(Register("a", Temperature())), 1u);
  EXPECT_EQ(VersionOf(Register("a", WithHumidity())), 2u);
  EXPECT_EQ(VersionOf(Register("b", WithHumidity())), 1u);
  EXPECT_EQ((*book_.Find("a", 0))->version, 2u);
  EXPECT_EQ((*book_.Find("a", 1))->schema->SerializeAsString(), Temperature().SerializeAsString());
  EXPECT_EQ((*book_.Find("a", 1))->identity, "alice");
}

TEST_F(SchemaBookTest, RegisteringAgainFindsTheVersionThatEquals) {
  EXPECT_TRUE(Register("a", Temperature())->created);
  EXPECT_TRUE(Register("a", WithHumidity())->created);
  v1::Schema described = Temperature();
  described.mutable_fields(0)->set_description("of the air");
  const auto again = Register("a", described, v1::COMPATIBILITY_IDENTICAL, "bob");
  EXPECT_EQ(VersionOf(again), 1u);
  EXPECT_FALSE(again->created);
  EXPECT_EQ(again->record->identity, "alice");
}

TEST_F(SchemaBookTest, NamesOfValuesMakeAnotherVersionUnderTheSameHash) {
  v1::Schema coded = Temperature();
  coded.mutable_fields(0)->set_type(v1::FIELD_TYPE_INT64);
  v1::Schema named = coded;
  named.mutable_fields(0)->add_enum_values()->set_name("OFF");
  EXPECT_EQ(VersionOf(Register("a", coded)), 1u);
  EXPECT_EQ(VersionOf(Register("a", named)), 2u);
  EXPECT_EQ((*book_.Find("a", 1))->schema_hash, (*book_.Find("a", 2))->schema_hash);
  EXPECT_EQ((*book_.FindByHash(schema::HashOf(named)))->version, 1u);
}

TEST_F(SchemaBookTest, ARequiredCompatibilityRefusesWithTheFirstDifference) {
  EXPECT_EQ(VersionOf(Register("a", Temperature(), v1::COMPATIBILITY_IDENTICAL)), 1u);
  EXPECT_EQ(VersionOf(Register("a", WithHumidity(), v1::COMPATIBILITY_APPENDED)), 2u);
  const auto refused = Register("a", Temperature("K"), v1::COMPATIBILITY_SAME_LAYOUT);
  EXPECT_EQ(ReasonOf(refused), "SCHEMA_INCOMPATIBLE");
  const auto details = DetailsOf(refused.status());
  EXPECT_EQ(details->metadata.at("schema"), "a");
  EXPECT_EQ(details->metadata.at("version"), "2");
  EXPECT_EQ(details->metadata.at("difference"), "record: size in bytes was 16, is 8");
  EXPECT_THAT(std::string(refused.status().message()),
              HasSubstr(R"(field 2 "humidity" (float64 at byte 8) was removed)"));
  EXPECT_EQ(VersionOf(Register("a", Temperature("K"))), 3u);
}

TEST_F(SchemaBookTest, WhatIsNotRegisteredIsNotFoundAndSaysWhatThereIs) {
  EXPECT_EQ(VersionOf(Register("a", Temperature())), 1u);
  EXPECT_EQ(ReasonOf(book_.Find("b", 0)), "SCHEMA_NOT_FOUND");
  const auto no_version = book_.Find("a", 2);
  EXPECT_EQ(ReasonOf(no_version), "SCHEMA_NOT_FOUND");
  EXPECT_THAT(std::string(no_version.status().message()), HasSubstr("has no version 2; its latest is 1"));
  EXPECT_EQ(DetailsOf(no_version.status())->metadata.at("version"), "2");
  EXPECT_EQ(ReasonOf(book_.FindByHash(std::string(32, 'x'))), "SCHEMA_NOT_FOUND");
  EXPECT_EQ((*book_.FindByHash(schema::HashOf(Temperature())))->name, "a");
}

TEST_F(SchemaBookTest, EachLimitIsNamedAndWhatIsThereIsStillFound) {
  for (const char* unit : {"a", "b", "c", "d"}) EXPECT_TRUE(Register("a", Temperature(unit)).ok());
  const auto versions = Register("a", Temperature("e"));
  EXPECT_EQ(ReasonOf(versions), "LIMIT_EXCEEDED");
  EXPECT_EQ(DetailsOf(versions.status())->metadata.at("limit"), "versions_per_schema");
  EXPECT_EQ(VersionOf(Register("a", Temperature("d"))), 4u);

  EXPECT_TRUE(Register("b", Temperature()).ok());
  EXPECT_TRUE(Register("c", Temperature()).ok());
  EXPECT_EQ(DetailsOf(Register("d", Temperature()).status())->metadata.at("limit"), "schemas");

  v1::Schema large = Temperature();
  large.mutable_fields(0)->set_description(std::string(256, 'd'));
  for (int i = 1; i < 12; ++i) *large.add_fields() = large.fields(0);
  for (int i = 0; i < 12; ++i) {
    large.mutable_fields(i)->set_name("f" + std::to_string(i));
    large.mutable_fields(i)->set_offset_bytes(static_cast<uint64_t>(i) * 8);
  }
  large.set_size_bytes(96);
  EXPECT_EQ(DetailsOf(Register("b", large).status())->metadata.at("limit"), "schema_bytes_per_identity");
  EXPECT_TRUE(Register("b", large, v1::COMPATIBILITY_UNSPECIFIED, "bob").ok());
}

TEST_F(SchemaBookTest, AnInvalidSchemaOrNameIsRefusedByItsField) {
  v1::Schema bad = Temperature();
  bad.mutable_fields(0)->set_count(2);
  EXPECT_EQ(ReasonOf(Register("a", bad)), "INVALID_REQUEST");
  EXPECT_EQ(DetailsOf(Register("a", bad).status())->field_violations.at(0).field,
            "schema.fields[0].offset_bytes");
  EXPECT_EQ(DetailsOf(Register("A B", Temperature()).status())->field_violations.at(0).field, "name");
  EXPECT_THAT(book_.List({}).records, IsEmpty());
  EXPECT_THAT(book_.TakeAdded(), IsEmpty());
}

TEST_F(SchemaBookTest, TheVersionThatWouldBeIsTheVersionThatIs) {
  EXPECT_EQ(book_.VersionFor("a", Temperature(), "alice"), 1u);
  EXPECT_TRUE(Register("a", Temperature()).ok());
  EXPECT_EQ(book_.VersionFor("a", Temperature(), "alice"), 1u);
  EXPECT_EQ(book_.VersionFor("a", Temperature("K"), "alice"), 2u);
  EXPECT_EQ(book_.VersionFor("a", v1::Schema(), "alice"), 0u);
  for (const char* name : {"b", "c"}) EXPECT_TRUE(Register(name, Temperature()).ok());
  EXPECT_EQ(book_.VersionFor("d", Temperature(), "alice"), 0u);
}

TEST_F(SchemaBookTest, PagesListTheLatestOfEachNameOrEveryVersionOfOne) {
  for (const char* name : {"b", "a", "c"}) EXPECT_TRUE(Register(name, Temperature()).ok());
  EXPECT_TRUE(Register("a", WithHumidity()).ok());
  const auto pages_of = [&](SchemaQuery query) {
    std::vector<std::string> listed;
    while (true) {
      const SchemaPage page = book_.List(query);
      EXPECT_LE(page.records.size(), query.page_size);
      for (const auto& record : page.records) {
        listed.push_back(record->name + "/" + std::to_string(record->version));
      }
      if (!page.has_more) return listed;
      query.after_name = page.records.back()->name;
      query.after_version = page.records.back()->version;
    }
  };
  for (const size_t page_size : {1u, 2u, 3u, 100u}) {
    EXPECT_THAT(pages_of({.page_size = page_size}), ElementsAre("a/2", "b/1", "c/1"));
    EXPECT_THAT(pages_of({.name = "a", .page_size = page_size}), ElementsAre("a/1", "a/2"));
    EXPECT_THAT(pages_of({.name = "unknown", .page_size = page_size}), IsEmpty());
  }
}

TEST_F(SchemaBookTest, WhatWasAddedIsToldOnceAndCanBePutBack) {
  EXPECT_TRUE(Register("a", Temperature()).ok());
  EXPECT_TRUE(Register("a", WithHumidity(), v1::COMPATIBILITY_UNSPECIFIED, "bob").ok());
  EXPECT_TRUE(Register("a", Temperature()).ok());
  const std::vector<SchemaRecordPtr> added = book_.TakeAdded();
  ASSERT_THAT(added, SizeIs(2));
  EXPECT_THAT(book_.TakeAdded(), IsEmpty());

  SchemaBook restored(limits_);
  EXPECT_EQ(restored.Restore({*added[1], *added[0]}), 0u);
  EXPECT_THAT(restored.TakeAdded(), IsEmpty());
  EXPECT_EQ((*restored.Find("a", 0))->identity, "bob");
  const auto again = restored.Register("a", Temperature(), "carol", v1::COMPATIBILITY_UNSPECIFIED, kNow);
  EXPECT_FALSE(again->created);
}

TEST_F(SchemaBookTest, AVersionThatIsDamagedIsLeftOutAndItsNumberNotGivenOutAgain) {
  EXPECT_TRUE(Register("a", Temperature()).ok());
  EXPECT_TRUE(Register("a", WithHumidity()).ok());
  EXPECT_TRUE(Register("a", Temperature("K")).ok());
  const std::vector<SchemaRecordPtr> added = book_.TakeAdded();
  SchemaBook restored(limits_);
  SchemaRecord damaged = *added[1];
  damaged.schema = nullptr;
  EXPECT_EQ(restored.Restore({*added[2], *added[0], damaged}), 1u);
  EXPECT_EQ(ReasonOf(restored.Find("a", 2)), "SCHEMA_NOT_FOUND");
  EXPECT_EQ((*restored.Find("a", 3))->schema->fields(0).unit(), "K");
  const auto next = restored.Register("a", WithHumidity(), "alice", v1::COMPATIBILITY_UNSPECIFIED, kNow);
  EXPECT_EQ(VersionOf(next), 4u);
}

// The book against what anybody would write: a list of pairs.
TEST_F(SchemaBookTest, TheBookIsAListOfNamesAndSchemasUnderRandomCalls) {
  std::mt19937_64 random(testing::Seed());
  SchemaBook book{Limits{}};
  std::vector<v1::Schema> schemas;
  for (int i = 0; i < 12; ++i) {
    schemas.push_back(testing::RandomSchema(random));
    schemas.back().set_name("Schema" + std::to_string(i));
  }
  std::map<std::string, std::vector<int>> model;
  for (int i = 0; i < 2000; ++i) {
    const std::string name(1, static_cast<char>('a' + random() % 5));
    const int which = static_cast<int>(random() % schemas.size());
    std::vector<int>& versions = model[name];
    const auto known = std::find(versions.begin(), versions.end(), which);
    const bool is_new = known == versions.end();
    const auto expected = static_cast<uint32_t>(known - versions.begin()) + 1;
    if (is_new) versions.push_back(which);
    EXPECT_EQ(book.VersionFor(name, schemas[which], "alice"), expected);
    const auto registration =
        book.Register(name, schemas[which], "alice", v1::COMPATIBILITY_UNSPECIFIED, kNow);
    ASSERT_TRUE(registration.ok());
    EXPECT_EQ(registration->created, is_new);
    EXPECT_EQ(registration->record->version, expected);
  }
  for (const auto& [name, versions] : model) {
    const SchemaPage page = book.List({.name = name});
    ASSERT_EQ(page.records.size(), versions.size());
    for (size_t i = 0; i < versions.size(); ++i) {
      EXPECT_EQ(page.records[i]->schema->SerializeAsString(), schemas[versions[i]].SerializeAsString());
    }
  }
}

}  // namespace
}  // namespace pylabhub::broker
