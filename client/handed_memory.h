// Memory that goes through the broker's hands: what a producer deposits, and what a consumer collects.
#ifndef PYLABHUB_CLIENT_HANDED_MEMORY_H_
#define PYLABHUB_CLIENT_HANDED_MEMORY_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "client/broker_types.h"
#include "proto/handover/descriptor.h"

namespace pylabhub {

enum class HandedMemoryKind { kData, kBell, kPart };

struct HandedMemory {
  HandedMemoryKind kind = HandedMemoryKind::kData;
  uint32_t part = 0;       // of kPart: which
  std::string group = {};  // of kPart: whose members share it
  uint64_t size_bytes = 0;
  bool in_use =
      false;  // of kPart: a consumer has it; a descriptor, if there is one, is for the next producer alone
  handover::Descriptor descriptor = handover::Descriptor();
};

struct Deposit {
  SegmentIdBytes segment_id = {};
  std::vector<HandedMemory> memories = {};
};

// What a channel's last producer left; parts that nobody has are missing.
struct InheritedMemory {
  SegmentIdBytes segment_id = {};
  std::vector<HandedMemory> memories = {};
};

// Where a consumer sat in the segment before.
struct HeldPart {
  SegmentIdBytes segment_id = {};
  uint32_t part = 0;
};

// What a consumer asks for.
struct CollectWish {
  bool onlooker = false;  // a part alone, of a channel whose groups share its slots
  std::optional<HeldPart> before = std::nullopt;
};

struct CollectedMemory {
  SegmentIdBytes segment_id = {};
  uint32_t part_index = 0;
  handover::Descriptor data = handover::Descriptor();
  handover::Descriptor bell = handover::Descriptor();
  handover::Descriptor part = handover::Descriptor();
};

// A producer's memory, as the Messenger deposits it with the broker, at first and whenever the broker asks.
//
// Thread safety: thread-safe; the Messenger calls it from a thread of its own.
// Errors:        kCancelled: the producer is gone.
class MemorySource {
 public:
  virtual ~MemorySource() = default;

  // Once, before the others: the channel is this producer's, and its last one left this, if anything.
  virtual absl::Status Begin(std::optional<InheritedMemory> predecessor) = 0;

  // All of the present segment. If it was asked for before, every part that no consumer sits at is made anew, since somebody may
  // still have it. `with_parts_in_use`: the others' descriptors too.
  virtual absl::StatusOr<Deposit> All(bool with_parts_in_use) = 0;

  // These parts of that segment, made anew; whoever had them loses its place. kNotFound: the producer has moved on.
  virtual absl::StatusOr<Deposit> Renew(const SegmentIdBytes& segment_id,
                                        const std::vector<uint32_t>& parts) = 0;

  // Asks the producer to go on in a fresh segment, in which these parts' consumers find no place kept. Once for a segment,
  // however often it is asked; does not wait.
  virtual void MoveOn(const SegmentIdBytes& segment_id, const std::vector<uint32_t>& excepted_parts) = 0;
};

}  // namespace pylabhub

#endif  // PYLABHUB_CLIENT_HANDED_MEMORY_H_
