// The flexible zone: whole under any writer, newer or unchanged, and nobody's business but its reader's.
#include "shm/zone.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/mman.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cstring>
#include <fstream>
#include <iterator>
#include <memory>
#include <span>
#include <string>
#include <thread>
#include <vector>

#include "shm/channel/channel_files.h"
#include "shm/channel/named_segment.h"
#include "shm/channel_directory.h"
#include "shm/data_block_consumer.h"
#include "shm/data_block_producer.h"
#include "shm/os/futex.h"
#include "shm/ring/zone.h"
#include "shm/typed.h"
#include "tests/support/child_process.h"
#include "tests/support/every_policy.h"
#include "tests/support/shm_folder.h"
#include "tests/support/stamped_slots.h"

namespace pylabhub::shm {
namespace {

using ::pylabhub::testing::ChildProcess;
using ::pylabhub::testing::IsStamped;
using ::pylabhub::testing::Stamp;
using ::testing::Each;
using ::testing::HasSubstr;

constexpr absl::Duration kPatience = absl::Seconds(20);
using Bytes = std::vector<std::byte>;

struct Calibration {
  double gain[2];
  int64_t measured_ns;
};
PYLABHUB_SCHEMA(Calibration, (gain, "1"), (measured_ns, "ns"));

struct Geography {
  double latitude;
  double longitude;
  double height;
};
PYLABHUB_SCHEMA(Geography, (latitude, "deg"), (longitude, "deg"), (height, "m"));

class ZoneTest : public ::testing::Test {
 protected:
  ChannelConfig Config(uint64_t zone_bytes) const {
    return {.channel = "zone.test",
            .capacity_slots = 4,
            .slot_bytes = 64,
            .zone_bytes = zone_bytes,
            .directory = folder_.path()};
  }
  static std::unique_ptr<DataBlockProducer> Create(const ChannelConfig& config) {
    auto producer = DataBlockProducer::Create(config);
    EXPECT_TRUE(producer.ok()) << producer.status();
    return producer.ok() ? *std::move(producer) : nullptr;
  }
  std::unique_ptr<DataBlockConsumer> Open(const WaitOptions& wait = {}) const {
    auto consumer = DataBlockConsumer::Open(
        "zone.test", {.open_timeout = kPatience, .wait = wait, .directory = folder_.path()});
    EXPECT_TRUE(consumer.ok()) << consumer.status();
    return consumer.ok() ? *std::move(consumer) : nullptr;
  }

