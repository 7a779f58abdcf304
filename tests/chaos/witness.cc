#include "tests/chaos/witness.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "tests/chaos/payload.h"

namespace pylabhub::chaos {

Witness::Witness(Ledger& ledger, ConsumerRecord& record, const shm::ChannelConfig& config,
                 const shm::ConsumerOptions& options)
    : ledger_(ledger),
      record_(record),
      lossless_(shm::IsLossless(config.policy) && options.order == shm::ReadOrder::kNext &&
                options.when_slow == shm::WhenSlow::kBlock),
      latest_(options.order == shm::ReadOrder::kLatest),
      capacity_slots_(config.capacity_slots) {}

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
}

void Witness::Followed(const shm::SegmentId& segment_id) {
  segment_id_ = segment_id;
  record_.segment_id.store(segment_id);
  first_segment_ = false;
  first_in_segment_ = true;
  corrupt_since_ = 0;
  next_ = 0;
}

void Witness::Delivered(const shm::SlotView& slot) {
  CheckContent(slot);
  CheckNumber(slot);
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

void Witness::Released(shm::SlotResult result) {
  record_.released.store(record_.delivered.load());
  if (result == shm::SlotResult::kOk) return;
  record_.torn.add(1);
  Fault(absl::StrCat("releasing slot ", next_ - 1, " said ", std::string(shm::NameOf(result))));
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
