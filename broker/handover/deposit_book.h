// The memory that producers have deposited, and which consumer has which part of it.
//
//               Deposit            Collect              Leave                 Deposit (renewed)
//   kMissing ----------> kFree -----------> kGiven ------------> kRetired -----------------> kFree
//                  \       ^
//                   \      '--- Collect by the heir (after Open of a successor: kReserved, then kGiven)
//                    '--> kInUse: somebody has it, and it is not known who (after a restart of the broker)
//
// A part goes to one consumer, once: what somebody may still have mapped is never given to another consumer, until the producer
// has made it anew. A part of a group goes to each of its members. A consumer of a segment's predecessor gets the part of the same
// number; one of which it is not known which part it had may say so.
//
// What a producer leaves is kept for the next one, of the same identity, until that has made its deposit: it sees there who still
// reads, and keeps these places.
//
// A DepositBook checks nothing about descriptors (memory_check.h does), takes no lock and reads no clock. Channels that it was
// not told of by Open are no concern of its.
//
// Thread safety: thread-compatible.
// Ownership:     owns the descriptors that are deposited; what it gives are copies.
#ifndef PYLABHUB_BROKER_HANDOVER_DEPOSIT_BOOK_H_
#define PYLABHUB_BROKER_HANDOVER_DEPOSIT_BOOK_H_

#include <cstdint>
#include <limits>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "broker/channel_table.h"
#include "broker/channel_types.h"
#include "broker/handover/memory.h"

namespace pylabhub::broker {

// How many descriptors may be kept.
struct DepositBudget {
  size_t max_descriptors = 16'384;
  size_t max_descriptors_per_identity = 16'384;

  friend bool operator==(const DepositBudget&, const DepositBudget&) = default;
};

// The part that a consumer says it had.
struct PartClaim {
  std::string segment_id = {};  // empty: none
  uint32_t part = 0;
};

class DepositBook {
 public:
  // `retry_delay`: when to try again what cannot be had now, about a heartbeat interval.
  DepositBook(const DepositBudget& budget, absl::Duration retry_delay)
      : budget_(budget), retry_delay_(retry_delay) {}

  // The channel is registered as this says. With another segment than before, what was deposited of that is dropped, and its
  // consumers are the heirs of their parts. Told again, or something older, it changes nothing.
  void Open(const ChannelView& channel);

  // The channel is gone.
  void Forget(absl::string_view channel, uint64_t epoch);

  // Takes what the producer of `epoch` brings: with its data, all of the segment; without, parts that were retired. What comes
  // for a part that a consumer has is dropped.
  //
  // Errors:
  //   STALE_EPOCH      the channel was registered anew since, or is unknown
  //   DEPOSIT_REFUSED  what all of a segment must have is missing, or something is there twice
  //   LIMIT_EXCEEDED   the budget: of `hand_over_descriptors`, or `hand_over_descriptors_per_identity`
  absl::Status Deposit(absl::string_view channel, uint64_t epoch, std::vector<Memory> memories);

  struct Collected {
    std::string segment_id = {};
    std::vector<Memory> memories = {};  // data, bell, part
  };
  // What a consumer attaches to. It has the part from now on, also if it collects again: then another one. `revision` is the
  // channel's, with this consumer registered.
  //
  // Errors:
  //   NOT_DEPOSITED    the producer has not brought it
  //   LIMIT_EXCEEDED   no part is left (`hand_over_places`), or no descriptor
  //   INVALID_REQUEST  no such group; or there are several, and the consumer names none
  absl::StatusOr<Collected> Collect(absl::string_view channel, const ConsumerKey& consumer,
                                    const std::string& group, bool onlooker, uint64_t revision = 0,
                                    const PartClaim& claim = {});

  // Whether the memory of the channel's last producer waits for this one.
  bool HasPredecessor(absl::string_view channel) const;

