// What a producer takes over from the ones before it: the consumers that still read what those left behind,
// each of whom finds its place kept in the new segment.
//
// A consumer keeps its place number through a channel's segments, and a random token says that it is the same
// consumer.
//
// Thread safety: thread-compatible.
#ifndef PYLABHUB_SHM_SUCCESSION_H_
#define PYLABHUB_SHM_SUCCESSION_H_

#include <cstdint>
#include <vector>

#include "shm/channel_files.h"
#include "shm/named_segment.h"
#include "shm/segment_id.h"

namespace pylabhub::shm {

class Succession {
 public:
  struct Heir {
    uint32_t place;
    uint64_t token;
    bool waited_for;  // it reads every slot
    size_t segment;   // where it lives, for HeirLives
  };

  // Looks at the segment `predecessor_id` (nil for none) and, for places that it still keeps itself, the one
  // before it.
  static Succession Of(const ChannelFiles& files, const SegmentId& predecessor_id);

  const std::vector<Heir>& heirs() const { return heirs_; }
  // The kernel's word.
  bool HeirLives(const Heir& heir) const { return segments_[heir.segment].ConsumerLives(heir.place); }

 private:
  void AddAttached(size_t segment);
  void AddExpected(const OpenedSegment& segment, size_t predecessor);
  void Add(uint32_t place, uint64_t token, size_t segment);

  std::vector<OpenedSegment> segments_;
  std::vector<Heir> heirs_;
};

}  // namespace pylabhub::shm

#endif  // PYLABHUB_SHM_SUCCESSION_H_
