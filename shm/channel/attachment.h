// A consumer in one segment: everything that is replaced when it follows to the next.
//
// Thread safety: thread-compatible; belongs to the consumer's thread.
// Ownership:     owns the mappings and, by them, the lock on the consumer's place. It does not leave the place by itself: see
//                Leave, membership.h.
#ifndef PYLABHUB_SHM_CHANNEL_ATTACHMENT_H_
#define PYLABHUB_SHM_CHANNEL_ATTACHMENT_H_

#include <cstdint>
#include <optional>
#include <string>
#include <utility>

#include "shm/channel/membership.h"
#include "shm/channel/segment.h"
#include "shm/ring/group_claims.h"
#include "shm/ring/ring_reader.h"

namespace pylabhub::shm {

struct Attachment {
  OpenedSegment segment;
  Membership membership;
  uint32_t group;  // 1 + its index; 0: none
  RingReader reader;

  Attachment(OpenedSegment opened, const Membership& joined, const Applicant& applicant)
      : segment(std::move(opened)),
        membership(joined),
        group(applicant.group),
        reader(segment.data_view, joined.entry,
               {.place = joined.place,
                .order = applicant.order,
                .start = joined.start,
                .waited_for_without_end = IsWaitedForWithoutEnd(segment.data_view.config, applicant),
                .may_be_unheard = segment.control.handed_over(),
                .max_batch = applicant.max_batch,
                .max_pinned = joined.pins,
                .member = Member()}) {}

 private:
  std::optional<GroupMember> Member() const {
    if (group == 0) return std::nullopt;
    // A member's part is its group's.
    return GroupMember(segment.control.parts.front().view, group - 1, membership.place,
                       [this](uint32_t place) { return segment.ConsumerLives(place); });
  }
};

}  // namespace pylabhub::shm

#endif  // PYLABHUB_SHM_CHANNEL_ATTACHMENT_H_
