#include "client/recording/recorded_file.h"

#include <gtest/gtest.h>

#include <cstring>
#include <filesystem>
#include <fstream>
#include <vector>

#include "client/recording/recording_writer.h"
#include "tests/client/recording/sample.h"
#include "tests/support/temp_folder.h"

namespace pylabhub::recording {
namespace {

using testing::Sample;
using testing::SampleOf;

RecordedChannel Samples() {
  return {.config = shm::ChannelConfig{.channel = "lab.samples",
                                       .slot_bytes = 4 * sizeof(Sample) + 16,
                                       .schema = shm::SchemaOf<Sample>()}
                        .WithDefaults()};
}

RecordedChannel Bytes(const std::string& channel) {
  return {.config = shm::ChannelConfig{.channel = channel, .slot_bytes = 100}.WithDefaults()};
}

SegmentRow Segment(char digit) {
  SegmentRow row;
  row.segment_id.fill(digit);
  return row;
}

// A payload of whole records and a tail, as a collector puts it into a batch.
void AddSlot(Batch& batch, const std::vector<std::byte>& payload, size_t record_bytes, SlotRow row) {
  const auto tail = static_cast<ptrdiff_t>(payload.size() % record_bytes);
  row.payload_bytes = payload.size();
  batch.records.insert(batch.records.end(), payload.begin(), payload.end() - tail);
  batch.tails.insert(batch.tails.end(), payload.end() - tail, payload.end());
  batch.slots.push_back(row);
}

std::vector<std::byte> Payload(uint64_t serial, size_t records, size_t tail_bytes) {
  std::vector<std::byte> payload(records * sizeof(Sample) + tail_bytes, std::byte{0x5A});
  for (size_t i = 0; i < records; ++i) {
    const Sample sample = SampleOf(serial + i);
    std::memcpy(payload.data() + i * sizeof(Sample), &sample, sizeof(sample));
  }
  return payload;
}

class RecordedFileTest : public ::testing::Test {
 protected:
  std::string path(const std::string& name = "run.h5") const { return folder_.path() + "/" + name; }

  std::unique_ptr<RecordingWriter> Writer(std::vector<RecordedChannel> channels, uint64_t rotate_bytes = 0) {
    auto writer =
        RecordingWriter::Create({.path = path(), .rotate_bytes = rotate_bytes}, std::move(channels));
    EXPECT_TRUE(writer.ok()) << writer.status();
    return *std::move(writer);
  }

