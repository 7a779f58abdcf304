// What lies in a folder of channels, current or left over, whether it is sound, and what of it nobody needs any more.
//
// Looking maps read-only, takes no lock and changes nothing. Removing holds the locks of a participant that leaves, asks
// the kernel about every participant at that moment, and touches nothing that somebody alive holds or waits for: a process
// that is stopped is alive. Sealed channels have no files; nothing is ever left of them.
//
// Thread safety: thread-safe.
#ifndef PYLABHUB_SHM_DIAGNOSIS_H_
#define PYLABHUB_SHM_DIAGNOSIS_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "shm/metrics.h"
#include "shm/segment_id.h"

namespace pylabhub::shm {

struct SegmentReport {
  std::string channel = {};
  SegmentId segment_id = {};
  bool current = false;    // the anchor names it
  bool abandoned = false;  // nobody lives in it, or waits for its place in it
  // OK, or why it cannot be read (damaged, another version, another user's): then there are no `metrics`.
  absl::Status status = {};
  ChannelMetrics metrics = {};
  std::vector<std::string> problems = {};  // in words; a healthy segment has none
};

// A file, or files, that no report of a segment speaks of.
struct FileReport {
  std::string path = {};
  std::string what = {};
  bool abandoned = false;  // ours, and of no use to anybody
};

struct Diagnosis {
  std::vector<SegmentReport> segments;  // by channel, the current one first
  std::vector<FileReport> files;

  bool healthy() const;
};

struct DiagnosisOptions {
  // Compares every payload in a ring with its checksum, where the channel has them; that reads all this memory.
  bool verify_checksums = false;
};

// Looks at everything in `directory` whose name begins as a channel's. kUnavailable if it cannot be read.
absl::StatusOr<Diagnosis> Diagnose(absl::string_view directory = "/dev/shm",
                                   const DiagnosisOptions& options = {});

// Something that `Diagnose` found abandoned, to be shown before it is removed.
struct Leftover {
  std::string channel = {};
  SegmentId segment_id = {};  // nil: the channel's anchor alone
  std::string what = {};      // in words
};
std::vector<Leftover> LeftoversOf(const Diagnosis& diagnosis);

// Removes the leftover if it is one still; false if somebody lives there by now, if a producer that holds the channel may be
// at work on it, or if it may not be removed.
bool RemoveLeftover(absl::string_view directory, const Leftover& leftover);

}  // namespace pylabhub::shm

#endif  // PYLABHUB_SHM_DIAGNOSIS_H_
