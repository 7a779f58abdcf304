#include "client/cli/quantity.h"

#include <gtest/gtest.h>

namespace pylabhub::cli {
namespace {

TEST(QuantityTest, BytesAreInPowersOfTwo) {
  EXPECT_EQ(BytesText(0), "0 B");
  EXPECT_EQ(BytesText(1023), "1023 B");
  EXPECT_EQ(BytesText(4096), "4 KiB");
  EXPECT_EQ(BytesText(uint64_t{1536} * 1024), "1.5 MiB");
  EXPECT_EQ(BytesText(uint64_t{3} << 40), "3072 GiB");
}

TEST(QuantityTest, RatesKeepThreeDigits) {
  EXPECT_EQ(RateText(0), "0");
  EXPECT_EQ(RateText(0.25), "0.25");
  EXPECT_EQ(RateText(12.54), "12.5");
  EXPECT_EQ(RateText(1234), "1234");
  EXPECT_EQ(RateText(9'999.4), "9999");
  EXPECT_EQ(RateText(12'345), "12.3k");
  EXPECT_EQ(RateText(999'600), "1.00M");
  EXPECT_EQ(RateText(1.5e9), "1.50G");
}

TEST(QuantityTest, RatesOfBytesAreInPowersOfTen) {
  EXPECT_EQ(ByteRateText(0), "0 B/s");
  EXPECT_EQ(ByteRateText(999), "999 B/s");
  EXPECT_EQ(ByteRateText(1500), "1.50 KB/s");
  EXPECT_EQ(ByteRateText(12.3e6), "12.3 MB/s");
  EXPECT_EQ(ByteRateText(7e12), "7000 GB/s");
}

TEST(QuantityTest, DurationsHaveNoMoreDigitsThanAnybodyReads) {
  EXPECT_EQ(DurationText(absl::Nanoseconds(850'400)), "850us");
  EXPECT_EQ(DurationText(absl::Microseconds(3254)), "3.2ms");
  EXPECT_EQ(DurationText(absl::Milliseconds(12'345)), "12.3s");
  EXPECT_EQ(DurationText(absl::Milliseconds(123'456)), "2m3s");
}

}  // namespace
}  // namespace pylabhub::cli