  struct Inherited {
    std::string segment_id = {};
    std::vector<Memory> memories = {};  // data, bell, the parts that somebody has
    bool more = false;
  };
  // That memory, but for the first `skip` of it: at most `count`.
  //
  // Errors:
  //   NOT_DEPOSITED   there is none (any more)
  //   LIMIT_EXCEEDED  no room for descriptors
  absl::StatusOr<Inherited> Inherit(absl::string_view channel, size_t skip, size_t count) const;

  // The consumer is none any more, as of this revision of the channel. If its right was revoked, the producer is to move on. Told
  // late, when the same consumer has registered and collected again, it changes nothing.
  void Leave(absl::string_view channel, const ConsumerKey& consumer, bool revoked,
             uint64_t revision = std::numeric_limits<uint64_t>::max());

  // What the channel's producer has to do.
  struct Task {
    bool deposit_again = false;
    std::vector<uint32_t> retired_parts = {};
    bool move_on = false;
    std::vector<uint32_t> excepted_parts = {};

    bool needs_ticket() const { return deposit_again || !retired_parts.empty(); }
    bool empty() const { return !needs_ticket() && !move_on; }
  };
  Task TaskOf(absl::string_view channel) const;

  // The part that the consumer has, if it is known.
  std::optional<uint32_t> PartOf(absl::string_view channel, const ConsumerKey& consumer) const;

  // The channel's data; none if it is not here.
  handover::Descriptor DuplicateData(absl::string_view channel) const;

  size_t descriptor_count() const { return descriptor_count_; }
  size_t channel_count() const { return channels_.size(); }

 private:
  enum class PartState { kMissing, kFree, kReserved, kGiven, kRetired, kInUse };
  struct Part {
    PartState state = PartState::kMissing;
    std::string group = {};
    uint64_t size_bytes = 0;
    ConsumerKey owner = {};  // of kReserved (none: who claims it), kGiven, and of kRetired the last one
    handover::Descriptor descriptor = handover::Descriptor();
  };
  struct Place {
    uint32_t part = 0;
    uint64_t revision = 0;  // of the channel, when it was collected
  };
  struct Channel {
    std::string segment_id = {};
    uint64_t epoch = 0;
    std::string identity = {};
    Memory data = {};
    Memory bell = {.role = MemoryRole::kBell};
    std::map<uint32_t, Part> parts = {};
    // Which part a consumer has in this segment, or had in the one before.
    std::map<ConsumerKey, Place> places = {};
    // What the last producer left; its memory until this one's deposit.
    std::string predecessor_id = {};
    std::vector<Memory> predecessor = {};
    std::set<uint32_t> unclaimed_parts = {};  // of it: somebody had them, and it is not known who
    bool lacks_some = false;
    bool move_on = false;
    std::set<uint32_t> excepted_parts = {};

    bool is_deposited() const { return data.descriptor.is_open(); }
  };

  Channel* Find(absl::string_view channel);
  const Channel* Find(absl::string_view channel) const;
  absl::Status CheckRoom(const Channel& channel, size_t more) const;
  absl::Status DepositAll(const std::string& name, Channel& channel, std::vector<Memory> memories);
  void Put(Channel& channel, Memory part, bool all);
  void DropMemory(Channel& channel);
  void LeaveToSuccessor(Channel& channel);
  void DropPredecessor(Channel& channel);
  void Retire(Channel& channel, uint32_t part);
  absl::StatusOr<uint32_t> Choose(const std::string& name, Channel& channel, const ConsumerKey& consumer,
                                  const std::string& group, bool onlooker, const PartClaim& claim);
  absl::StatusOr<uint32_t> ChooseOfGroup(const std::string& name, const Channel& channel,
                                         const std::string& group) const;
  void Keep(Channel& channel, handover::Descriptor& kept, handover::Descriptor fresh);

  const DepositBudget budget_;
  const absl::Duration retry_delay_;
  std::map<std::string, Channel, std::less<>> channels_;
  std::map<std::string, size_t> descriptors_of_identity_;
  size_t descriptor_count_ = 0;
};

}  // namespace pylabhub::broker

#endif  // PYLABHUB_BROKER_HANDOVER_DEPOSIT_BOOK_H_
