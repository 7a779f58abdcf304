// The named channels of this host, found without a broker by looking at their files.
//
// Looking disturbs nobody: it maps read-only, takes no lock, and trusts nothing that it reads.
#ifndef PYLABHUB_SHM_CHANNEL_DIRECTORY_H_
#define PYLABHUB_SHM_CHANNEL_DIRECTORY_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "shm/channel_config.h"
#include "shm/segment_id.h"

namespace pylabhub::shm {

struct NamedChannel {
  std::string channel;
  // OK, or why the rest could not be read (damaged, another version, another user's): then only `channel` is
  // set.
  absl::Status status;
  SegmentId segment_id;
  ChannelConfig config;
  bool producer_alive = false;   // the kernel's word
  bool producer_closed = false;  // it said so itself
  int64_t producer_pid = 0;      // for information: a number of the producer's pid namespace
  uint32_t consumer_count = 0;   // alive
  uint64_t committed_slots = 0;
  uint64_t segment_bytes = 0;  // of memory, data and control
};

// The channel of that name in `directory`, as ListNamedChannels describes it. Its status is kNotFound if there is none, and
// kInvalidArgument if that is no name.
NamedChannel FindNamedChannel(absl::string_view channel, absl::string_view directory = "/dev/shm");

// Every named channel in `directory`, by name. kUnavailable if the folder cannot be read.
absl::StatusOr<std::vector<NamedChannel>> ListNamedChannels(absl::string_view directory = "/dev/shm");

}  // namespace pylabhub::shm

#endif  // PYLABHUB_SHM_CHANNEL_DIRECTORY_H_
