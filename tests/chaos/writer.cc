#include "tests/chaos/writer.h"

#include <utility>
#include <vector>

#include "shm/os/crash_point.h"
#include "tests/chaos/payload.h"

namespace pylabhub::chaos {

absl::Status Writer::Create(const shm::ChannelConfig& config, const shm::WaitOptions& wait) {
  const int64_t began_ns = NowNanos();
  ledger_.attempts.add(1);
  auto producer = shm::DataBlockProducer::Create(config, wait);
  if (!producer.ok()) return producer.status();
  producer_ = *std::move(producer);
  // Only now: generations are numbered in the order in which they had the channel.
  generation_ = ledger_.NewGeneration();
  record_ = &ledger_.of_generation(generation_);
  if (config.policy == shm::Policy::kPipeline) ledger_.BeginGroupGeneration(generation_);
  record_->create_began_ns.store(began_ns);
  record_->segment_id.store(producer_->segment_id());
  record_->created_ns.store(NowNanos());
  PYLABHUB_CRASH_POINT("caller.created");
  return absl::OkStatus();
}

// For who watches: it asks for room for its next slot.
void Writer::Asks() {
  const uint64_t watched = record_->watched.load();
  if (watched != 0 && record_->confirmed.load() + 1 >= watched && record_->watched_begun_ns.load() == 0)
    record_->watched_begun_ns.store(NowNanos());
}

void Writer::Committed(uint64_t next, shm::SlotResult result) {
  const int64_t now_ns = NowNanos();
  record_->progress_ns.store(now_ns);
  if (result != shm::SlotResult::kOk) return;
  record_->confirmed.store(next);
  const uint64_t watched = record_->watched.load();
  if (watched != 0 && next >= watched && record_->watched_done_ns.load() == 0)
    record_->watched_done_ns.store(now_ns);
}

void Writer::CheckNextNumber() {
  if (producer_->next_sequence() != record_->confirmed.load()) record_->misnumbered.add(1);
}

void Writer::Fill(std::span<std::byte> payload, uint64_t sequence) {
  const PayloadId id{.generation = generation_, .sequence = sequence};
  BeginPayload(payload, id);
  PYLABHUB_CRASH_POINT("caller.payload_half_written");
  FinishPayload(payload, id);
}

shm::SlotResult Writer::Put(size_t payload_bytes, absl::Duration timeout) {
  Asks();
  shm::WriteSlot slot = producer_->Acquire(timeout);
  if (!slot) return slot.result();
  PYLABHUB_CRASH_POINT("caller.acquired");
  CheckNextNumber();
  const uint64_t sequence = record_->confirmed.load();
  Fill(slot.payload().first(payload_bytes), sequence);
  record_->attempted.store(sequence + 1);
  PYLABHUB_CRASH_POINT("caller.payload_written");
  const shm::SlotResult result = slot.Commit(payload_bytes);
  Committed(sequence + 1, result);
  PYLABHUB_CRASH_POINT("caller.committed");
  return result;
}

shm::SlotResult Writer::PutBatch(std::span<const size_t> payload_bytes, absl::Duration timeout) {
  Asks();
  shm::WriteBatch batch = producer_->AcquireBatch(payload_bytes.size(), timeout);
  if (!batch) return batch.result();
  CheckNextNumber();
  const uint64_t first = record_->confirmed.load();
  // The last one of a whole batch is given up.
  const size_t count =
      batch.size() == payload_bytes.size() && batch.size() > 1 ? batch.size() - 1 : batch.size();
  for (size_t i = 0; i < count; ++i) Fill(batch.payload(i).first(payload_bytes[i]), first + i);
  record_->attempted.store(first + count);
  const shm::SlotResult result = batch.Commit(payload_bytes.first(count));
  Committed(first + count, result);
  return result;
}

absl::Status Writer::PutZone(size_t payload_bytes) {
  std::vector<std::byte> bytes(payload_bytes);
  Fill(bytes, producer_->zone_version() + 1);
  return producer_->WriteZone(bytes);
}

shm::SlotResult Writer::PutAndAbort(absl::Duration timeout) {
  shm::WriteSlot slot = producer_->Acquire(timeout);
  if (!slot) return slot.result();
  const PayloadId id{.generation = generation_, .sequence = record_->confirmed.load(), .aborted = true};
  BeginPayload(slot.payload().first(kMinPayloadBytes), id);
  FinishPayload(slot.payload().first(kMinPayloadBytes), id);
  slot.Abort();
  return shm::SlotResult::kOk;
}

}  // namespace pylabhub::chaos
