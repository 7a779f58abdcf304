// Slots that are being written, as DataBlockProducer hands them out.
//
// Thread safety: belongs to its producer's thread.
// Ownership:     a slot or batch must be gone before its producer, and before the next is acquired.
#ifndef PYLABHUB_SHM_WRITE_SLOT_H_
#define PYLABHUB_SHM_WRITE_SLOT_H_

#include <cstddef>
#include <cstdint>
#include <span>

#include "shm/ring/ring_writer.h"
#include "shm/slot_result.h"

namespace pylabhub::shm {

class DataBlockProducer;

// A slot that is being written. Committed by call, aborted by destructor; an aborted slot uses up no sequence
// number.
class WriteSlot {
 public:
  WriteSlot(WriteSlot&& other) noexcept;
  WriteSlot& operator=(WriteSlot&&) = delete;
  ~WriteSlot();

  // True if there is a slot to write; else result() says why not.
  explicit operator bool() const { return writer_ != nullptr; }
  SlotResult result() const { return result_; }

  // Where to write: slot_bytes bytes, aligned to 64, with whatever an earlier slot left in them. Empty
  // without a slot.
  std::span<std::byte> payload() const { return payload_; }

  // Publishes the first `payload_bytes` bytes as the next slot. kTooLarge (and an abort) if they are more
  // than payload().size(). The slot is spent either way. Requires a slot.
  SlotResult Commit(size_t payload_bytes);
  // On a channel of Checksum::kManual: the slot is committed with a checksum of its payload. Enforced checksums need no
  // call, and without checksums this does nothing. Requires a slot.
  void AddChecksum();
  // Gives the slot back unseen. Does nothing without a slot.
  void Abort();

 private:
  friend class DataBlockProducer;
  explicit WriteSlot(SlotResult result) : result_(result) {}
  WriteSlot(RingWriter* writer, std::span<std::byte> payload) : writer_(writer), payload_(payload) {}

  RingWriter* writer_ = nullptr;
  std::span<std::byte> payload_;
  SlotResult result_ = SlotResult::kOk;
};

// Several slots that are being written, and are committed together: one look at who sleeps, one time stamp. For a
// consumer they are slots like any others.
class WriteBatch {
 public:
  WriteBatch(WriteBatch&& other) noexcept;
  WriteBatch& operator=(WriteBatch&&) = delete;
  ~WriteBatch();

  explicit operator bool() const { return writer_ != nullptr; }
  SlotResult result() const { return result_; }

  // Slots in the batch; 0 without any.
  size_t size() const { return writer_ == nullptr ? 0 : writer_->prepared_count(); }
  // As WriteSlot::payload, of slot `index`, which is less than size().
  std::span<std::byte> payload(size_t index) const { return writer_->payload(static_cast<uint32_t>(index)); }

  // Publishes the first slots, one for each member of `payload_bytes`, in order; at most size() of them. The others are
  // aborted. kTooLarge (and an abort of all) if one of them is more than a slot holds. Requires a batch, and spends it.
  SlotResult Commit(std::span<const size_t> payload_bytes);
  // As WriteSlot::AddChecksum, for each slot of the batch.
  void AddChecksums();
  void Abort();

 private:
  friend class DataBlockProducer;
  explicit WriteBatch(SlotResult result) : result_(result) {}
  explicit WriteBatch(RingWriter* writer) : writer_(writer) {}

  RingWriter* writer_ = nullptr;
  SlotResult result_ = SlotResult::kOk;
};

}  // namespace pylabhub::shm

#endif  // PYLABHUB_SHM_WRITE_SLOT_H_
