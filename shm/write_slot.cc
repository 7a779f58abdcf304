#include "shm/write_slot.h"

#include <utility>

#include "shm/channel/invariant.h"

namespace pylabhub::shm {

WriteSlot::WriteSlot(WriteSlot&& other) noexcept
    : writer_(std::exchange(other.writer_, nullptr)), payload_(other.payload_), result_(other.result_) {}

WriteSlot::~WriteSlot() { Abort(); }

SlotResult WriteSlot::Commit(size_t payload_bytes) {
  Require(writer_ != nullptr, "Commit was called on a WriteSlot that holds no slot");
  return std::exchange(writer_, nullptr)->Commit(payload_bytes);
}

void WriteSlot::AddChecksum() {
  Require(writer_ != nullptr, "AddChecksum was called on a WriteSlot that holds no slot");
  writer_->AddChecksums();
}

void WriteSlot::Abort() {
  if (writer_ != nullptr) std::exchange(writer_, nullptr)->Abort();
}

WriteBatch::WriteBatch(WriteBatch&& other) noexcept
    : writer_(std::exchange(other.writer_, nullptr)), result_(other.result_) {}

WriteBatch::~WriteBatch() { Abort(); }

SlotResult WriteBatch::Commit(std::span<const size_t> payload_bytes) {
  Require(writer_ != nullptr, "Commit was called on a WriteBatch that holds no slots");
  Require(payload_bytes.size() <= size(), "Commit was given more sizes than its WriteBatch has slots");
  return std::exchange(writer_, nullptr)->CommitBatch(payload_bytes);
}

void WriteBatch::AddChecksums() {
  Require(writer_ != nullptr, "AddChecksums was called on a WriteBatch that holds no slots");
  writer_->AddChecksums();
}

void WriteBatch::Abort() {
  if (writer_ != nullptr) std::exchange(writer_, nullptr)->Abort();
}

}  // namespace pylabhub::shm
