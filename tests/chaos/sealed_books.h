// What the processes of a sealed scenario say where it outlives them, and what they ask of who deals the descriptors out.
#ifndef PYLABHUB_TESTS_CHAOS_SEALED_BOOKS_H_
#define PYLABHUB_TESTS_CHAOS_SEALED_BOOKS_H_

#include <cstdint>

#include "shm/segment_id.h"
#include "tests/chaos/crash_points.h"
#include "tests/chaos/ledger.h"
#include "tests/chaos/scenario.h"

namespace pylabhub::chaos {

inline constexpr uint32_t kSealedSegments = 16;
inline constexpr uint32_t kGuestPart = 1;

// Names of processes: the roles, and those who take the part of the dead.
inline constexpr int kSealedSuccessor = kRoles;
inline constexpr int kSealedReplacement = kRoles + 1;
inline constexpr int kSealedProcesses = kRoles + 2;

struct Books {
  // Of Desk::asks.
  static constexpr uint32_t kAsks = 1;
  static constexpr uint32_t kToldNone = 2;  // there will be none

  struct Segment {
    SegmentCell id;
    Cell<uint64_t> attempted;  // slots for which Commit was called
    Cell<uint64_t> confirmed;  // slots for which it said kOk
  };
  // One process's questions to who deals the descriptors out.
  struct Desk {
    Cell<uint32_t> asks;  // kAsks: for the segment after `after`, or for the newest if that is nil
    Cell<uint32_t> part;
    SegmentCell after;
    Text fault;
  };
  Cell<uint32_t> segments;
  Segment segment[kSealedSegments];
  Desk desk[kSealedProcesses];
  Cell<uint32_t> over;  // no producer comes any more
  Cell<uint64_t> delivered;
  Passings passings[kRoles];
};

}  // namespace pylabhub::chaos

#endif  // PYLABHUB_TESTS_CHAOS_SEALED_BOOKS_H_
