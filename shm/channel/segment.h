// A channel's segment as a process has it: data and control, mapped and checked. The same whether its memory has a name
// in a tmpfs (named_segment.h) or was handed over (sealed_segment.h). With a name, all of control is one part, which everybody
// has; handed over, its producer has all parts, and a consumer has its own.
//
// Thread safety: thread-compatible.
// Ownership:     owns its mappings, and the locks that were taken through them.
#ifndef PYLABHUB_SHM_CHANNEL_SEGMENT_H_
#define PYLABHUB_SHM_CHANNEL_SEGMENT_H_

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "shm/channel_config.h"
#include "shm/os/mapping.h"
#include "shm/segment/control_segment.h"
#include "shm/segment/data_segment.h"
#include "shm/segment_id.h"

namespace pylabhub::shm {

// A piece of control memory.
struct ControlPart {
  Mapping memory;
  ControlView view;

  // Where the lock of the consumer at `place` is, which is in this part.
  int64_t LockByteOf(uint32_t place) const;
  // That consumer; not for the caller's own place.
  bool ConsumerLives(uint32_t place) const;
};

// All the control memory that a process has of a segment.
struct Control {
  std::vector<ControlPart> parts;  // in the order of places
  Mapping bell;  // not mapped if control is one part: then that part's count of changes is the bell

  // Null if the place, or group, is in no part that is here.
  const ControlPart* PartOf(uint32_t place) const;
  const ControlPart* PartOfGroup(uint32_t index) const;
  bool ConsumerLives(uint32_t place) const;
  bool handed_over() const { return bell.valid(); }
  std::atomic<uint64_t>& bell_word() const;
  size_t bytes() const;
};

// As its producer has it: data writable and its lock held, control to be read. Not yet to be opened by
// anybody: Publish does that, when everything else stands.
struct CreatedSegment {
  Mapping data;
  Control control;
  DataSegment data_segment;

  void Publish() { PublishData(data.bytes()); }
};

// Builds data in a mapping, all zero, of DataFileBytes. The producer's lock is the caller's to take, before.
DataSegment BuildSegmentData(const Mapping& data, const ChannelConfig& config, const SegmentId& segment_id,
                             const SegmentId& predecessor_id, uint32_t place_count);
// Builds a part in a mapping, all zero, of ControlFileBytes. From then on only consumers write it.
absl::StatusOr<ControlPart> BuildPart(Mapping memory, const ControlShape& shape, const SegmentId& segment_id);

// As everybody else has it: data read-only.
struct OpenedSegment {
  Mapping data;
  Control control;
  DataView data_view;

  bool ProducerLives() const;
  // The consumer at `place`; not for the caller's own place. False if its part is not here.
  bool ConsumerLives(uint32_t place) const { return control.ConsumerLives(place); }
  uint32_t CountLivingConsumers() const;
  // How many committed slots the group at this index has still to read and release. 0 if its part is not here.
  uint64_t CountUndone(uint32_t group) const;
  // True if every group has read and released every committed slot, or if there are no groups.
  bool IsDrained() const;
};

// A piece of control memory that was mapped, and what to call it in messages.
struct FoundPart {
  Mapping memory;
  absl::string_view name;
  // Set: it must be the part of this index. Its consumer may have spoilt it since: then it is left out.
  std::optional<size_t> index = std::nullopt;
};

// kFailedPrecondition if one of them is not what it should be, or if they do not belong together; the message calls data by
// `data_name`. Parts must be some of those that the channel's PlanParts has, in order; without `bell`, the only part has
// everything.
absl::StatusOr<OpenedSegment> ViewSegment(Mapping data, absl::string_view data_name,
                                          std::vector<FoundPart> parts, Mapping bell);

}  // namespace pylabhub::shm

#endif  // PYLABHUB_SHM_CHANNEL_SEGMENT_H_
