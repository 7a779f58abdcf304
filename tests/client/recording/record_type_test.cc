#include "client/recording/record_type.h"

#include <gtest/gtest.h>

#include <cstring>
#include <string>
#include <vector>

#include "tests/client/recording/sample.h"

namespace pylabhub::recording {
namespace {

using shm::ScalarType;
using shm::Schema;

std::vector<std::string> MembersOf(const Hid& type) {
  std::vector<std::string> names;
  for (int i = 0; i < H5Tget_nmembers(type.get()); ++i) {
    char* const name = H5Tget_member_name(type.get(), static_cast<unsigned>(i));
    names.emplace_back(name);
    H5free_memory(name);
  }
  return names;
}

Hid MemberType(const Hid& type, const char* name) {
  return Hid(H5Tget_member_type(type.get(), static_cast<unsigned>(H5Tget_member_index(type.get(), name))));
}

class RecordTypeTest : public ::testing::Test {
 protected:
  void SetUp() override { SilenceHdf5(); }
};

TEST_F(RecordTypeTest, ARecordHasItsFieldsWhereTheyLieInMemory) {
  const auto type = RecordType(shm::SchemaOf<testing::Sample>());
  ASSERT_TRUE(type.ok()) << type.status();
  EXPECT_EQ(H5Tget_size(type->get()), sizeof(testing::Sample));
  EXPECT_EQ(MembersOf(*type),
            (std::vector<std::string>{"valid", "mode", "tag", "celsius", "counts", "at", "serial"}));
  for (const auto& [name, offset_bytes] : {std::pair("tag", offsetof(testing::Sample, tag)),
                                           std::pair("celsius", offsetof(testing::Sample, celsius)),
                                           std::pair("at", offsetof(testing::Sample, at)),
                                           std::pair("serial", offsetof(testing::Sample, serial))}) {
    const auto index = static_cast<unsigned>(H5Tget_member_index(type->get(), name));
    EXPECT_EQ(H5Tget_member_offset(type->get(), index), offset_bytes) << name;
  }
  const Hid at = MemberType(*type, "at");
  EXPECT_EQ(MembersOf(at), (std::vector<std::string>{"x", "y"}));
  EXPECT_EQ(H5Tget_class(MemberType(*type, "counts").get()), H5T_ARRAY);
  EXPECT_EQ(H5Tget_class(MemberType(*type, "tag").get()), H5T_STRING);
}

TEST_F(RecordTypeTest, NamesOfValuesMakeAnEnumeration) {
  const auto type = RecordType(shm::SchemaOf<testing::Sample>(), {{"mode", {{"off", 0}, {"on", 1}}}});
  ASSERT_TRUE(type.ok()) << type.status();
  const Hid mode = MemberType(*type, "mode");
  ASSERT_EQ(H5Tget_class(mode.get()), H5T_ENUM);
  uint8_t on = 0;
  ASSERT_GE(H5Tenum_valueof(mode.get(), "on", &on), 0);
  EXPECT_EQ(on, 1);
}

TEST_F(RecordTypeTest, ANameTwiceInAnEnumerationIsLeftOut) {
  const auto type = RecordType(shm::SchemaOf<testing::Sample>(), {{"mode", {{"off", 0}, {"off", 1}}}});
  ASSERT_TRUE(type.ok()) << type.status();
  EXPECT_EQ(H5Tget_nmembers(MemberType(*type, "mode").get()), 1);
}

TEST_F(RecordTypeTest, NamesThatAreNoTreeStayAsTheyAre) {
  const Schema schema = {.name = "Odd",
                         .record_bytes = 12,
                         .fields = {{.name = "a", .type = ScalarType::kInt32, .offset_bytes = 0},
                                    {.name = "a.b", .type = ScalarType::kInt32, .offset_bytes = 4},
                                    {.name = "c..d", .type = ScalarType::kInt32, .offset_bytes = 8}}};
  ASSERT_TRUE(schema.Validate().ok());
  const auto type = RecordType(schema);
  ASSERT_TRUE(type.ok()) << type.status();
  EXPECT_EQ(MembersOf(*type), (std::vector<std::string>{"a", "a.b", "c..d"}));
}

TEST_F(RecordTypeTest, ARecordWithTooManyFieldsToDescribeIsBytes) {
  Schema schema = {.name = "Wide", .record_bytes = 4096};
  for (uint32_t i = 0; i < 4096; ++i) {
    schema.fields.push_back(
        {.name = "a_field_with_a_name_" + std::to_string(i), .type = ScalarType::kUint8, .offset_bytes = i});
  }
  ASSERT_TRUE(schema.Validate().ok());
  const auto type = RecordType(schema);
  ASSERT_TRUE(type.ok()) << type.status();
  EXPECT_EQ(H5Tget_class(type->get()), H5T_OPAQUE);
  EXPECT_EQ(H5Tget_size(type->get()), 4096);
}

TEST_F(RecordTypeTest, OpaqueBytesAreBytes) {
  const auto type = RecordType(Schema::Opaque());
  ASSERT_TRUE(type.ok()) << type.status();
  EXPECT_GT(H5Tequal(type->get(), H5T_STD_U8LE), 0);
}

}  // namespace
}  // namespace pylabhub::recording
