// A producer that keeps its record in the ledger: one generation of a channel.
//
// Thread safety: thread-compatible.
#ifndef PYLABHUB_TESTS_CHAOS_WRITER_H_
#define PYLABHUB_TESTS_CHAOS_WRITER_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "shm/channel_config.h"
#include "shm/data_block_producer.h"
#include "shm/slot_result.h"
#include "tests/chaos/ledger.h"

namespace pylabhub::chaos {

class Writer {
 public:
  explicit Writer(Ledger& ledger) : ledger_(ledger) {}

  // Becomes the next generation. No other member may be called before this has succeeded.
  absl::Status Create(const shm::ChannelConfig& config, const shm::WaitOptions& wait);
  // Writes and commits the next slot, of `payload_bytes` (a multiple of 8, at least kMinPayloadBytes).
  shm::SlotResult Put(size_t payload_bytes, absl::Duration timeout);
  // The same for several slots that are committed together; as many as there was room for, and at least one.
  shm::SlotResult PutBatch(std::span<const size_t> payload_bytes, absl::Duration timeout);
  // Publishes the zone's next version, of `payload_bytes` as in Put.
  absl::Status PutZone(size_t payload_bytes);
  // Writes a slot, and gives it up.
  shm::SlotResult PutAndAbort(absl::Duration timeout);

  uint32_t generation() const { return generation_; }
  ProducerRecord& record() const { return *record_; }

 private:
  void Fill(std::span<std::byte> payload, uint64_t sequence);
  void CheckNextNumber();
  void Asks();
  void Committed(uint64_t next, shm::SlotResult result);

  Ledger& ledger_;
  ProducerRecord* record_ = nullptr;
  uint32_t generation_ = 0;
  std::unique_ptr<shm::DataBlockProducer> producer_;
};

}  // namespace pylabhub::chaos

#endif  // PYLABHUB_TESTS_CHAOS_WRITER_H_
