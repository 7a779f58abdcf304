#include "client/examples/host_probe.h"

#include <gtest/gtest.h>

#include <cstddef>

#include "absl/strings/match.h"

namespace pylabhub::examples {
namespace {

constexpr int64_t kTickNs = 10'000'000;
constexpr char kStat[] =
    "cpu  100 20 30 4000 500 6 7 8 90 10\n"
    "cpu0 1 1 1 1 1 1 1 1 1 1\n"
    "intr 12345 1 2 3\n"
    "ctxt 987654321\n"
    "btime 1700000000\n";
constexpr char kMemory[] =
    "MemTotal:       16384 kB\n"
    "MemFree:            1 kB\n"
    "MemAvailable:    8192 kB\n";

TEST(HostProbeTest, BusyTimeIsAllButIdleAndIoAndCountsGuestsOnce) {
  HostSample sample = {};
  ASSERT_TRUE(ReadStat(kStat, kTickNs, sample).ok());
  EXPECT_EQ(sample.cpu_busy_ns, (100 + 20 + 30 + 6 + 7 + 8) * kTickNs);
  EXPECT_EQ(sample.cpu_idle_ns, (4000 + 500) * kTickNs);
  EXPECT_EQ(sample.context_switches, 987654321u);
}

TEST(HostProbeTest, MemoryIsInBytes) {
  HostSample sample = {};
  ASSERT_TRUE(ReadMemory(kMemory, sample).ok());
  EXPECT_EQ(sample.memory_total_bytes, 16u << 20);
  EXPECT_EQ(sample.memory_available_bytes, 8u << 20);
}

TEST(HostProbeTest, AMissingOrMangledLineIsNamed) {
  HostSample sample = {};
  EXPECT_TRUE(absl::StrContains(ReadStat("cpu  1 2 3 4\n", kTickNs, sample).message(), "ctxt"));
  EXPECT_TRUE(absl::StrContains(ReadStat("cpu  1 two 3\nctxt 1\n", kTickNs, sample).message(), "two"));
  EXPECT_TRUE(absl::StrContains(ReadStat("cpu  1 2\nctxt 1\n", kTickNs, sample).message(), "too short"));
  EXPECT_TRUE(absl::StrContains(ReadMemory("MemTotal: 5 kB\n", sample).message(), "MemAvailable"));
  EXPECT_TRUE(absl::StrContains(ReadMemory("MemTotal: many kB\n", sample).message(), "MemTotal"));
}

TEST(HostProbeTest, SamplesOfThisHostAreNumberedAndNeverGoBack) {
  absl::StatusOr<HostProbe> probe = HostProbe::Open();
  ASSERT_TRUE(probe.ok()) << probe.status();
  const absl::StatusOr<HostSample> first = probe->Take();
  ASSERT_TRUE(first.ok()) << first.status();
  const absl::StatusOr<HostSample> second = probe->Take();
  ASSERT_TRUE(second.ok()) << second.status();
  EXPECT_EQ(first->number, 0u);
  EXPECT_EQ(second->number, 1u);
  EXPECT_GT(first->cpu_busy_ns, 0);
  EXPECT_GT(first->context_switches, 0u);
  EXPECT_GE(second->context_switches, first->context_switches);
  EXPECT_GT(first->memory_total_bytes, first->memory_available_bytes);
  EXPECT_GT(first->memory_available_bytes, 0u);
}

TEST(HostSampleTest, EveryChangedByteBreaksTheCheckWord) {
  HostSample sample = {.number = 1,
                       .timestamp_ns = 2,
                       .cpu_busy_ns = 3,
                       .cpu_idle_ns = 4,
                       .context_switches = 5,
                       .memory_total_bytes = 6,
                       .memory_available_bytes = 7,
                       .check = 0};
  sample.check = CheckWord(sample);
  ASSERT_TRUE(IsWhole(sample));
  for (size_t i = 0; i < sizeof(sample); ++i) {
    HostSample torn = sample;
    reinterpret_cast<unsigned char*>(&torn)[i] ^= 0x10;
    EXPECT_FALSE(IsWhole(torn)) << "byte " << i;
  }
}

}  // namespace
}  // namespace pylabhub::examples
