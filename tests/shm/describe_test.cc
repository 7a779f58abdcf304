#include "shm/describe.h"

#include <gtest/gtest.h>

namespace pylabhub::shm {
namespace {

enum class Mode : uint8_t { kOff, kOn };

struct Vector {
  float x;
  float y;
};
PYLABHUB_SCHEMA(Vector, (x, "m"), (y, "m"));

struct Everything {
  bool valid;
  char name[7];
  int16_t counts[4];
  Vector position;
  Mode mode;
  uint64_t serial;
};
PYLABHUB_SCHEMA(Everything, (valid, ""), (name, ""), (counts, "1"), (position, ""), (mode, ""), (serial, ""));

TEST(DescribeTest, TheSchemaIsCompiledFromTheStruct) {
  EXPECT_EQ(CanonicalText(SchemaOf<Everything>()),
            "pylabhub-schema 1\n"
            "record Everything 40\n"
            "field valid bool 1 0 \n"
            "field name char 7 1 \n"
            "field counts int16 4 8 1\n"
            "field position.x float32 1 16 m\n"
            "field position.y float32 1 20 m\n"
            "field mode uint8 1 24 \n"
            "field serial uint64 1 32 \n");
  EXPECT_TRUE(SchemaOf<Everything>().Validate().ok());
}

// Described as the macro would, but for what the macro refuses.
struct Forgetful {
  int32_t first;
  int32_t forgotten;
  int32_t last;
};
template <typename Visitor>
constexpr auto PylabhubMembersOf(const Forgetful*, const Visitor& visit) {
  return visit(describe_internal::MemberOf<int32_t>{"first", "", offsetof(Forgetful, first)},
               describe_internal::MemberOf<int32_t>{"last", "", offsetof(Forgetful, last)});
}
struct Disordered {
  int32_t first;
  int32_t second;
};
template <typename Visitor>
constexpr auto PylabhubMembersOf(const Disordered*, const Visitor& visit) {
  return visit(describe_internal::MemberOf<int32_t>{"second", "", offsetof(Disordered, second)},
               describe_internal::MemberOf<int32_t>{"first", "", offsetof(Disordered, first)});
}
struct Undescribed {
  int32_t value;
};

TEST(DescribeTest, AMemberThatIsLeftOutOrOutOfOrderDoesNotCompile) {
  EXPECT_TRUE(describe_internal::CoversRecord<Everything>());
  EXPECT_FALSE(describe_internal::CoversRecord<Forgetful>());
  EXPECT_FALSE(describe_internal::CoversRecord<Disordered>());
}

TEST(DescribeTest, AStructWithoutTheMacroHasNoSchema) {
  EXPECT_TRUE(describe_internal::Described<Vector>);
  EXPECT_FALSE(describe_internal::Described<Undescribed>);
}

}  // namespace
}  // namespace pylabhub::shm