  pylabhub::testing::ShmFolder folder_;
};

// Every word of the zone says which version it is.
void WriteVersion(DataBlockProducer& producer, uint64_t version, Bytes& buffer) {
  Stamp(buffer, version);
  ASSERT_TRUE(producer.WriteZone(buffer).ok());
}

// What a reader saw of a zone that is written all the time.
struct Seen {
  uint64_t versions = 0;
  uint64_t torn = 0;
  uint64_t backwards = 0;
};
Seen ReadVersions(const DataBlockConsumer& consumer, size_t zone_bytes, uint64_t versions) {
  Seen seen;
  Bytes target(zone_bytes);
  uint64_t before = 0;
  // A machine that is busy with other things gives the two little time together: a few versions must do then.
  const absl::Time enough = absl::Now() + absl::Seconds(2);
  while (seen.versions < (absl::Now() < enough ? versions : 10)) {
    const absl::StatusOr<uint64_t> version = consumer.ReadZone(target);
    if (!version.ok() || *version == before) std::this_thread::yield();
    if (!version.ok()) continue;  // overtaken a hundred times
    if (*version < before) ++seen.backwards;
    if (*version > before) ++seen.versions;
    if (*version != 0 && !IsStamped(target, *version)) ++seen.torn;
    before = *version;
  }
  return seen;
}

// Writes version after version until it is told to stop.
void WriteUntil(DataBlockProducer& producer, size_t zone_bytes, const std::atomic<bool>& stop) {
  Bytes buffer(zone_bytes);
  while (!stop) {
    WriteVersion(producer, producer.zone_version() + 1, buffer);
    // On a busy machine the reader may have to share this core.
    if (producer.zone_version() % 64 == 0) std::this_thread::yield();
  }
}

// True if the kernel has put this thread of our own to sleep.
bool IsAsleep(pid_t thread) {
  std::ifstream stat("/proc/self/task/" + std::to_string(thread) + "/stat");
  const std::string text{std::istreambuf_iterator<char>(stat), {}};
  const size_t name_end = text.rfind(')');
  return name_end != std::string::npos && text[name_end + 2] == 'S';
}

TEST_F(ZoneTest, AWriteOfNothingIsAVersionOfZeros) {
  const auto producer = Create(Config(300));
  ASSERT_TRUE(producer->WriteZone(Bytes(300, std::byte{1})).ok());
  ASSERT_TRUE(producer->WriteZone({}).ok());
  Bytes target(300, std::byte{2});
  EXPECT_EQ(*Open()->ReadZone(target), 2u);
  EXPECT_THAT(target, Each(std::byte{0}));
}

TEST_F(ZoneTest, AZoneIsReadAsItWasWrittenAndCountsItsVersions) {
  auto producer = Create(Config(100));
  auto consumer = Open();
  Bytes target(100, std::byte{0x55});
  EXPECT_EQ(consumer->zone_version(), 0u);
  EXPECT_EQ(consumer->ReadZone(target).value(), 0u);
  EXPECT_THAT(target, Each(std::byte{0x55})) << "nothing was written, so nothing is copied";
  for (uint64_t version = 1; version <= 5; ++version) {
    ASSERT_TRUE(producer->WriteZone(Bytes(100, std::byte{static_cast<uint8_t>(version)})).ok());
    EXPECT_EQ(producer->zone_version(), version);
    EXPECT_EQ(consumer->zone_version(), version);
    EXPECT_EQ(consumer->ReadZone(target).value(), version);
    EXPECT_THAT(target, Each(std::byte{static_cast<uint8_t>(version)}));
  }
  EXPECT_EQ(producer->next_sequence(), 0u) << "a zone needs no slot";
}

TEST_F(ZoneTest, EverySizeFromOneByteToSixteenMebibytesIsWholeAndMoreIsRefused) {
  for (const uint64_t zone_bytes : {uint64_t{1}, uint64_t{7}, uint64_t{8}, uint64_t{127}, uint64_t{129},
                                    uint64_t{4097}, uint64_t{1} << 20, kMaxZoneBytes}) {
    auto producer = Create(Config(zone_bytes));
    auto consumer = Open();
    Bytes source(zone_bytes);
    for (uint64_t version = 1; version <= 2; ++version) {
      for (size_t i = 0; i < source.size(); ++i) source[i] = static_cast<std::byte>(i * 31 + version);
      ASSERT_TRUE(producer->WriteZone(source).ok());
      // A target that is larger than the zone keeps what lies behind.
      Bytes target(zone_bytes + 9, std::byte{0x55});
      ASSERT_EQ(consumer->ReadZone(target).value(), version);
      EXPECT_EQ(std::memcmp(source.data(), target.data(), zone_bytes), 0) << zone_bytes;
      EXPECT_THAT(std::span(target).subspan(zone_bytes), Each(std::byte{0x55}));
    }
    const absl::Status status = producer->WriteZone(Bytes(zone_bytes + 1));
    ASSERT_TRUE(absl::IsInvalidArgument(status)) << status;
    EXPECT_THAT(std::string(status.message()), HasSubstr("zone_bytes"));
    EXPECT_EQ(consumer->zone_version(), 2u) << "what is refused changes nothing";
  }
  ChannelConfig config = Config(kMaxZoneBytes + 1);
  EXPECT_TRUE(absl::IsInvalidArgument(DataBlockProducer::Create(config).status()));
}

TEST_F(ZoneTest, AShortWriteLeavesZerosBehindItAndAShortReadCopiesTheBeginning) {
  auto producer = Create(Config(100));
  auto consumer = Open();
  for (int i = 0; i < 2; ++i) ASSERT_TRUE(producer->WriteZone(Bytes(100, std::byte{0xEE})).ok());
  ASSERT_TRUE(producer->WriteZone(Bytes(13, std::byte{7})).ok());
  Bytes target(100);
  ASSERT_EQ(consumer->ReadZone(target).value(), 3u);
  EXPECT_THAT(std::span(target).first(13), Each(std::byte{7}));
  EXPECT_THAT(std::span(target).subspan(13), Each(std::byte{0}));
  Bytes beginning(5);
  ASSERT_EQ(consumer->ReadZone(beginning).value(), 3u);
  EXPECT_THAT(beginning, Each(std::byte{7}));
}

TEST_F(ZoneTest, AReaderSeesWholeVersionsOnlyUnderAWriterAtFullSpeed) {
  for (const uint64_t zone_bytes : {8, 200, 20'000}) {
    auto producer = Create(Config(zone_bytes));
    auto consumer = Open();
    std::atomic<bool> stop = false;
    std::thread writer([&] { WriteUntil(*producer, zone_bytes, stop); });
    const Seen seen = ReadVersions(*consumer, zone_bytes, 1'500);
    stop = true;
    writer.join();
    EXPECT_EQ(seen.torn, 0u) << zone_bytes;
    EXPECT_EQ(seen.backwards, 0u) << zone_bytes;
  }
}

TEST_F(ZoneTest, AReaderInAnotherProcessSeesWholeVersionsOnly) {
  constexpr uint64_t kZoneBytes = 1'000;
  auto producer = Create(Config(kZoneBytes));
  ChildProcess reader([&](const ChildProcess::Line& parent) {
    auto consumer = Open();
    const Seen seen = ReadVersions(*consumer, kZoneBytes, 1'500);
    parent.Signal();
    return seen.torn == 0 && seen.backwards == 0 ? 0 : 1;
  });
  std::atomic<bool> stop = false;
  std::thread writer([&] { WriteUntil(*producer, kZoneBytes, stop); });
  reader.line().Await();
  stop = true;
  writer.join();
  EXPECT_EQ(reader.Wait(), 0);
}

TEST_F(ZoneTest, AReaderThatIsStoppedOrKilledDisturbsNobody) {
  auto producer = Create(Config(1'000));
  ChildProcess reader([&](const ChildProcess::Line& parent) {
    auto consumer = Open();
    Bytes target(1'000);
    parent.Signal();
    for (;;) static_cast<void>(consumer->ReadZone(target));
    return 1;
  });
  reader.line().Await();
  auto consumer = Open();
  Bytes buffer(1'000);
  for (uint64_t version = 1; version <= 300; ++version) {
    if (version == 100) reader.Stop();
    if (version == 200) reader.Kill();
    WriteVersion(*producer, version, buffer);
    Bytes target(1'000);
    ASSERT_EQ(consumer->ReadZone(target).value(), version);
    ASSERT_TRUE(IsStamped(target, version));
  }
}

TEST_F(ZoneTest, TheVersionBeforeStaysReadableAfterTheWriterIsKilledInTheMiddleOfAWrite) {
  folder_.AllowLeftovers();
  constexpr size_t kZoneBytes = 65'536;
  ChildProcess writer([&](const ChildProcess::Line& parent) {
    auto producer = Create(Config(kZoneBytes));
    Bytes buffer(kZoneBytes);
    for (uint64_t version = 1; version <= 6; ++version) WriteVersion(*producer, version, buffer);
    parent.Signal();
    parent.Await();
    // The second half of what is to be written cannot be read: the write ends there, and with it the process.
    auto* source = static_cast<std::byte*>(
        mmap(nullptr, kZoneBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    std::memset(source, 0xEE, kZoneBytes);
    mprotect(source + kZoneBytes / 2, kZoneBytes / 2, PROT_NONE);
    signal(SIGSEGV, [](int) { kill(getpid(), SIGKILL); });
    static_cast<void>(producer->WriteZone({source, kZoneBytes}));
    return 0;
  });
  writer.line().Await();
  auto consumer = Open({.spin = absl::ZeroDuration()});
  writer.line().Signal();
  EXPECT_EQ(consumer->WaitForZone(6, kPatience), SlotResult::kProducerDead);
  EXPECT_EQ(writer.Wait(), -1) << "the write was not interrupted";
  Bytes target(kZoneBytes);
  ASSERT_EQ(consumer->ReadZone(target).value(), 6u);
  EXPECT_TRUE(IsStamped(target, 6));
}

TEST_F(ZoneTest, AWaitEndsWithTheNextVersion) {
  auto producer = Create(Config(64));
  for (const absl::Duration spin : {absl::ZeroDuration(), absl::Microseconds(10), absl::InfiniteDuration()}) {
    auto consumer = Open({.spin = spin});
    Bytes buffer(64);
    uint64_t version = consumer->zone_version();
    EXPECT_EQ(consumer->WaitForZone(version, absl::Milliseconds(15)), SlotResult::kTimeout);
    std::atomic<uint64_t> awaited = version;
    std::thread reader([&] {
      for (int i = 0; i < 50; ++i) {
        ASSERT_EQ(consumer->WaitForZone(awaited, kPatience), SlotResult::kOk);
        awaited = consumer->zone_version();
      }
    });
    for (int i = 0; i < 50; ++i) {
      WriteVersion(*producer, ++version, buffer);
      while (awaited < version) std::this_thread::yield();
    }
    reader.join();
    EXPECT_EQ(consumer->WaitForZone(version - 1, absl::ZeroDuration()), SlotResult::kOk)
        << "what has changed before is no wait";
  }
}

TEST_F(ZoneTest, AWriteWakesWhoSleeps) {
  auto producer = Create(Config(64));
  auto consumer = Open({.spin = absl::ZeroDuration()});
  constexpr uint64_t kWaits = 40;
  std::atomic<pid_t> thread = 0;
  std::atomic<uint64_t> seen = 0;
  std::thread reader([&] {
    thread = gettid();
    while (seen < kWaits) {
      ASSERT_EQ(consumer->WaitForZone(seen, kPatience), SlotResult::kOk);
      seen = consumer->zone_version();
    }
  });
  uint64_t woken = 0;
  Bytes buffer(64);
  for (uint64_t version = 1; version <= kWaits; ++version) {
    while (thread == 0 || !IsAsleep(thread)) std::this_thread::yield();
    const absl::Time begin = absl::Now();
    WriteVersion(*producer, version, buffer);
    while (seen < version) std::this_thread::yield();
    // By itself it would look 10 ms after it fell asleep, which was just now.
    if (absl::Now() - begin < absl::Milliseconds(5)) ++woken;
  }
  reader.join();
  EXPECT_GT(woken, kWaits / 2);
}

TEST_F(ZoneTest, AWaitEndsWhenTheProducerCloses) {
  auto producer = Create(Config(64));
  auto consumer = Open({.spin = absl::ZeroDuration()});
  ASSERT_TRUE(producer->WriteZone(Bytes(64, std::byte{9})).ok());
  std::thread reader(
      [&] { EXPECT_EQ(consumer->WaitForZone(1, absl::InfiniteDuration()), SlotResult::kProducerClosed); });
  producer.reset();
  reader.join();
  Bytes target(64);
  EXPECT_EQ(consumer->ReadZone(target).value(), 1u) << "the last version stays";
  EXPECT_THAT(target, Each(std::byte{9}));
  EXPECT_EQ(consumer->WaitForZone(0, absl::ZeroDuration()), SlotResult::kOk);
}

// By its slice it would hear of the end 10 ms later.
TEST_F(ZoneTest, WhoLookedForTheEndAMomentBeforeItCameDoesNotSleepOverIt) {
  const uint32_t words[2] = {};
  const FutexWord both[] = {{words, 0}, {words + 1, 0}};
  if (FutexWaitAny(both, absl::ZeroDuration()) == FutexAny::kRefused)
    GTEST_SKIP() << "here nobody may sleep on two words";
  auto producer = Create(Config(64));
  const auto segment =
      OpenNamedSegment(ChannelFiles(folder_.path(), "zone.test"), producer->segment_id(), Access::kReadOnly);
  ASSERT_TRUE(segment.ok()) << segment.status();
  const ZoneReader zone(segment->data_view);
  const uint64_t seen = zone.version();
  producer.reset();
  const absl::Time start = absl::Now();
  zone.Sleep(seen, kPatience);
  EXPECT_LT(absl::Now() - start, kPatience / 2);
}

TEST_F(ZoneTest, AWaitEndsWhenTheProducerIsKilled) {
  folder_.AllowLeftovers();
  ChildProcess writer([&](const ChildProcess::Line& parent) {
    auto producer = Create(Config(64));
    parent.Signal();
    parent.Await();
    return 1;
  });
  writer.line().Await();
  auto consumer = Open();
  std::thread reader(
      [&] { EXPECT_EQ(consumer->WaitForZone(0, absl::InfiniteDuration()), SlotResult::kProducerDead); });
  writer.Kill();
  reader.join();
}

TEST_F(ZoneTest, AZoneOfASuccessorIsUnwrittenUntilItsProducerWritesIt) {
  auto producer = Create(Config(64));
  auto consumer = Open();
  ASSERT_TRUE(producer->WriteZone(Bytes(64, std::byte{1})).ok());
  producer.reset();
  producer = Create(Config(64));
  EXPECT_EQ(consumer->Acquire(kPatience).result(), SlotResult::kProducerClosed);
  EXPECT_EQ(consumer->zone_version(), 1u);
  ASSERT_TRUE(consumer->Follow(kPatience).ok());
  EXPECT_EQ(consumer->zone_version(), 0u);
  ASSERT_TRUE(producer->WriteZone(Bytes(64, std::byte{2})).ok());
  EXPECT_EQ(consumer->WaitForZone(0, kPatience), SlotResult::kOk);
}

TEST_F(ZoneTest, AChannelWithoutAZoneSaysSo) {
  auto producer = Create(Config(0));
  auto consumer = Open();
  Bytes bytes(1);
  EXPECT_TRUE(absl::IsFailedPrecondition(producer->WriteZone(bytes)));
  EXPECT_TRUE(absl::IsFailedPrecondition(consumer->ReadZone(bytes).status()));
  EXPECT_EQ(consumer->WaitForZone(0, absl::InfiniteDuration()), SlotResult::kNoZone);
  EXPECT_EQ(producer->zone_version(), 0u);
  EXPECT_EQ(consumer->zone_version(), 0u);
}

TEST_F(ZoneTest, AForkedChildHasNoZone) {
  auto producer = Create(Config(64));
  auto consumer = Open();
  ChildProcess child([&](const ChildProcess::Line&) {
    Bytes bytes(64);
    const bool refused = !producer->WriteZone(bytes).ok() && !consumer->ReadZone(bytes).ok() &&
                         consumer->WaitForZone(0, absl::ZeroDuration()) == SlotResult::kForked &&
                         consumer->zone_version() == 0;
    return refused ? 0 : 1;
  });
  EXPECT_EQ(child.Wait(), 0);
  EXPECT_EQ(consumer->zone_version(), 0u);
}

// Fault 4 of the original: validation failed every healthy block that had a flexible zone.
TEST_F(ZoneTest, AHealthyChannelWithAZoneIsFoundHealthy) {
  for (const Policy policy : pylabhub::testing::kEveryPolicy) {
    for (const uint64_t slot_bytes : {1, 1024, 8192}) {
      for (const uint64_t zone_bytes : {1, 129, 10'000}) {
        ChannelConfig config = Config(zone_bytes);
        config.policy = policy;
        config.slot_bytes = slot_bytes;
        auto producer = Create(config);
        Bytes buffer(zone_bytes);
        for (uint64_t version = 1; version <= 3; ++version) {
          ASSERT_TRUE(producer->WriteZone(buffer).ok());
          const auto found = ListNamedChannels(folder_.path());
          ASSERT_TRUE(found.ok());
          ASSERT_EQ(found->size(), 1u);
          EXPECT_TRUE(found->front().status.ok()) << found->front().status;
          EXPECT_NE(Open(), nullptr);
        }
      }
    }
  }
}

TEST_F(ZoneTest, ATypedZoneIsReadAsTheStructThatWasWritten) {
  auto producer = Producer<Geography>::Create(
      "zone.test", {.zone_schema = SchemaOf<Calibration>(), .directory = folder_.path()});
  ASSERT_TRUE(producer.ok()) << producer.status();
  auto consumer = Consumer<Geography>::Open(
      "zone.test", {.expected_zone_schema = SchemaOf<Calibration>(), .directory = folder_.path()});
  ASSERT_TRUE(consumer.ok()) << consumer.status();
  EXPECT_EQ(consumer->block().config().zone_bytes, sizeof(Calibration));
  absl::StatusOr<ZoneOf<Calibration>> zone = ReadZone<Calibration>(consumer->block());
  ASSERT_TRUE(zone.ok()) << zone.status();
  EXPECT_EQ(zone->version, 0u);
  ASSERT_TRUE(WriteZone(producer->block(), Calibration{{1.5, 2.5}, 42}).ok());
  zone = ReadZone<Calibration>(consumer->block());
  ASSERT_TRUE(zone.ok()) << zone.status();
  EXPECT_EQ(zone->version, 1u);
  EXPECT_EQ(zone->value.gain[1], 2.5);
  EXPECT_EQ(zone->value.measured_ns, 42);
}

TEST_F(ZoneTest, AZoneOfAnotherSchemaIsRefused) {
  ChannelConfig config = Config(0);
  config.zone_schema = SchemaOf<Calibration>();
  auto producer = Create(config);
  ConsumerOptions options = {.expected_zone_schema = SchemaOf<Geography>(), .directory = folder_.path()};
  absl::Status status = DataBlockConsumer::Open("zone.test", options).status();
  ASSERT_TRUE(absl::IsFailedPrecondition(status)) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr("SCHEMA_MISMATCH: the zone of channel 'zone.test'"));
  EXPECT_THAT(std::string(status.message()), HasSubstr("Geography"));
  auto consumer = Open();
  EXPECT_TRUE(absl::IsFailedPrecondition(WriteZone(*producer, Geography{})));
  EXPECT_TRUE(absl::IsFailedPrecondition(ReadZone<Geography>(*consumer).status()));
  consumer.reset();
  producer.reset();

  producer = Create(Config(0));
  status = DataBlockConsumer::Open("zone.test", options).status();
  ASSERT_TRUE(absl::IsFailedPrecondition(status)) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr("no zone"));
}

}  // namespace
}  // namespace pylabhub::shm
