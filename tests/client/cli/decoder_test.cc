#include "client/cli/decoder.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <cstring>
#include <limits>
#include <span>
#include <vector>

#include "shm/describe.h"

namespace pylabhub::cli {

struct Reading {
  double celsius;
  int64_t timestamp_ns;
  char place[8];
  int16_t axes[3];
  bool valid;
  uint8_t flags;
};
PYLABHUB_SCHEMA(Reading, (celsius, "Cel"), (timestamp_ns, "ns"), (place, ""), (axes, "mm"), (valid, ""),
                (flags, ""));

struct Limits {
  double not_a_number;
  double infinity;
  uint64_t largest;
  float tenth;
  int32_t lowest;
};
PYLABHUB_SCHEMA(Limits, (not_a_number, ""), (infinity, ""), (largest, ""), (tenth, ""), (lowest, ""));

namespace {

constexpr Reading kReading = {21.5, 1'700'000'000'000'000'001, "roof", {1, -2, 300}, true, 7};

template <typename T>
std::span<const std::byte> BytesOf(const T& value) {
  return std::as_bytes(std::span(&value, 1));
}

TEST(DecoderTest, TextNamesEachFieldWithItsValueAndUnit) {
  EXPECT_EQ(Decoder(shm::SchemaOf<Reading>()).Text(BytesOf(kReading)),
            "celsius=21.5 Cel  timestamp_ns=1700000000000000001 ns  place=\"roof\"  axes=[1 -2 300] mm  "
            "valid=true  "
            "flags=7");
}

TEST(DecoderTest, JsonKeepsTypesOrderAndEveryDigit) {
  EXPECT_EQ(
      Decoder(shm::SchemaOf<Reading>()).Json(BytesOf(kReading)).dump(),
      R"({"records":[{"celsius":21.5,"timestamp_ns":1700000000000000001,"place":"roof","axes":[1,-2,300],)"
      R"("valid":true,"flags":7}]})");
}

TEST(DecoderTest, ValuesThatJsonHasNoNumberForAreWords) {
  const Limits limits = {std::numeric_limits<double>::quiet_NaN(), -std::numeric_limits<double>::infinity(),
                         std::numeric_limits<uint64_t>::max(), 0.1F, std::numeric_limits<int32_t>::min()};
  EXPECT_EQ(Decoder(shm::SchemaOf<Limits>()).Json(BytesOf(limits)).dump(),
            R"({"records":[{"not_a_number":"NaN","infinity":"-Infinity","largest":18446744073709551615,)"
            R"("tenth":0.1,"lowest":-2147483648}]})");
}

TEST(DecoderTest, ASlotMayHoldManyRecordsAndAPieceOfOne) {
  const std::vector<Reading> readings = {kReading, kReading};
  const auto bytes = std::as_bytes(std::span(readings));
  const Decoder decoder(shm::SchemaOf<Reading>());
  EXPECT_EQ(decoder.Json(bytes)["records"].size(), 2);
  const auto cut = decoder.Json(bytes.first(bytes.size() - 1));
  EXPECT_EQ(cut["records"].size(), 1);
  EXPECT_EQ(cut["trailing_bytes"], sizeof(Reading) - 1);
  EXPECT_TRUE(decoder.Text(bytes.first(3)).find("3 trailing bytes") == 0);
}

TEST(DecoderTest, ARecordNeedNotBeAligned) {
  std::vector<std::byte> bytes(sizeof(Reading) + 1);
  std::memcpy(bytes.data() + 1, &kReading, sizeof(Reading));
  EXPECT_EQ(Decoder(shm::SchemaOf<Reading>()).Json(std::span(bytes).subspan(1))["records"][0]["celsius"],
            21.5);
}

TEST(DecoderTest, ACharacterArrayCannotSteerTheTerminal) {
  Reading reading = kReading;
  std::memcpy(reading.place, "\033[2J\n\xff.", 7);
  const std::string text = Decoder(shm::SchemaOf<Reading>()).Text(BytesOf(reading));
  EXPECT_EQ(text.find('\033'), std::string::npos);
  EXPECT_EQ(text.find('\n'), std::string::npos);
}

TEST(DecoderTest, ACharacterArrayThatFillsItsFieldHasNoTerminator) {
  Reading reading = kReading;
  std::memcpy(reading.place, "12345678", 8);
  EXPECT_EQ(Decoder(shm::SchemaOf<Reading>()).Json(BytesOf(reading))["records"][0]["place"], "12345678");
}

TEST(DecoderTest, OpaqueBytesAreHexadecimalInTextAndBase64InJson) {
  const Decoder decoder(shm::Schema::Opaque());
  EXPECT_EQ(decoder.Text(std::as_bytes(std::span("hi", 2))), "2 bytes  6869");
  EXPECT_EQ(decoder.Json(std::as_bytes(std::span("hi", 2))).dump(), R"({"base64":"aGk="})");
  EXPECT_EQ(decoder.Text({}), "0 bytes  ");
}

}  // namespace
}  // namespace pylabhub::cli
