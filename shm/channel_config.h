// What a producer decides when it creates a channel: its name, how many slots of which size, and what happens
// to a slot that a consumer has not read yet.
//
// Thread safety: value types; thread-compatible.
#ifndef PYLABHUB_SHM_CHANNEL_CONFIG_H_
#define PYLABHUB_SHM_CHANNEL_CONFIG_H_

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "shm/schema.h"

namespace pylabhub::shm {

inline constexpr uint32_t kMaxCapacitySlots = 65'536;
inline constexpr uint64_t kMaxSlotBytes = uint64_t{1} << 30;
inline constexpr uint32_t kMaxConsumers = 1'024;
inline constexpr uint64_t kMaxZoneBytes = uint64_t{16} << 20;

enum class Policy : uint8_t {
  kLatestOnly = 1,  // the writer never waits; consumers jump to the newest slot
  kPublishSubscribe =
      2,  // the writer never waits; consumers read in order and are told how many slots they missed
  kSingleReader = 3,  // nothing is lost; one consumer
  kSyncReader = 4,    // nothing is lost; the writer waits for the slowest of its consumers
  // Nothing is lost; the consumers of a group share the work. Each slot goes to one of them, and again to another if that
  // one dies before it releases it. Slots wait for members, up to the capacity; then the writer does.
  kPipeline = 5,
};

// "sync_reader" for kSyncReader and so on.
absl::string_view NameOf(Policy policy);
// The policy of that name, or none.
std::optional<Policy> PolicyFromName(absl::string_view name);
// True where the writer waits rather than overwrite what a consumer has not read.
bool IsLossless(Policy policy);

enum class Buffering : uint8_t {
  kSingle = 1,        // capacity 1
  kDoubleBuffer = 2,  // capacity 2
  kRingBuffer = 3,    // capacity 2 to 65,536
};

// What guards a payload's bytes. A checksum is XXH3 with 64 bits, over the bytes that were committed.
enum class Checksum : uint8_t {
  kNone = 1,
  kManual = 2,    // the producer adds one where it wants to, and the consumer verifies where it wants to
  kEnforced = 3,  // each slot has one; a slot that fails is reported once (kCorrupt), counted and skipped
};

// What a lossless producer does about a consumer that has held it up for as long as that one's patience lasts.
enum class WhenSlow : uint8_t {
  kBlock = 1,        // waits on
  kDropBacklog = 2,  // writes on; the consumer goes on with what is there, and is told what it missed
  kCutOff = 3,       // writes on; the consumer is told so, and gets nothing any more
};

struct ChannelConfig {
  std::string channel = {};  // [a-z0-9._-]{1,128}
  Policy policy = Policy::kSyncReader;
  Buffering buffering = Buffering::kRingBuffer;
  uint32_t capacity_slots =
      0;                    // committed slots kept; 0: 1 for kSingle, 2 for kDoubleBuffer, 64 for kRingBuffer
  uint64_t slot_bytes = 0;  // the largest payload, 1 to 1 GiB; 0: the schema's record_bytes
  Schema schema = Schema::Opaque();
  uint32_t max_consumers = 0;  // places, 1 to 1,024; 0: 1 for kSingleReader, else 64
  // Slots of more than 1 KiB that consumers which are not waited for may hold at once, each of one slot_bytes
  // of memory; 0: max_consumers, but no more than 8 (2 with a lossless policy and endless patience).
  uint32_t max_pins = 0;
  // kPipeline only: names of 1 to 31 characters as channels have them, at most 8; none: "workers". Each group gets every
  // slot.
  std::vector<std::string> groups = {};
  // The first Acquire waits until so many consumers are attached: what is written before nobody looks is
  // lost.
  uint32_t min_consumers = 0;
  // How long a successor keeps the place of a consumer that lives but has not moved on from the predecessor.
  absl::Duration reservation_ttl = absl::Seconds(5);
  // Lossless policies: no consumer that lives, but holds the producer up, is waited for longer than this, whatever its own
  // patience. Consumers that say kBlock are then dropped as by kDropBacklog, and groups are waited for all the same.
  absl::Duration max_patience = absl::InfiniteDuration();
  Checksum checksum = Checksum::kNone;
  // The flexible zone: data that changes slowly, beside the slots (zone.h). Its size, at most 16 MiB; 0: one record of
  // zone_schema; none if that is opaque too.
  uint64_t zone_bytes = 0;
  Schema zone_schema = Schema::Opaque();
  // The folder of the channel's files; it must be a tmpfs that every participant sees.
  std::string directory = "/dev/shm";
  // Set: members of this group may consume too (files 0640 and 0660 instead of 0600).
  std::optional<gid_t> unix_group = std::nullopt;

  // A copy with every 0 above replaced by its default.
  ChannelConfig WithDefaults() const;
  // OK, or kInvalidArgument with the member that is wrong and the mend. Expects what WithDefaults returned.
  absl::Status Validate() const;
};

// OK, or kInvalidArgument with the rule.
absl::Status ValidateChannelName(absl::string_view channel);

// How a handle waits: it spins for `spin`, then sleeps in the kernel until it is woken. The default is about
// the time that a wake takes. Zero never spins; InfiniteDuration never sleeps, and keeps a core busy.
struct WaitOptions {
  absl::Duration spin = absl::Microseconds(10);
};

}  // namespace pylabhub::shm

#endif  // PYLABHUB_SHM_CHANNEL_CONFIG_H_
