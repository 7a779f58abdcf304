#include "shm/read_slot.h"

#include <utility>

namespace pylabhub::shm {

ReadSlot::ReadSlot(ReadSlot&& other) noexcept
    : reader_(std::exchange(other.reader_, nullptr)), view_(other.view_), result_(other.result_) {}

ReadSlot::~ReadSlot() { Release(); }

SlotResult ReadSlot::Verify() { return reader_ == nullptr ? SlotResult::kOk : reader_->Verify(view_); }

SlotResult ReadSlot::Release() {
  if (reader_ == nullptr) return SlotResult::kOk;
  return std::exchange(reader_, nullptr)->Release();
}

ReadBatch::ReadBatch(ReadBatch&& other) noexcept
    : reader_(std::exchange(other.reader_, nullptr)),
      slots_(std::exchange(other.slots_, {})),
      result_(other.result_) {}

ReadBatch::~ReadBatch() { Release(); }

SlotResult ReadBatch::Release() {
  if (reader_ == nullptr) return SlotResult::kOk;
  slots_ = {};
  return std::exchange(reader_, nullptr)->Release();
}

}  // namespace pylabhub::shm
