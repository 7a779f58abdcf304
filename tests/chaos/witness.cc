#include "tests/chaos/witness.h"

#include <unistd.h>

#include <algorithm>
#include <fstream>

#include "absl/strings/str_cat.h"
#include "tests/chaos/payload.h"

namespace pylabhub::chaos {

namespace {

// How long a process takes to die after the kernel has dropped its locks, at the most.
constexpr int64_t kDyingNs = 1'000'000'000;

bool HasEnded(int32_t pid) {
  std::ifstream stat(absl::StrCat("/proc/", pid, "/stat"));
  std::string number;
  std::string name;
  char state = 'X';
  stat >> number >> name >> state;
  return state == 'X' || state == 'Z';
}

bool IsDead(int32_t pid) {
  for (const int64_t deadline_ns = NowNanos() + kDyingNs; NowNanos() < deadline_ns; usleep(100)) {
    if (HasEnded(pid)) return true;
  }
  return false;
}

}  // namespace

Witness::Witness(Ledger& ledger, ConsumerRecord& record, const shm::ChannelConfig& config,
                 const shm::ConsumerOptions& options)
    : ledger_(ledger),
      record_(record),
      lossless_(shm::IsLossless(config.policy) && config.policy != shm::Policy::kPipeline &&
                options.order == shm::ReadOrder::kNext && options.when_slow == shm::WhenSlow::kBlock),
      latest_(options.order == shm::ReadOrder::kLatest),
      shared_(config.policy == shm::Policy::kPipeline && !latest_),
      capacity_slots_(config.capacity_slots) {
  record_.pid.store(getpid());
}

void Witness::Fault(const std::string& what) { record_.fault.Say(what); }

void Witness::Lose(uint64_t slots, const std::string& why) {
  if (slots == 0) return;
  record_.lost.add(slots);
  Fault(absl::StrCat("lost ", slots, " of generation ", generation_, ": ", why));
}

uint32_t Witness::GenerationOf(const shm::SegmentId& segment_id) const {
  for (uint32_t generation = ledger_.producers.load(); generation > 0; --generation) {
    const ProducerRecord& producer = ledger_.of_generation(generation);
    if (producer.created_ns.load() != 0 && producer.segment_id.load() == segment_id) return generation;
  }
  return 0;
}

bool Witness::JoinedBehind(uint32_t generation) const {
  return record_.opened_ns.load() > ledger_.of_generation(generation).create_began_ns.load();
}

void Witness::Opened(const shm::SegmentId& segment_id) {
  record_.opened_ns.store(NowNanos());
  segment_id_ = segment_id;
  record_.segment_id.store(segment_id);
  // A producer says which segment is its own before it writes to it.
  const uint32_t generation = GenerationOf(segment_id);
  newest_at_open_ = generation == 0 ? 0 : ledger_.of_generation(generation).attempted.load();
  record_.position.store(newest_at_open_);
}

void Witness::Followed(const shm::SegmentId& segment_id) {
  segment_id_ = segment_id;
  record_.segment_id.store(segment_id);
  first_segment_ = false;
  first_in_segment_ = true;
  corrupt_since_ = 0;
  next_ = 0;
  zone_version_ = 0;
  record_.position.store(0);
}

void Witness::Delivered(const shm::SlotView& slot) {
  CheckContent(slot);
  if (shared_) {
    CheckTurn(slot);
  } else {
    CheckNumber(slot);
  }
  next_ = slot.sequence + 1;
  first_in_segment_ = false;
  corrupt_since_ = 0;
  record_.delivered.add(1);
  record_.progress_ns.store(NowNanos());
}

void Witness::CheckContent(const shm::SlotView& slot) {
  const std::optional<PayloadId> id = ReadPayload(slot.payload);
  const bool as_numbered = id.has_value() && !id->aborted && id->sequence == slot.sequence;
  if (as_numbered && first_in_segment_) EnterGeneration(id->generation);
  if (as_numbered && id->generation == generation_) return;
  record_.torn.add(1);
  Fault(absl::StrCat("slot ", slot.sequence, " of generation ", generation_, " holds ",
                     !id.has_value() ? std::string("what nobody wrote")
                                     : absl::StrCat(id->aborted ? "aborted " : "", "slot ", id->sequence,
                                                    " of generation ", id->generation)));
}

void Witness::EnterGeneration(uint32_t generation) {
  if (generation <= generation_) {
    record_.duplicated.add(1);
    Fault(absl::StrCat("generation ", generation, " after ", generation_));
    return;
  }
  // Those in between wrote nothing, or died before anybody could see their segment; or they were passed over.
  for (uint32_t between = generation_ + 1; !first_segment_ && lossless_ && between < generation; ++between) {
    const uint64_t confirmed = ledger_.of_generation(between).confirmed.load();
    if (!JoinedBehind(between)) Lose(confirmed, absl::StrCat("generation ", between, " was passed over"));
  }
  generation_ = generation;
  record_.idle_since_ns.store(record_.released_ns.load());
  record_.entered_ns.store(NowNanos());
  record_.generation.store(generation);
}

void Witness::CheckNumber(const shm::SlotView& slot) {
  const uint64_t sequence = slot.sequence;
  const uint64_t missed = slot.missed_slots - std::min(slot.missed_slots, corrupt_since_);
  if (sequence < next_ || slot.missed_slots > sequence) {
    record_.duplicated.add(1);
    Fault(absl::StrCat("slot ", sequence, " came after ", next_, ", missed ", slot.missed_slots));
    return;
  }
  // Where it begins is for it to choose; how many it was told that it missed counts from there.
  const bool begins = first_in_segment_ && (first_segment_ || latest_);
  const uint64_t from = sequence - slot.missed_slots;
  if (begins && first_segment_ && !latest_ && from > newest_at_open_) {
    Lose(from - newest_at_open_, absl::StrCat("it starts at ", from, " but had opened at ", newest_at_open_));
  }
  if (!begins && from > next_) Lose(from - next_, absl::StrCat("slot ", sequence, " came for ", next_));
  if (!begins && from < next_)
    Fault(absl::StrCat("told of ", slot.missed_slots, " missed slots before ", sequence));
  const bool may_miss = !lossless_ || (first_in_segment_ && !first_segment_ && JoinedBehind(generation_));
  if (!may_miss) Lose(missed, absl::StrCat("told so before slot ", sequence));
}

void Witness::StillHolds(const shm::SlotView& slot) {
  const std::optional<PayloadId> id = ReadPayload(slot.payload);
  if (id.has_value() && id->sequence == slot.sequence) return;
  record_.torn.add(1);
  Fault(absl::StrCat("slot ", slot.sequence, " changed while it was held"));
}

// Each slot to one member, in order; but to another, whose turn may be over, if that one is dead.
void Witness::CheckTurn(const shm::SlotView& slot) {
  const auto own = static_cast<uint32_t>(&record_ - ledger_.consumer + 1);
  Cell<uint32_t>& holder = ledger_.group.of(generation_, slot.sequence);
  const uint32_t before = holder.load();
  holder.store(own << 1);
  held_.push_back(slot.sequence);
  const bool backwards = !first_in_segment_ && slot.sequence < next_ && !slot.redelivered;
  if (before == 0 && !backwards) return;
  const bool from_the_dead = before != 0 && (before & 1) == 0 && slot.redelivered &&
                             IsDead(ledger_.consumer[(before >> 1) - 1].pid.load());
  if (from_the_dead) return;
  record_.duplicated.add(1);
  Fault(absl::StrCat(
      "slot ", slot.sequence, slot.redelivered ? " (redelivered)" : "", " of generation ", generation_,
      before == 0    ? absl::StrCat(" came after ", next_)
      : (before & 1) ? absl::StrCat(" had been released by consumer ", (before >> 1) - 1)
                     : absl::StrCat(" is held by consumer ", (before >> 1) - 1, ", who lives")));
}

void Witness::Released(shm::SlotResult result) {
  for (uint64_t sequence : held_) {
    Cell<uint32_t>& holder = ledger_.group.of(generation_, sequence);
    holder.store(holder.load() | 1);
  }
  held_.clear();
  record_.released.store(record_.delivered.load());
  record_.position.store(next_);
  record_.released_ns.store(NowNanos());
  if (result == shm::SlotResult::kOk) return;
  record_.torn.add(1);
  Fault(absl::StrCat("releasing slot ", next_ - 1, " said ", std::string(shm::NameOf(result))));
}

void Witness::ReadZone(uint64_t version, std::span<const std::byte> bytes) {
  if (version < zone_version_) {
    record_.duplicated.add(1);
    Fault(absl::StrCat("version ", version, " of the zone after ", zone_version_));
  }
  zone_version_ = version;
  if (version == 0) return;
  const std::optional<PayloadId> id = ReadPayload(bytes.first(PayloadBytes(bytes)));
  if (id.has_value() && id->sequence == version) return;
  record_.torn.add(1);
  Fault(absl::StrCat("version ", version, " of the zone is not whole"));
}

void Witness::Corrupt() {
  ++corrupt_since_;
  record_.corrupt.add(1);
}

void Witness::Ended() {
  const uint32_t generation = GenerationOf(segment_id_);
  // Its producer died before it wrote anything.
  if (generation == 0) return;
  if (first_in_segment_) EnterGeneration(generation);
  const ProducerRecord& producer = ledger_.of_generation(generation);
  CheckEnd(producer.confirmed.load(), producer.attempted.load());
}

void Witness::CheckEnd(uint64_t confirmed, uint64_t attempted) {
  uint64_t position = next_ + corrupt_since_;
  if (first_in_segment_ && first_segment_) position = std::max(position, latest_ ? 0 : newest_at_open_);
  if (position > attempted) {
    record_.torn.add(1);
    Fault(
        absl::StrCat("it got ", position, " slots of generation ", generation_, ", which wrote ", attempted));
  }
  // Of a group: others may have got the rest, and each slot is looked for in the end.
  if (shared_) return;
  if (lossless_) {
    const bool may_miss = first_in_segment_ && !first_segment_ && JoinedBehind(generation_);
    if (position < confirmed && !may_miss) Lose(confirmed - position, "its producer is gone");
    return;
  }
  // A writer that overwrites the only slot there is, and dies, takes it along: nothing is left to tell of a gap.
  if (capacity_slots_ == 1 && attempted > confirmed) return;
  // Who jumps to a slot that is corrupt is not told which one that was.
  if (corrupt_since_ != 0) return;
  if (position < confirmed) Lose(confirmed - position, "the newest slots were never shown");
}

}  // namespace pylabhub::chaos
