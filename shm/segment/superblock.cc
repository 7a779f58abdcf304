#include "shm/segment/superblock.h"

#include <cstring>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "shm/os/crash_point.h"
#include "shm/segment/private_copy.h"

namespace pylabhub::shm {

void WriteSuperblock(std::span<std::byte> memory, const SegmentId& segment_id, uint64_t header_offset_bytes) {
  auto* superblock = reinterpret_cast<Superblock*>(memory.data());
  superblock->abi_version = kAbiVersion;
  superblock->layout_hash = LayoutHash();
  superblock->file_bytes = memory.size();
  superblock->managed_offset_bytes = kPageBytes;
  superblock->header_offset_bytes = header_offset_bytes;
  superblock->segment_id = segment_id;
  PYLABHUB_CRASH_POINT("superblock.written");
}

void PublishSuperblock(std::span<std::byte> memory, uint64_t magic) {
  // Release: pairs with the acquire in CheckSuperblock, and carries everything that creation wrote.
  reinterpret_cast<Superblock*>(memory.data())->magic.store(magic, std::memory_order_release);
  PYLABHUB_CRASH_POINT("superblock.published");
}

absl::StatusOr<CheckedSuperblock> CheckSuperblock(std::span<const std::byte> memory, uint64_t magic,
                                                  size_t header_bytes) {
  if (memory.size() < kPageBytes) {
    return absl::FailedPreconditionError(
        absl::StrCat("the segment is truncated: ", memory.size(), " bytes are less than its first page"));
  }
  const auto* shared = reinterpret_cast<const Superblock*>(memory.data());
  const uint64_t found = shared->magic.load(std::memory_order_acquire);
  if (found == 0)
    return absl::FailedPreconditionError("the segment is not finished: its creator is at work, or died");
  if (found != magic) {
    return absl::FailedPreconditionError(
        absl::StrFormat("not a segment of pylabhub: it starts with %016x", found));
  }
  Superblock fixed{};
  CopyFixedPart(fixed, *shared);
  if (fixed.abi_version != kAbiVersion) {
    return absl::FailedPreconditionError(absl::StrCat("the segment has layout version ", fixed.abi_version,
                                                      ", this program reads ", kAbiVersion,
                                                      "; use the same pylabhub on both sides"));
  }
  if (fixed.layout_hash != LayoutHash()) {
    return absl::FailedPreconditionError("the segment was written by a build with another layout");
  }
  if (fixed.file_bytes != memory.size()) {
    return absl::FailedPreconditionError(
        absl::StrCat("the segment is truncated: it has ", memory.size(), " of ", fixed.file_bytes, " bytes"));
  }
  const uint64_t offset = fixed.header_offset_bytes;
  if (offset < kPageBytes || offset % kSpacingBytes != 0 || offset > memory.size() ||
      header_bytes > memory.size() - offset) {
    return absl::FailedPreconditionError(absl::StrCat("the segment is damaged: its header is at ", offset));
  }
  return CheckedSuperblock{offset, fixed.segment_id};
}

}  // namespace pylabhub::shm
