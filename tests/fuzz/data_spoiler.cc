#include "tests/fuzz/data_spoiler.h"

#include <cstring>
#include <string>

#include "shm/segment/data_segment.h"
#include "shm/segment/layout.h"
#include "tests/fuzz/require.h"

namespace pylabhub::fuzz {

using ::pylabhub::shm::DataHeader;
using ::pylabhub::shm::Superblock;

DataSpoiler::DataSpoiler(const shm::SegmentMemory& memory) : memory_(memory) {
  const absl::StatusOr<shm::DataView> view = shm::ViewData(memory.bytes());
  Require(view.ok(), "a segment can be opened before it is spoilt");
  geometry_ = view->geometry;
  schema_ = view->config.schema;
  header_offset_bytes_ = memory.header_offset_bytes();
  schema_offset_bytes_ =
      memory.Read<uint64_t>(header_offset_bytes_ + offsetof(DataHeader, schema_offset_bytes));
}

void DataSpoiler::Step(Input& input) const {
  constexpr uint64_t kProgress = offsetof(DataHeader, progress);
  switch (input.Byte() % 8) {
    case 0:
      return Replace<uint64_t>(8 * input.Below(sizeof(Superblock) / 8), input);
    case 1:
      return Replace<uint32_t>(header_offset_bytes_ + 4 * input.Below(kProgress / 4), input);
    case 2:
      return Replace<uint64_t>(header_offset_bytes_ + 8 * input.Below(kProgress / 8), input);
    case 3:
      return Replace<uint64_t>(
          header_offset_bytes_ + kProgress + 8 * input.Below((sizeof(DataHeader) - kProgress) / 8), input);
    case 4:
      return ReplaceInCell(input);
    case 5:
      return ReplaceChunkSequence(input);
    case 6:
      return ReplaceSchema(input);
    default:
      return ReplaceByte(input);
  }
}

template <typename Word>
void DataSpoiler::Replace(uint64_t offset_bytes, Input& input) const {
  memory_.Write(offset_bytes, static_cast<Word>(input.Replacement(memory_.Read<Word>(offset_bytes))));
}

void DataSpoiler::ReplaceInCell(Input& input) const {
  const uint64_t cell = input.Below(geometry_.capacity_slots);
  const uint64_t offset_bytes = geometry_.cells_offset_bytes + cell * geometry_.cell_stride_bytes +
                                8 * input.Below(geometry_.cell_stride_bytes / 8);
  Replace<uint64_t>(offset_bytes, input);
}

void DataSpoiler::ReplaceChunkSequence(Input& input) const {
  if (geometry_.inline_payloads()) return;
  Replace<uint64_t>(geometry_.chunk_sequences_offset_bytes + 8 * input.Below(geometry_.chunk_count), input);
}

// With its length and its hash: what a producer with another idea of the record would have written.
void DataSpoiler::ReplaceSchema(Input& input) const {
  shm::Schema other = schema_;
  other.record_bytes = static_cast<uint32_t>(input.Replacement(other.record_bytes));
  shm::Field& field = other.fields.back();
  field.count = static_cast<uint32_t>(input.Replacement(field.count));
  const std::string text = CanonicalText(other);
  if (text.size() > memory_.bytes().size() - schema_offset_bytes_) return;
  std::memcpy(memory_.bytes().data() + schema_offset_bytes_, text.data(), text.size());
  memory_.Write(header_offset_bytes_ + offsetof(DataHeader, schema_bytes),
                static_cast<uint32_t>(text.size()));
  memory_.Write(header_offset_bytes_ + offsetof(DataHeader, schema_hash), HashOf(other));
}

void DataSpoiler::ReplaceByte(Input& input) const {
  memory_.Write(input.Number(2) % memory_.bytes().size(), input.Byte());
}

}  // namespace pylabhub::fuzz
