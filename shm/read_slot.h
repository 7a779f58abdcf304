// Slots that are being read, as DataBlockConsumer hands them out.
//
// Thread safety: belongs to its consumer's thread.
// Ownership:     a slot or batch must be gone before its consumer, and before the next is acquired.
#ifndef PYLABHUB_SHM_READ_SLOT_H_
#define PYLABHUB_SHM_READ_SLOT_H_

#include <cstddef>
#include <cstdint>
#include <span>

#include "absl/time/time.h"
#include "shm/ring/ring_reader.h"
#include "shm/slot_result.h"

namespace pylabhub::shm {

class DataBlockConsumer;

// A slot that is being read. Released by call or by destructor.
class ReadSlot {
 public:
  ReadSlot(ReadSlot&& other) noexcept;
  ReadSlot& operator=(ReadSlot&&) = delete;
  ~ReadSlot();

  // True if there is a slot; else result() says why not.
  explicit operator bool() const { return reader_ != nullptr; }
  SlotResult result() const { return result_; }

  // The bytes that the producer committed. They do not change while the slot is held.
  std::span<const std::byte> payload() const { return view_.payload; }
  // The slot's number in its segment, from 0.
  uint64_t sequence() const { return view_.sequence; }
  // When it was committed, by the producer's clock, since the Unix epoch.
  absl::Time timestamp() const { return absl::FromUnixNanos(view_.timestamp_ns); }
  int64_t timestamp_ns() const { return view_.timestamp_ns; }
  // Slots between the last one that this consumer got and this one: overwritten, or passed over by read =
  // latest.
  uint64_t missed_slots() const { return view_.missed_slots; }

  // All of that at once.
  const SlotView& view() const { return view_; }

  // Compares the payload with the checksum that its producer gave it: kOk, kCorrupt (counted once), kNoChecksum, kForked.
  // Reads the whole payload. For channels of Checksum::kManual; enforced checksums were verified before the slot was
  // handed out. kOk without a slot.
  SlotResult Verify();

  // In a group: a member that is dead had this slot before, and did not live to release it. It may have acted on it.
  bool redelivered() const { return view_.redelivered; }

  // Gives the slot back. kOverrun if it changed meanwhile, which no correct producer does. Does nothing (kOk)
  // without a slot.
  SlotResult Release();

 private:
  friend class DataBlockConsumer;
  explicit ReadSlot(SlotResult result) : result_(result) {}

  RingReader* reader_ = nullptr;
  SlotView view_;
  SlotResult result_ = SlotResult::kOk;
};

// Several slots in a row that are being read, and are released together.
class ReadBatch {
 public:
  ReadBatch(ReadBatch&& other) noexcept;
  ReadBatch& operator=(ReadBatch&&) = delete;
  ~ReadBatch();

  explicit operator bool() const { return reader_ != nullptr; }
  SlotResult result() const { return result_; }

  // Slots in the batch, oldest first; 0 without any. What they point to is valid until Release.
  size_t size() const { return slots_.size(); }
  const SlotView& operator[](size_t index) const { return slots_[index]; }
  auto begin() const { return slots_.begin(); }
  auto end() const { return slots_.end(); }

  // As ReadSlot::Verify, of slot `index`, which is less than size().
  SlotResult Verify(size_t index) { return reader_->Verify(slots_[index]); }

  // Gives all slots back. kOverrun if one changed meanwhile. Does nothing (kOk) without a slot.
  SlotResult Release();

 private:
  friend class DataBlockConsumer;
  explicit ReadBatch(SlotResult result) : result_(result) {}
  ReadBatch(RingReader* reader, std::span<const SlotView> slots) : reader_(reader), slots_(slots) {}

  RingReader* reader_ = nullptr;
  std::span<const SlotView> slots_;  // the consumer's
  SlotResult result_ = SlotResult::kOk;
};

}  // namespace pylabhub::shm

#endif  // PYLABHUB_SHM_READ_SLOT_H_
