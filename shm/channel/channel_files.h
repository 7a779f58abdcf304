// The files of a named channel: their names, who may own them, and the calls that open, create and remove
// them.
//
//   pylabhub.CHANNEL.anchor                     which segment is current (shm/channel/anchor.h)
//   pylabhub.CHANNEL.SEGMENT_ID.data            written by the producer alone
//   pylabhub.CHANNEL.SEGMENT_ID.control         an entry for each consumer
//
// /dev/shm is everybody's to write in, so a file that is there need not be what it says: only regular files
// of this user, of root, or shared with a group of this process are opened, and no symbolic link is followed.
//
// Thread safety: thread-safe.
#ifndef PYLABHUB_SHM_CHANNEL_CHANNEL_FILES_H_
#define PYLABHUB_SHM_CHANNEL_CHANNEL_FILES_H_

#include <sys/types.h>

#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "shm/os/fork_guard.h"
#include "shm/os/mapping.h"
#include "shm/segment_id.h"

namespace pylabhub::shm {

class ChannelFiles {
 public:
  // `channel` is a valid name.
  ChannelFiles(absl::string_view directory, absl::string_view channel);

  const std::string& directory() const { return directory_; }
  const std::string& channel() const { return channel_; }
  std::string AnchorPath() const;
  std::string DataPath(const SegmentId& segment_id) const;
  std::string ControlPath(const SegmentId& segment_id) const;

  // The segments of the channel that have a data or a control file, current or not.
  std::vector<SegmentId> ListSegments() const;
  // True if there is a file of that name, whatever it is.
  bool Exist(const SegmentId& segment_id) const;  // either of the two
  bool AnchorExists() const;
  // Removes both files of a segment. Those who have them mapped keep them. Errors are not reported: somebody
  // else may have removed them, or may have to.
  void RemoveSegment(const SegmentId& segment_id) const;

 private:
  std::string directory_;
  std::string channel_;
  std::string prefix_;
};

// The channels that have an anchor in `directory`, sorted. kUnavailable if it cannot be read.
absl::StatusOr<std::vector<std::string>> ListAnchoredChannels(absl::string_view directory);

// What lies in `directory` under names that begin as a channel's, sorted: channels that have a file, and names that no file
// of a channel has. kUnavailable if it cannot be read.
struct FolderContents {
  std::vector<std::string> channels;
  std::vector<std::string> others;
};
absl::StatusOr<FolderContents> ListFolder(absl::string_view directory);

// The channel whose AnchorPath is `path`; empty if it is no such path.
std::string ChannelOfAnchor(absl::string_view path);

// Opens a file of a channel. kNotFound if it is not there, kPermissionDenied if it may not be opened or
// trusted.
absl::StatusOr<UniqueFd> OpenChannelFile(const std::string& path, Access access);

// Creates a file that must not exist yet (kAlreadyExists), with `mode` whatever the umask is; with a group,
// for it.
absl::StatusOr<UniqueFd> CreateChannelFile(const std::string& path, mode_t mode, std::optional<gid_t> group);

// Gives a file to `group`, if any, and sets its mode, whatever the umask is. False, with errno, for somebody else's.
bool SetModeIfOwner(int fd, mode_t mode, std::optional<gid_t> group);

// The two modes of a channel's files: for its producer's user alone, or with a group that may read or write
// too.
inline constexpr mode_t kPrivateMode = 0600;
inline constexpr mode_t kGroupReadMode = 0640;
inline constexpr mode_t kGroupWriteMode = 0660;

}  // namespace pylabhub::shm

#endif  // PYLABHUB_SHM_CHANNEL_CHANNEL_FILES_H_
