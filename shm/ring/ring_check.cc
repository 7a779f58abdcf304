#include "shm/ring/ring_check.h"

#include <algorithm>
#include <span>

#include "shm/os/full_fence.h"
#include "shm/ring/checksum.h"
#include "shm/segment/layout.h"

namespace pylabhub::shm {
namespace {

class RingCheck {
 public:
  RingCheck(const DataView& view, bool verify_checksums)
      : view_(view),
        geometry_(view.geometry),
        verifies_(verify_checksums && view.config.checksum != Checksum::kNone) {}

  RingFaults Run() {
    for (uint64_t index = 0; index < geometry_.capacity_slots; ++index) Look(index);
    return faults_;
  }

 private:
  void Look(uint64_t index) {
    const auto* cell =
        At<SlotDescriptor>(view_.base, geometry_.cells_offset_bytes + index * geometry_.cell_stride_bytes);
    // Acquire, edge A, here and in the second look: in between nothing newer was read.
    const uint64_t stamp = cell->stamp.load(std::memory_order_acquire);
    if (stamp == kNoSlot) return;
    const uint64_t payload_bytes = cell->payload_bytes.load(std::memory_order_acquire);
    const uint32_t chunk = cell->chunk.load(std::memory_order_acquire);
    const uint64_t committed = view_.header->progress.head.load(std::memory_order_acquire);
    // The stamp is stored before the head that counts it.
    const bool sound = (stamp - 1) % geometry_.capacity_slots == index && stamp - 1 <= committed &&
                       payload_bytes <= geometry_.slot_bytes &&
                       (geometry_.inline_payloads() ? chunk == kInlineChunk : chunk < geometry_.chunk_count);
    const bool right = !sound || !verifies_ || HasItsChecksum(*cell, {Payload(*cell, chunk), payload_bytes});
    ReadFence();
    if (cell->stamp.load(std::memory_order_acquire) != stamp) return;
    faults_.senseless_cells += sound ? 0 : 1;
    if (right) return;
    const uint64_t slot = stamp - 1;
    faults_.first_wrong_slot = faults_.wrong_checksums == 0 ? slot : std::min(faults_.first_wrong_slot, slot);
    ++faults_.wrong_checksums;
  }

  bool HasItsChecksum(const SlotDescriptor& cell, std::span<const std::byte> payload) const {
    const bool has_one = (cell.flags.load(std::memory_order_acquire) & kHasChecksum) != 0;
    if (!has_one) return view_.config.checksum != Checksum::kEnforced;
    return cell.checksum.load(std::memory_order_acquire) == ChecksumOf(payload);
  }

  const std::byte* Payload(const SlotDescriptor& cell, uint32_t chunk) const {
    if (geometry_.inline_payloads()) return reinterpret_cast<const std::byte*>(&cell + 1);
    return view_.base + geometry_.chunks_offset_bytes + chunk * geometry_.chunk_stride_bytes;
  }

  const DataView& view_;
  const Geometry& geometry_;
  bool verifies_;
  RingFaults faults_;
};

}  // namespace

RingFaults CheckRing(const DataView& view, bool verify_checksums) {
  return RingCheck(view, verify_checksums).Run();
}

}  // namespace pylabhub::shm
