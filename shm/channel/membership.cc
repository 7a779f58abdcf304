#include "shm/channel/membership.h"

#include <unistd.h>

#include <algorithm>
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/time/clock.h"
#include "shm/channel/starting_point.h"
#include "shm/os/crash_point.h"
#include "shm/os/futex.h"
#include "shm/os/kernel_lock.h"
#include "shm/ring/group_claims.h"

namespace pylabhub::shm {
namespace {

absl::Status AllPlacesTaken(const OpenedSegment& segment) {
  const ChannelConfig& config = segment.data_view.config;
  return absl::ResourceExhaustedError(
      absl::StrCat("channel '", config.channel, "' has all its ", config.max_consumers, " consumers (policy ",
                   NameOf(config.policy), "); end one, or create it with more max_consumers"));
}

// A producer that is idle does not give places up; the time that they are kept for is over all the same.
bool ReservationsAreOver(const DataView& view) {
  return absl::Now() > view.created + view.config.reservation_ttl;
}

const PlaceRecord& RecordOf(const OpenedSegment& segment, uint32_t place) {
  return segment.data_view.places()[place];
}

// A consumer has one part.
const ControlPart& OwnPart(const OpenedSegment& segment) { return segment.control.parts.front(); }

absl::StatusOr<bool> TryTake(const OpenedSegment& segment, uint32_t place) {
  const ControlPart& part = OwnPart(segment);
  return TryLockByte(part.memory.fd(), part.LockByteOf(place));
}

absl::StatusOr<uint32_t> TakePlace(const OpenedSegment& segment, const Applicant& applicant) {
  const ControlView& control = OwnPart(segment).view;
  if (applicant.keeps_place && control.has_place(applicant.place) &&
      RecordOf(segment, applicant.place).Expected() == applicant.token) {
    const absl::StatusOr<bool> taken = TryTake(segment, applicant.place);
    if (!taken.ok()) return taken.status();
    if (*taken) return applicant.place;
  }
  const bool over = ReservationsAreOver(segment.data_view);
  for (uint32_t place = control.first_place(); place < control.end_place(); ++place) {
    if (!over && RecordOf(segment, place).Expected() != kNotReserved) continue;
    const absl::StatusOr<bool> taken = TryTake(segment, place);
    if (!taken.ok()) return taken.status();
    if (*taken) return place;
  }
  return AllPlacesTaken(segment);
}

// A chunk that the producer might write over is pinned while it is read.
uint32_t PinsNeeded(const OpenedSegment& segment, const Applicant& applicant) {
  const DataView& view = segment.data_view;
  // What a member of a group has claimed stays until it is done.
  if (view.geometry.inline_payloads() || applicant.group != 0) return 0;
  if (!IsWaitedForWithoutEnd(view.config, applicant)) return applicant.max_batch;
  // Whom the producer may not hear holds no more than it has pins for, until its place is acknowledged.
  if (segment.control.handed_over())
    return std::min({applicant.max_batch, view.config.max_pins, kPinsPerConsumer});
  // Who begins behind head is not waited for until the producer knows of it.
  const bool starts_behind = !applicant.keeps_place && applicant.start.at != JoinPoint::At::kNewest;
  return starts_behind ? applicant.max_batch : 0;
}

// Pins that the others declare, as far as the producer knows of them: who was handed a part does not see theirs.
uint32_t CountAcknowledgedPins(const DataView& view, uint32_t own_place) {
  const std::span<const PlaceRecord> places = view.places();
  uint32_t pins = 0;
  for (uint32_t place = 0; place < places.size(); ++place) {
    const bool there = places[place].acknowledged_state.load(std::memory_order_acquire) != 0;
    if (there && place != own_place) pins += places[place].pins.load(std::memory_order_relaxed);
  }
  return pins;
}

// Pins that others who live declare.
uint32_t CountPins(const OpenedSegment& segment, uint32_t own_place) {
  if (segment.control.handed_over()) return CountAcknowledgedPins(segment.data_view, own_place);
  const ControlView& control = OwnPart(segment).view;
  uint32_t pins = 0;
  for (uint32_t place = 0; place < control.max_consumers(); ++place) {
    // Another consumer's to write, so it is input.
    const uint32_t declared =
        std::min(control.entry(place).pins_declared.load(std::memory_order_seq_cst), kPinsPerConsumer);
    if (declared != 0 && place != own_place && segment.ConsumerLives(place)) pins += declared;
  }
  return pins;
}

void AnnounceChange(const Control& control) {
  std::atomic<uint64_t>& bell = control.bell_word();
  if (control.handed_over()) {
    // Before the bell: who rings it has changed something.
    control.parts.front().view.header->membership_changes.fetch_add(1, std::memory_order_seq_cst);
    PYLABHUB_CRASH_POINT("membership.part_counted");
  }
  // Sequentially consistent, edge J: a full fence between the entry and the joiner's look at head.
  bell.fetch_add(1, std::memory_order_seq_cst);
  PYLABHUB_CRASH_POINT("membership.change_counted");
  FutexWakeAll(LowHalf(bell));
  PYLABHUB_CRASH_POINT("membership.change_told");
}

// A group's part is for its members; any other for somebody who reads for itself.
absl::Status CheckPart(const OpenedSegment& segment, const Applicant& applicant) {
  if (!segment.control.handed_over()) return absl::OkStatus();
  const ControlShape& shape = OwnPart(segment).view.shape;
  const uint32_t group = shape.group_count == 0 ? 0 : shape.first_group + 1;
  if (group == applicant.group) return absl::OkStatus();
  const auto name = [&](uint32_t index) {
    return index == 0 ? std::string("no group")
                      : absl::StrCat("group '", segment.data_view.config.groups[index - 1], "'");
  };
  return absl::FailedPreconditionError(absl::StrCat("channel '", segment.data_view.config.channel,
                                                    "': the part that was handed over is for ", name(group),
                                                    ", and this consumer is in ", name(applicant.group)));
}

// A part that was replaced is one that the producer does not look at any more.
absl::Status CheckNotRenewed(const OpenedSegment& segment, uint32_t place) {
  const uint64_t cut_off = RecordOf(segment, place).cut_off_state.load(std::memory_order_acquire);
  if (RenewalsOf(cut_off) <= OwnPart(segment).view.shape.renewals) return absl::OkStatus();
  return absl::FailedPreconditionError(
      absl::StrCat("channel '", segment.data_view.config.channel,
                   "': the part that was handed over has been replaced; ask for another one"));
}

absl::Status CheckMember(const Applicant& applicant) {
  if (applicant.group == 0) return absl::OkStatus();
  if (applicant.start.at == JoinPoint::At::kSequence) {
    return absl::InvalidArgumentError(
        "a member of a group begins with what its group has not read; leave out the start");
  }
  if (applicant.when_slow != WhenSlow::kBlock) {
    return absl::InvalidArgumentError("groups are waited for, however slow; leave out when_slow");
  }
  return absl::OkStatus();
}

absl::Status CheckApplicant(const OpenedSegment& segment, const Applicant& applicant) {
  const DataView& view = segment.data_view;
  if (absl::Status status = CheckMember(applicant); !status.ok()) return status;
  if (absl::Status status = CheckPart(segment, applicant); !status.ok()) return status;
  if (PinsNeeded(segment, applicant) > kPinsPerConsumer) {
    return absl::InvalidArgumentError(absl::StrCat("max_batch must be at most ", kPinsPerConsumer,
                                                   " for large slots that the producer might write over"));
  }
  const uint64_t head = view.header->progress.head.load(std::memory_order_acquire);
  if (applicant.start.at == JoinPoint::At::kSequence && !applicant.keeps_place &&
      applicant.start.sequence > head) {
    return absl::OutOfRangeError(absl::StrCat("channel '", view.config.channel, "' has no slot ",
                                              applicant.start.sequence, " yet: the next one is ", head));
  }
  return absl::OkStatus();
}

// Everything that the consumer says about itself, while nobody counts it.
void WriteEntry(ConsumerEntry& entry, const Applicant& applicant) {
  entry.token.store(applicant.token, std::memory_order_relaxed);
  PYLABHUB_CRASH_POINT("join.token_written");
  entry.wait_state.store(kNotYet, std::memory_order_relaxed);
  PYLABHUB_CRASH_POINT("join.not_yet_said");
  entry.order.store(static_cast<uint32_t>(applicant.order), std::memory_order_relaxed);
  PYLABHUB_CRASH_POINT("join.order_written");
  entry.when_slow.store(static_cast<uint32_t>(applicant.when_slow), std::memory_order_relaxed);
  PYLABHUB_CRASH_POINT("join.when_slow_written");
  entry.patience_ns.store(absl::ToInt64Nanoseconds(applicant.patience), std::memory_order_relaxed);
  PYLABHUB_CRASH_POINT("join.patience_written");
  entry.group.store(applicant.group, std::memory_order_relaxed);
  PYLABHUB_CRASH_POINT("join.group_written");
  entry.pid.store(getpid(), std::memory_order_relaxed);
  PYLABHUB_CRASH_POINT("join.pid_written");
  for (std::atomic<uint64_t>& pin : entry.pins) pin.store(0, std::memory_order_relaxed);
  PYLABHUB_CRASH_POINT("join.pins_cleared");
  for (std::atomic<uint64_t>* counter :
       {&entry.received_slots, &entry.received_bytes, &entry.missed_slots, &entry.waits, &entry.sleeps,
        &entry.corrupt_slots, &entry.redelivered_slots}) {
    counter->store(0, std::memory_order_relaxed);
  }
  PYLABHUB_CRASH_POINT("join.counters_cleared");
}

absl::Status DeclarePins(const OpenedSegment& segment, const Applicant& applicant, uint32_t place) {
  const uint32_t pins = PinsNeeded(segment, applicant);
  std::atomic<uint32_t>& declared = OwnPart(segment).view.entry(place).pins_declared;
  declared.store(pins, std::memory_order_seq_cst);
  PYLABHUB_CRASH_POINT("join.pins_declared");
  const ChannelConfig& config = segment.data_view.config;
  if (pins == 0 || pins + CountPins(segment, place) <= config.max_pins) return absl::OkStatus();
  declared.store(0, std::memory_order_relaxed);
  PYLABHUB_CRASH_POINT("join.refused.pins_withdrawn");
  return absl::ResourceExhaustedError(
      absl::StrCat("channel '", config.channel, "' has all its ", config.max_pins,
                   " pins for large slots declared; this consumer needs ", pins,
                   "; end one, or create the channel with more max_pins"));
}

}  // namespace

absl::StatusOr<uint32_t> ChooseGroup(const ChannelConfig& config, ReadOrder order,
                                     const std::optional<std::string>& name) {
  const std::vector<std::string>& groups = config.groups;
  if (groups.empty() && name.has_value()) {
    return absl::NotFoundError(absl::StrCat(
        "channel '", config.channel, "' has no group '", *name, "': its policy is ", NameOf(config.policy),
        "; leave the group out, or create the channel with policy pipeline"));
  }
  // Who reads the latest only looks on.
  if (groups.empty() || order == ReadOrder::kLatest) return 0;
  if (!name.has_value() && groups.size() > 1) {
    return absl::InvalidArgumentError(absl::StrCat("channel '", config.channel, "' has the groups ",
                                                   absl::StrJoin(groups, ", "),
                                                   "; say which one this consumer is to share the work of"));
  }
  const auto found = name.has_value() ? std::find(groups.begin(), groups.end(), *name) : groups.begin();
  if (found == groups.end()) {
    return absl::NotFoundError(absl::StrCat("channel '", config.channel, "' has no group '", *name,
                                            "'; it has ", absl::StrJoin(groups, ", ")));
  }
  return static_cast<uint32_t>(found - groups.begin()) + 1;
}

bool IsWaitedForWithoutEnd(const ChannelConfig& config, const Applicant& applicant) {
  return IsLossless(config.policy) && applicant.order == ReadOrder::kNext &&
         applicant.when_slow == WhenSlow::kBlock && config.max_patience == absl::InfiniteDuration();
}

absl::StatusOr<Membership> Join(const OpenedSegment& segment, const Applicant& applicant) {
  const DataView& view = segment.data_view;
  if (absl::Status status = CheckApplicant(segment, applicant); !status.ok()) return status;
  const absl::StatusOr<uint32_t> place = TakePlace(segment, applicant);
  if (!place.ok()) return place.status();
  PYLABHUB_CRASH_POINT("join.place_locked");
  const bool was_kept = RecordOf(segment, *place).Expected() == applicant.token;
  if (absl::Status status = CheckNotRenewed(segment, *place); !status.ok()) return status;
  const ControlView& control = OwnPart(segment).view;
  ConsumerEntry& entry = control.entry(*place);
  const std::atomic<uint64_t>& head = view.header->progress.head;

  // Before anything else: what the last holder of the place has claimed would look as if it were this one's.
  ReopenPlace(control, *place);
  const uint32_t renewals = control.shape.renewals;
  const uint64_t uses = UsesOf(entry.state.load(std::memory_order_relaxed)) + 1;
  entry.state.store(StateOf(uses, Phase::kJoining, renewals), std::memory_order_release);
  PYLABHUB_CRASH_POINT("join.joining");
  WriteEntry(entry, applicant);
  if (absl::Status status = DeclarePins(segment, applicant, *place); !status.ok()) {
    UnlockByte(OwnPart(segment).memory.fd(), OwnPart(segment).LockByteOf(*place));
    PYLABHUB_CRASH_POINT("join.refused.unlocked");
    return status;
  }
  entry.cursor.store(LowestStart(view, applicant, was_kept, head.load(std::memory_order_relaxed)),
                     std::memory_order_relaxed);
  PYLABHUB_CRASH_POINT("join.first_cursor_written");
  entry.state.store(StateOf(uses, Phase::kActive, renewals), std::memory_order_release);
  PYLABHUB_CRASH_POINT("join.active");
  AnnounceChange(segment.control);

  // Sequentially consistent, edge J.
  const StartingPoint start =
      ChooseStart(view, applicant, *place, was_kept, head.load(std::memory_order_seq_cst));
  PYLABHUB_CRASH_POINT("join.start_chosen");
  entry.cursor.store(start.sequence, std::memory_order_release);
  PYLABHUB_CRASH_POINT("join.cursor_written");
  // Release: pairs with CountSettled. A producer that waits for its first consumers may write only now: had it written
  // before the look at head above, this consumer would have started behind that slot.
  entry.wait_state.store(kAwake, std::memory_order_release);
  PYLABHUB_CRASH_POINT("join.settled");
  AnnounceChange(segment.control);
  return Membership{.place = *place,
                    .entry = &entry,
                    .start = start,
                    .pins = entry.pins_declared.load(std::memory_order_relaxed)};
}

void Leave(const OpenedSegment& segment, const Membership& membership) {
  ConsumerEntry& entry = *membership.entry;
  PYLABHUB_CRASH_POINT("leave.begun");
  for (std::atomic<uint64_t>& pin : entry.pins) pin.store(0, std::memory_order_release);
  PYLABHUB_CRASH_POINT("leave.pins_cleared");
  // Release: who counts these pins no more sees them gone.
  entry.pins_declared.store(0, std::memory_order_release);
  PYLABHUB_CRASH_POINT("leave.pins_withdrawn");
  const uint64_t state = entry.state.load(std::memory_order_relaxed);
  entry.state.store(StateOf(UsesOf(state), Phase::kLeft, RenewalsOf(state)), std::memory_order_release);
  PYLABHUB_CRASH_POINT("leave.left");
  AnnounceChange(segment.control);
  FutexWakeAll(LowHalf(entry.cursor));
  PYLABHUB_CRASH_POINT("leave.producer_told");
}

}  // namespace pylabhub::shm
