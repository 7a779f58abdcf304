// What a producer takes over from the ones before it: the consumers that still read what those left behind, each of
// whom finds its place kept in the new segment.
//
// A consumer keeps its place number through a channel's segments, and a random token says that it is the same
// consumer. It moves from a segment to the next one, and attaches there before it leaves here: who looks from the
// oldest to the newest cannot miss it.
//
// Thread safety: thread-compatible.
#ifndef PYLABHUB_SHM_CHANNEL_SUCCESSION_H_
#define PYLABHUB_SHM_CHANNEL_SUCCESSION_H_

#include <cstdint>
#include <functional>
#include <optional>
#include <vector>

#include "absl/status/statusor.h"
#include "shm/channel/channel_files.h"
#include "shm/channel/segment.h"
#include "shm/channel_config.h"
#include "shm/segment_id.h"

namespace pylabhub::shm {

class Succession {
 public:
  struct Heir {
    uint32_t place;
    uint64_t token;
    bool waited_for;  // it reads every slot
    size_t segment;   // the oldest in which it was seen
  };

  Succession() = default;
  // Looks at the segment `newest_id` (nil for none), and at those before it as far as they are still there. That one
  // cannot be opened is an error, unless it is missing or damaged: nobody may lose a place for a full descriptor
  // table.
  static absl::StatusOr<Succession> Of(const ChannelFiles& files, const SegmentId& newest_id);

  // The same for segments that were handed over, oldest first. Consumers whose parts are missing are not seen.
  static Succession Of(std::vector<OpenedSegment> segments);

  // The same with one segment more, the newest, and without those who had one of these places in any.
  Succession And(OpenedSegment newest, const std::vector<uint32_t>& excepted_places) &&;

  const std::vector<Heir>& heirs() const { return heirs_; }
  // The kernel's word.
  bool HeirLives(const Heir& heir) const;

 private:
  void AddAttached(size_t segment);
  void AddHeir(size_t segment, uint32_t place, const ConsumerEntry& entry);

  std::vector<OpenedSegment> segments_;  // oldest first
  std::vector<Heir> heirs_;
};

// The segment that follows `segment_id` in the chain that ends at `current`; `current` if the chain does not lead
// there, because what lay between is gone or damaged.
absl::StatusOr<SegmentId> SuccessorOf(const ChannelFiles& files, const SegmentId& segment_id,
                                      const SegmentId& current);

// Segments of producers that are gone, with slots that a group has still to read, are kept until a member has come for them.
inline constexpr size_t kMaxUndrainedSegments = 8;
size_t CountUndrainedSegments(const ChannelFiles& files);

// Where a member of a group goes who would go to `segment_id`: to the oldest segment of the channel whose producer is gone, and
// which its group has not drained; else to `segment_id`. `group_in` is the group's index in a channel of this config, none if
// there is no such group.
SegmentId FirstUndrainedSegment(const ChannelFiles& files, const SegmentId& segment_id,
                                const std::function<std::optional<uint32_t>(const ChannelConfig&)>& group_in);

// True if nobody uses the segment, and nobody has to: its producer is gone, no consumer is attached, none that lives has a place
// kept in it, and every group has drained it. What cannot be opened for another reason than that it is missing or damaged is not abandoned.
bool IsAbandoned(const ChannelFiles& files, const SegmentId& segment_id);

// For a participant that has given its own locks back: removes the segment if it is abandoned; and whatever else is,
// and the anchor, if no producer holds the channel.
void LeaveChannel(const ChannelFiles& files, const SegmentId& segment_id);

}  // namespace pylabhub::shm

#endif  // PYLABHUB_SHM_CHANNEL_SUCCESSION_H_
