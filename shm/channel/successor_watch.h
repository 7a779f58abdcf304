// Looks out for the next producer of a channel whose producer is gone.
//
// Thread safety: thread-compatible.
#ifndef PYLABHUB_SHM_CHANNEL_SUCCESSOR_WATCH_H_
#define PYLABHUB_SHM_CHANNEL_SUCCESSOR_WATCH_H_

#include <optional>
#include <utility>

#include "shm/channel/anchor.h"
#include "shm/channel/channel_files.h"
#include "shm/os/futex.h"
#include "shm/segment_id.h"

namespace pylabhub::shm {

class SuccessorWatch {
 public:
  // Without files: a segment that was handed over has no anchor, and who hands the next one over says so himself.
  explicit SuccessorWatch(std::optional<ChannelFiles> files) : files_(std::move(files)) {}

  // True if the anchor is not open yet, or its file is another one by now. A few system calls.
  bool IsStale() const { return files_.has_value() && (!anchor_.has_value() || !anchor_->HasItsName()); }
  // Opens the anchor, if there is one. The word of the one before goes away, as with Close.
  void Reopen();
  void Close() { anchor_.reset(); }

  // The channel's current segment; nil if that is not known.
  SegmentId Current() const { return anchor_.has_value() ? anchor_->Read().segment_id : SegmentId{}; }
  // The word that changes with it. None without an anchor.
  std::optional<FutexWord> word() const;

 private:
  std::optional<ChannelFiles> files_;
  std::optional<Anchor> anchor_;
};

}  // namespace pylabhub::shm

#endif  // PYLABHUB_SHM_CHANNEL_SUCCESSOR_WATCH_H_