  testing::TempFolder folder_;
};

TEST_F(RecordedFileTest, SlotsOfSeveralRecordsAndTailsComeBackBitForBit) {
  std::vector<std::vector<std::byte>> payloads;
  auto writer = Writer({Samples()});
  for (uint64_t i = 0; i < 3000; i += 100) {
    Batch batch = {.channel = 0};
    if (i == 0) batch.segments.push_back(Segment('a'));
    for (uint64_t j = i; j < i + 100; ++j) {
      payloads.push_back(Payload(j, j % 5, j % 3 == 0 ? j % 16 : 0));
      AddSlot(batch, payloads.back(), sizeof(Sample),
              {.sequence = j, .timestamp_ns = static_cast<int64_t>(1000 + j)});
    }
    ASSERT_TRUE(writer->Append(batch).ok());
  }
  ASSERT_TRUE(writer->Close().ok());

  const auto file = RecordedFile::Open(path());
  ASSERT_TRUE(file.ok()) << file.status();
  EXPECT_EQ(file->groups(), std::vector<std::string>{"lab.samples"});
  auto reader = file->OpenChannel("lab.samples");
  ASSERT_TRUE(reader.ok()) << reader.status();
  EXPECT_EQ(reader->config().schema, shm::SchemaOf<Sample>());
  EXPECT_EQ(reader->slots(), payloads.size());
  EXPECT_EQ(reader->Times().value().value(), (std::pair<int64_t, int64_t>(1000, 3999)));
  for (size_t i = 0; i < payloads.size(); ++i) {
    const auto slot = reader->Next();
    ASSERT_TRUE(slot.ok()) << slot.status();
    EXPECT_EQ(slot->row.sequence, i);
    ASSERT_TRUE(
        std::equal(slot->payload.begin(), slot->payload.end(), payloads[i].begin(), payloads[i].end()))
        << i;
  }
  EXPECT_TRUE(reader->AtEnd());
}

TEST_F(RecordedFileTest, EveryNameOfAChannelHasAGroup) {
  ASSERT_TRUE(Writer({Bytes("a"), Bytes("."), Bytes("..")})->Close().ok());
  const auto file = RecordedFile::Open(path());
  ASSERT_TRUE(file.ok()) << file.status();
  EXPECT_EQ(file->groups(), (std::vector<std::string>{"%2e", "..", "a"}));
  const auto reader = file->OpenChannel("%2e");
  ASSERT_TRUE(reader.ok()) << reader.status();
  EXPECT_EQ(reader->config().channel, ".");
}

TEST_F(RecordedFileTest, EachFileOfARecordingStandsForItself) {
  auto writer = Writer({Bytes("a")}, 1);
  for (uint64_t i = 0; i < 4; ++i) {
    Batch batch = {.channel = 0};
    if (i % 2 == 0) batch.segments.push_back(Segment(static_cast<char>('a' + i)));
    AddSlot(batch, std::vector<std::byte>(50, std::byte(i)), 1,
            {.sequence = i, .segment = static_cast<uint32_t>(i / 2)});
    batch.gaps.push_back({.before_slot = 1, .segment = static_cast<uint32_t>(i / 2)});
    ASSERT_TRUE(writer->Append(batch).ok());
  }
  ASSERT_TRUE(writer->Close().ok());
  ASSERT_EQ(writer->paths().size(), 4);
  std::string recording_id;
  for (uint64_t part = 1; part <= 4; ++part) {
    const auto file = RecordedFile::Open(path("run-000" + std::to_string(part) + ".h5"));
    ASSERT_TRUE(file.ok()) << file.status();
    EXPECT_EQ(file->part(), part);
    if (recording_id.empty()) recording_id = file->recording_id();
    EXPECT_EQ(file->recording_id(), recording_id);
    auto reader = file->OpenChannel("a");
    ASSERT_TRUE(reader.ok()) << reader.status();
    const auto segments = reader->Segments();
    ASSERT_TRUE(segments.ok());
    // A segment that goes on is there again.
    const uint64_t i = part - 1;
    ASSERT_FALSE(segments->empty());
    EXPECT_EQ(segments->back().segment_id[0], 'a' + static_cast<char>(i / 2 * 2));
    const auto slot = reader->Next();
    ASSERT_TRUE(slot.ok()) << slot.status();
    EXPECT_EQ(slot->row.sequence, i);
    EXPECT_EQ(slot->row.segment, segments->size() - 1);
    EXPECT_EQ(slot->payload[0], std::byte(i));
    EXPECT_EQ(reader->Gaps().value()[0].segment, segments->size() - 1);
  }
}

TEST_F(RecordedFileTest, NoRecordingIsOverwritten) {
  Writer({Bytes("a")});
  const auto again = RecordingWriter::Create({.path = path()}, {Bytes("a")});
  EXPECT_TRUE(absl::IsAlreadyExists(again.status())) << again.status();
  EXPECT_NE(again.status().message().find("run.h5"), std::string::npos);
}

TEST_F(RecordedFileTest, AFileThatIsNoRecordingIsRefusedByName) {
  EXPECT_TRUE(absl::IsNotFound(RecordedFile::Open(path("none.h5")).status()));
  std::ofstream(path("text.h5")) << "no HDF5";
  const auto text = RecordedFile::Open(path("text.h5"));
  ASSERT_FALSE(text.ok());
  EXPECT_NE(text.status().message().find("text.h5"), std::string::npos);
  Hid(H5Fcreate(path("other.h5").c_str(), H5F_ACC_EXCL, H5P_DEFAULT, H5P_DEFAULT)).Close();
  const auto other = RecordedFile::Open(path("other.h5"));
  EXPECT_TRUE(absl::IsFailedPrecondition(other.status())) << other.status();
}

TEST_F(RecordedFileTest, LastSlotsWithoutTheirRecordsAreLeftOut) {
  auto writer = Writer({Bytes("a")});
  Batch batch = {.channel = 0};
  batch.segments.push_back(Segment('a'));
  AddSlot(batch, std::vector<std::byte>(10), 1, {.sequence = 0});
  batch.slots.push_back({.sequence = 1, .payload_bytes = 5});
  ASSERT_TRUE(writer->Append(batch).ok());
  ASSERT_TRUE(writer->Close().ok());
  const auto file = RecordedFile::Open(path());
  ASSERT_TRUE(file.ok()) << file.status();
  const auto reader = file->OpenChannel("a");
  ASSERT_TRUE(reader.ok()) << reader.status();
  EXPECT_EQ(reader->slots(), 1);
}

TEST_F(RecordedFileTest, ARowThatRefersToWhatIsNotThereIsFoundOut) {
  auto writer = Writer({Samples()});
  Batch batch = {.channel = 0};
  batch.segments.push_back(Segment('a'));
  AddSlot(batch, Payload(0, 1, 0), sizeof(Sample), {.sequence = 0});
  batch.slots[0].payload_bytes += 5;
  ASSERT_TRUE(writer->Append(batch).ok());
  ASSERT_TRUE(writer->Close().ok());
  const auto file = RecordedFile::Open(path());
  ASSERT_TRUE(file.ok()) << file.status();
  auto reader = file->OpenChannel("lab.samples");
  ASSERT_TRUE(reader.ok()) << reader.status();
  EXPECT_TRUE(absl::IsDataLoss(reader->Next().status()));
}

}  // namespace
}  // namespace pylabhub::recording
