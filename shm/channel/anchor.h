// A channel's anchor: the one file that stays while segments come and go, and says which of them is current.
//
// The producer holds the lock on its byte 0 for life, from before it creates anything: of two that start at
// once, one wins. Participants that leave take turns on byte 1, look who is left, and the last one removes
// the anchor with both locks held; a producer that locked a file without the name starts again with the one
// that has it.
//
// Thread safety: thread-compatible.
// Ownership:     owns its mapping, and the lock where it took it.
#ifndef PYLABHUB_SHM_CHANNEL_ANCHOR_H_
#define PYLABHUB_SHM_CHANNEL_ANCHOR_H_

#include <sys/types.h>

#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "shm/channel/channel_files.h"
#include "shm/os/futex.h"
#include "shm/os/mapping.h"
#include "shm/segment/layout.h"
#include "shm/segment_id.h"

namespace pylabhub::shm {

class Anchor {
 public:
  // Takes the lock; creates the file if it is not there. kAlreadyExists if a live producer holds it.
  static absl::StatusOr<Anchor> Lock(const ChannelFiles& files, std::optional<gid_t> group);
  // Opens it to look. kNotFound if there is none, kFailedPrecondition if it is not an anchor of this version.
  static absl::StatusOr<Anchor> Open(const ChannelFiles& files);

  // The current segment, nil if there was none yet; and a number that changes with it.
  struct Current {
    SegmentId segment_id;
    uint32_t publications;
  };
  Current Read() const;
  // True while a producer holds the lock, from before its segment is created until it is gone.
  bool IsLocked() const;
  // Sleeps until the current segment is another one than `seen` says, at most `timeout`. May return early.
  void WaitForChange(const Current& seen, absl::Duration timeout) const;
  // The word that changes with the current segment, and what it holds now: for waiting on other words too.
  FutexWord word() const;
  // False if the file has been removed, or another one has its name by now.
  bool HasItsName() const;

  // For the holder of the lock: makes `segment_id` current, in one step, and wakes those who wait for it.
  void Publish(const SegmentId& segment_id);

  // Takes the turn of a participant that leaves, waiting for the one before it; nothing if this user may not
  // change the channel's files. Given back with the Anchor.
  static absl::StatusOr<Anchor> TakeTurn(const ChannelFiles& files);
  // For the holder of the turn: false if a producer holds the channel; else none can begin before this Anchor is
  // gone.
  bool TryLockAsProducer() const;
  // For the holder of the turn and of that lock: removes the file.
  void Remove() const;

  // True if somebody holds any lock on the channel's anchor, or if that cannot be told.
  static bool IsHeld(const ChannelFiles& files);
  // Removes an anchor that leads nowhere, damaged or not. False if somebody holds it, or if it may not be removed.
  static bool RemoveIfUnheld(const ChannelFiles& files);

 private:
  Anchor(std::string path, Mapping mapping) : path_(std::move(path)), mapping_(std::move(mapping)) {}
  AnchorBlock* block() const { return reinterpret_cast<AnchorBlock*>(mapping_.base()); }

  std::string path_;
  Mapping mapping_;
};

}  // namespace pylabhub::shm

#endif  // PYLABHUB_SHM_CHANNEL_ANCHOR_H_
