// The channels as they stand when somebody begins to watch, read piece by piece: the directory's lock is never
// held for long, however many channels there are.
//
// The pieces are read at different moments, the first at `revision` or after it. So a channel may be read as it
// was after a change that the events after `revision` tell as well: IsTold says which of those are to be left out.
//
// Thread safety: thread-compatible. Read takes the directory's lock.
#ifndef PYLABHUB_BROKER_SNAPSHOT_READER_H_
#define PYLABHUB_BROKER_SNAPSHOT_READER_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "broker/channel_types.h"
#include "broker/directory.h"
#include "broker/watch_hub.h"

namespace pylabhub::broker {

class SnapshotReader {
 public:
  // Of the channels whose names match `filter`. `revision` is one that the directory had. `directory` outlives
  // this.
  SnapshotReader(Directory& directory, const WatchFilter& filter, uint64_t revision);

  // The next channels, in the order of names (of the patterns, if none has a wildcard). May be empty before
  // the end.
  std::vector<ChannelView> Read();

  bool at_end() const { return at_end_; }
  uint64_t revision() const { return revision_; }

  // Whether the snapshot told what `event` tells, or something later of the same channel.
  bool IsTold(const Event& event) const;
  // No event after this revision is told.
  uint64_t told_revision() const { return told_revision_; }

 private:
  std::vector<ChannelView> ReadByName();
  std::vector<ChannelView> ReadInOrder();

  Directory& directory_;
  const WatchFilter filter_;
  const uint64_t revision_;
  const bool by_name_;
  bool at_end_ = false;
  size_t next_pattern_ = 0;  // by_name_
  std::string after_name_;   // otherwise
  // Channels that changed after `revision`, before they were read.
  absl::flat_hash_map<std::string, uint64_t> later_;
  uint64_t told_revision_;
};

}  // namespace pylabhub::broker

#endif  // PYLABHUB_BROKER_SNAPSHOT_READER_H_
