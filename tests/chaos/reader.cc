#include "tests/chaos/reader.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "shm/os/crash_point.h"

namespace pylabhub::chaos {
namespace {

// Nothing that another try will not mend: nobody is there yet, or somebody else has the place for a moment.
bool ComesByItself(const absl::Status& status) {
  return absl::IsNotFound(status) || absl::IsDeadlineExceeded(status) || absl::IsResourceExhausted(status);
}

}  // namespace

Reader::Reader(Ledger& ledger, const shm::ChannelConfig& config, shm::ConsumerOptions options)
    : ledger_(ledger), config_(config), options_(std::move(options)) {
  options_.directory = config.directory;
  Leave();
}

void Reader::Leave() {
  consumer_ = nullptr;
  ended_ = false;
  record_ = &ledger_.NewConsumer();
  witness_.emplace(ledger_, *record_, config_, options_);
}

Reader::Step Reader::Fail(const std::string& what) {
  witness_->Fault(what);
  return Step::kFailed;
}

Reader::Step Reader::Next(absl::Duration timeout, const Hold& hold) {
  if (consumer_ == nullptr) return Open(timeout);
  if (ended_) return Follow(timeout);
  LookAtZone();
  return options_.max_batch > 1 ? TakeBatch(timeout, hold) : Take(timeout, hold);
}

Reader::Step Reader::Open(absl::Duration timeout) {
  options_.open_timeout = timeout;
  auto consumer = shm::DataBlockConsumer::Open(config_.channel, options_);
  if (absl::IsResourceExhausted(consumer.status())) absl::SleepFor(absl::Milliseconds(1));
  if (ComesByItself(consumer.status())) return Step::kNothing;
  if (!consumer.ok()) return Fail(absl::StrCat("Open: ", consumer.status().ToString()));
  consumer_ = *std::move(consumer);
  witness_->Opened(consumer_->segment_id());
  PYLABHUB_CRASH_POINT("caller.opened");
  return Step::kMoved;
}

Reader::Step Reader::Follow(absl::Duration timeout) {
  const absl::Status status = consumer_->Follow(timeout);
  if (absl::IsResourceExhausted(status)) absl::SleepFor(absl::Milliseconds(1));
  if (ComesByItself(status)) return Step::kNothing;
  if (!status.ok()) return Fail(absl::StrCat("Follow: ", status.ToString()));
  ended_ = false;
  witness_->Followed(consumer_->segment_id());
  PYLABHUB_CRASH_POINT("caller.followed");
  return Step::kMoved;
}

void Reader::LookAtZone() {
  if (config_.zone_bytes == 0) return;
  zone_.resize(config_.zone_bytes);
  const absl::StatusOr<uint64_t> version = consumer_->ReadZone(zone_);
  if (version.ok()) {
    witness_->ReadZone(*version, zone_);
  } else if (!absl::IsUnavailable(version.status())) {
    witness_->Fault(absl::StrCat("ReadZone: ", version.status().ToString()));
  }
}

Reader::Step Reader::Take(absl::Duration timeout, const Hold& hold) {
  shm::ReadSlot slot = consumer_->Acquire(timeout);
  if (!slot) return TookNothing(slot.result());
  const shm::SlotView view{.payload = slot.payload(),
                           .sequence = slot.sequence(),
                           .timestamp_ns = slot.timestamp_ns(),
                           .missed_slots = slot.missed_slots(),
                           .checksum = {},
                           .redelivered = slot.redelivered()};
  witness_->Delivered(view);
  PYLABHUB_CRASH_POINT("caller.holds_slot");
  if (hold && hold()) witness_->StillHolds(view);
  witness_->Released(slot.Release());
  return Step::kSlot;
}

Reader::Step Reader::TakeBatch(absl::Duration timeout, const Hold& hold) {
  shm::ReadBatch batch = consumer_->AcquireBatch(options_.max_batch, timeout);
  if (!batch) return TookNothing(batch.result());
  for (const shm::SlotView& slot : batch) witness_->Delivered(slot);
  PYLABHUB_CRASH_POINT("caller.holds_batch");
  if (hold && hold()) {
    for (const shm::SlotView& slot : batch) witness_->StillHolds(slot);
  }
  witness_->Released(batch.Release());
  return Step::kSlot;
}

Reader::Step Reader::TookNothing(shm::SlotResult result) {
  switch (result) {
    case shm::SlotResult::kTimeout:
      return Step::kNothing;
    case shm::SlotResult::kCorrupt:
      witness_->Corrupt();
      return Step::kSlot;
    case shm::SlotResult::kCutOff:
      Leave();
      return Step::kMoved;
    case shm::SlotResult::kProducerClosed:
    case shm::SlotResult::kProducerDead:
      ended_ = true;
      witness_->Ended();
      return Step::kEnded;
    default:
      return Fail(absl::StrCat("Acquire said ", std::string(shm::NameOf(result))));
  }
}

}  // namespace pylabhub::chaos
