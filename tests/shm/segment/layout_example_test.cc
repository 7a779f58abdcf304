// The worked example of docs/shm_layout.md, byte by byte: what the page says is what a segment has.
#include <gtest/gtest.h>

#include <cstring>
#include <fstream>
#include <iterator>
#include <string>

#include "shm/channel/channel_files.h"
#include "shm/segment/layout.h"
#include "shm/typed.h"
#include "tests/support/shm_folder.h"

struct TempReading {
  double celsius;
  int64_t timestamp_ns;
};
PYLABHUB_SCHEMA(TempReading, (celsius, "Cel"), (timestamp_ns, "ns"));

namespace pylabhub::shm {
namespace {

std::string FileBytes(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

template <typename T>
T Read(const std::string& bytes, size_t offset) {
  T value;
  std::memcpy(&value, bytes.data() + offset, sizeof(value));
  return value;
}

TEST(LayoutExampleTest, TheBytesAreWhereTheDocumentationSays) {
  pylabhub::testing::ShmFolder folder;
  auto producer = Producer<TempReading>::Create(
      "sensor.temperature", {.capacity_slots = 4, .max_consumers = 2, .directory = folder.path()});
  ASSERT_TRUE(producer.ok()) << producer.status();
  auto consumer = Consumer<TempReading>::Open("sensor.temperature", {.directory = folder.path()});
  ASSERT_TRUE(consumer.ok()) << consumer.status();
  ASSERT_EQ(producer->Write({21.5, 1'700'000'000'000'000'000}), SlotResult::kOk);
  ASSERT_EQ(producer->Write({21.75, 1'700'000'001'000'000'000}), SlotResult::kOk);
  ASSERT_TRUE(consumer->Read(absl::ZeroDuration()).has_value());

  const ChannelFiles files(folder.path(), "sensor.temperature");
  const SegmentId id = producer->block().segment_id();
  const std::string data = FileBytes(files.DataPath(id));
  const std::string control = FileBytes(files.ControlPath(id));

  EXPECT_EQ(data.size(), 24576u);
  EXPECT_EQ(data.substr(0, 8), "PLHDATA1");
  const auto header = Read<uint64_t>(data, offsetof(Superblock, header_offset_bytes));
  EXPECT_EQ(header, 4352u);
  const auto cells = Read<uint64_t>(data, header + offsetof(DataHeader, cells_offset_bytes));
  EXPECT_EQ(cells, 5504u);
  EXPECT_EQ(Read<uint64_t>(data, header + offsetof(DataHeader, cell_stride_bytes)), 128u);
  EXPECT_EQ(Read<uint64_t>(data, cells), 1u) << "stamp of slot 0";
  EXPECT_EQ(Read<uint64_t>(data, cells + 8), 16u) << "its payload_bytes";
  EXPECT_EQ(Read<double>(data, cells + 64), 21.5);
  EXPECT_EQ(Read<uint64_t>(data, cells + 128), 2u) << "stamp of slot 1";
  EXPECT_EQ(Read<double>(data, cells + 192), 21.75);
  EXPECT_EQ(Read<uint64_t>(data, cells + 256), 0u) << "nothing in the third cell yet";
  EXPECT_EQ(Read<uint64_t>(data, header + offsetof(DataHeader, progress)), 2u) << "head";

  EXPECT_EQ(control.size(), 24576u);
  EXPECT_EQ(control.substr(0, 8), "PLHCTRL1");
  const auto control_header = Read<uint64_t>(control, offsetof(Superblock, header_offset_bytes));
  EXPECT_EQ(control_header, 4352u);
  const auto entries =
      Read<uint64_t>(control, control_header + offsetof(ControlHeader, entries_offset_bytes));
  EXPECT_EQ(entries, 4736u);
  EXPECT_EQ(Read<uint64_t>(control, entries), 0x102u) << "first use, active";
  EXPECT_EQ(Read<uint64_t>(control, entries + 128), 1u) << "cursor";
  EXPECT_EQ(Read<uint64_t>(control, entries + 384), 0u) << "the second place is free";
}

}  // namespace
}  // namespace pylabhub::shm
