// docs/schema.md tells the canonical bytes of a schema: they are those of the code.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <sstream>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "shm/describe.h"

namespace pylabhub::shm {
namespace {

using ::testing::HasSubstr;

// As on the page.
enum class Mode : uint8_t { kOff, kOn };
struct Point {
  float x;
  float y;
};
PYLABHUB_SCHEMA(Point, (x, "m"), (y, "m"));
struct Sample {
  bool valid;
  Mode mode;
  char tag[6];
  double celsius;
  int16_t counts[4];
  Point at;
  uint64_t serial;
  float speed[2];
};
PYLABHUB_SCHEMA(Sample, (valid, ""), (mode, ""), (tag, ""), (celsius, "Cel"), (counts, "1"), (at, ""),
                (serial, ""), (speed, "m/s"));

std::string Page() {
  std::stringstream page;
  page << std::ifstream("docs/schema.md").rdbuf();
  return page.str();
}

// The block of the page that is fenced as `kind`.
std::string Block(const std::string& kind) {
  const std::string page = Page();
  const std::string fence = absl::StrCat("```", kind, "\n");
  const size_t begin = page.find(fence);
  if (begin == std::string::npos) return "no such block";
  const size_t text = begin + fence.size();
  return page.substr(text, page.find("```", text) - text);
}

// As xxd shows it.
std::string HexDump(const std::string& bytes) {
  std::string dump;
  for (size_t line = 0; line < bytes.size(); line += 16) {
    std::string hex;
    std::string text;
    for (size_t i = line; i < std::min(line + 16, bytes.size()); ++i) {
      absl::StrAppendFormat(&hex, "%02x ", static_cast<unsigned char>(bytes[i]));
      text += bytes[i] >= 0x20 && bytes[i] < 0x7f ? bytes[i] : '.';
    }
    absl::StrAppendFormat(&dump, "%04x: %-48s %s\n", line, hex, text);
  }
  return dump;
}

TEST(SchemaPageTest, TheTextOfTheExampleIsTheStructs) {
  EXPECT_EQ(Block("text"), CanonicalText(SchemaOf<Sample>()));
}

TEST(SchemaPageTest, TheBytesAndTheHashOfTheExampleAreTheTexts) {
  const std::string text = CanonicalText(SchemaOf<Sample>());
  EXPECT_EQ(Block("hex"), HexDump(text));
  EXPECT_EQ(Block("sha256"), ToHex(HashOf(SchemaOf<Sample>())) + "\n");
  EXPECT_THAT(Page(), HasSubstr(absl::StrCat(text.size(), " bytes")));
}

TEST(SchemaPageTest, EveryTypeIsInTheTableWithItsSize) {
  for (int i = 0; i <= static_cast<int>(ScalarType::kFloat64); ++i) {
    const auto type = static_cast<ScalarType>(i);
    EXPECT_THAT(Page(),
                HasSubstr(absl::StrCat("| `", std::string(NameOf(type)), "` | ", BytesOf(type), " |")));
  }
}

}  // namespace
}  // namespace pylabhub::shm
