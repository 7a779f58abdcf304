#include "shm/schema.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "shm/describe.h"

namespace pylabhub::shm {
namespace {

using ::testing::HasSubstr;

enum class Mode : uint16_t { kIdle, kBusy };
struct Point {
  float x;
  float y;
};
PYLABHUB_SCHEMA(Point, (x, "m"), (y, "m"));
struct Everything {
  bool ok;
  char label[7];
  Mode mode;
  int8_t i8;
  int32_t i32;
  uint64_t u64[3];
  Point where;
  double f64;
};
PYLABHUB_SCHEMA(Everything, (ok, ""), (label, ""), (mode, ""), (i8, ""), (i32, ""), (u64, "1"), (where, ""),
                (f64, "m/s 2"));

TEST(SchemaTest, AStructDescribesItselfWithTheCompilersOffsets) {
  const Schema schema = SchemaOf<Everything>();
  EXPECT_TRUE(schema.Validate().ok()) << schema.Validate();
  EXPECT_EQ(CanonicalText(schema),
            "pylabhub-schema 1\n"
            "record Everything 56\n"
            "field ok bool 1 0 \n"
            "field label char 7 1 \n"
            "field mode uint16 1 8 \n"
            "field i8 int8 1 10 \n"
            "field i32 int32 1 12 \n"
            "field u64 uint64 3 16 1\n"
            "field where.x float32 1 40 m\n"
            "field where.y float32 1 44 m\n"
            "field f64 float64 1 48 m/s 2\n");
}

TEST(SchemaTest, TheCanonicalTextReadsBackAsItself) {
  for (const Schema& schema : {SchemaOf<Everything>(), Schema::Opaque()}) {
    const std::string text = CanonicalText(schema);
    const absl::StatusOr<Schema> parsed = ParseCanonicalText(text);
    ASSERT_TRUE(parsed.ok()) << parsed.status();
    EXPECT_EQ(CanonicalText(*parsed), text);
    EXPECT_EQ(HashOf(*parsed), HashOf(schema));
  }
}

TEST(SchemaTest, TheHashIsTheSha256OfTheText) {
  // printf 'pylabhub-schema 1\nrecord bytes 0\n' | sha256sum
  EXPECT_EQ(ToHex(HashOf(Schema::Opaque())),
            "b312469ba69b67692e708b80530abcb94bd23100985904c237f1d199fd758bf6");
}

TEST(SchemaTest, AnyDifferenceIsAnotherHash) {
  const Schema schema = SchemaOf<Point>();
  Schema unit = schema;
  unit.fields[0].unit = "mm";
  Schema name = schema;
  name.fields[0].name = "z";
  Schema type = schema;
  type.fields[0].type = ScalarType::kInt32;
  for (const Schema& other : {unit, name, type}) EXPECT_NE(HashOf(other), HashOf(schema));
}

TEST(SchemaTest, TextThatIsNotCanonicalIsRefusedWithTheLine) {
  const std::string good = CanonicalText(SchemaOf<Point>());
  const char* const bad[] = {
      "",
      "\n",
      "pylabhub-schema 2\nrecord A 4\n",
      "pylabhub-schema 1\n",
      "pylabhub-schema 1\nrecord A 4",
      "pylabhub-schema 1\nrecord A 4\n",
      "pylabhub-schema 1\nrecord A +4\nfield x int32 1 0 \n",
      "pylabhub-schema 1\nrecord A 4\nfield x int33 1 0 \n",
      "pylabhub-schema 1\nrecord A 4\nfield x int32 1 1 \n",
      "pylabhub-schema 1\nrecord A 4\nfield x int32 0 0 \n",
      "pylabhub-schema 1\nrecord A 4\nfield x int32 4294967295 0 \n",
      "pylabhub-schema 1\nrecord A 8\nfield x int32 1 0 \nfield y int32 1 2 \n",
      "pylabhub-schema 1\nrecord A 4\nfield x y int32 1 0 \n",
      "pylabhub-schema 1\nrecord A 4\n\nfield x int32 1 0 \n",
  };
  ASSERT_TRUE(ParseCanonicalText(good).ok());
  for (const char* text : bad)
    EXPECT_TRUE(absl::IsInvalidArgument(ParseCanonicalText(text).status())) << text;
  // No prefix of a good text is one, unless it ends with a whole line and keeps the heading and a field.
  for (size_t n = 0; n < good.size(); ++n) {
    if (n > 0 && good[n - 1] == '\n') continue;
    EXPECT_FALSE(ParseCanonicalText(good.substr(0, n)).ok()) << n;
  }
}

TEST(SchemaTest, AFieldPastTheRecordIsNamed) {
  Schema schema = SchemaOf<Point>();
  schema.record_bytes = 7;
  EXPECT_THAT(std::string(schema.Validate().message()), HasSubstr("'y'"));
}

}  // namespace
}  // namespace pylabhub::shm
