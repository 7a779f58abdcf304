#include "tests/bench/pylabhub_subject.h"

#include <unistd.h>

#include <array>
#include <memory>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "shm/data_block_consumer.h"
#include "shm/data_block_producer.h"
#include "tests/bench/transport.h"

namespace pylabhub::bench {
namespace {

shm::WaitOptions WaitOptionsOf(Waiting waiting) {
  switch (waiting) {
    case Waiting::kSpin:
      return {.spin = absl::InfiniteDuration()};
    case Waiting::kSleep:
      return {.spin = absl::ZeroDuration()};
    case Waiting::kAdaptive:
      return {};
  }
  return {};
}

constexpr uint32_t kMaxBatch = 16;

class PylabhubTransport {
 public:
  // Its length is given, since the sanitizer lets no constant ask whether kOurs is a null pointer.
  static constexpr absl::string_view kName{kOurs, sizeof(kOurs) - 1};
  static bool Carries(const Bench&) { return true; }
  static absl::StatusOr<std::unique_ptr<PylabhubTransport>> Create(const Bench& bench) {
    static int trials = 0;
    return std::make_unique<PylabhubTransport>(bench, absl::StrCat("bench.", getpid(), ".", ++trials));
  }

  PylabhubTransport(const Bench& bench, std::string name) : bench_(bench), name_(std::move(name)) {}

  // Readers of a slot look at the deadline seldom, so a wait of the trial's patience from now ends soon enough.
  class Writer {
   public:
    Writer(std::unique_ptr<shm::DataBlockProducer> producer, uint64_t payload_bytes)
        : producer_(std::move(producer)), payload_bytes_(payload_bytes) {
      sizes_.fill(payload_bytes);
    }

    template <typename Fill>
    bool Write(uint64_t /*deadline_ticks*/, Fill fill) {
      shm::WriteSlot slot = producer_->Acquire(kTimeout);
      if (!slot) return false;
      fill(slot.payload().data());
      return slot.Commit(payload_bytes_) == shm::SlotResult::kOk;
    }

    template <typename Fill>
    uint32_t WriteBatch(uint64_t /*deadline_ticks*/, uint32_t slots, Fill fill) {
      shm::WriteBatch batch = producer_->AcquireBatch(slots, kTimeout);
      const auto count = static_cast<uint32_t>(batch.size());
      for (uint32_t i = 0; i < count; ++i) fill(batch.payload(i).data(), i);
      if (count == 0 || batch.Commit({sizes_.data(), count}) != shm::SlotResult::kOk) return 0;
      return count;
    }

   private:
    std::unique_ptr<shm::DataBlockProducer> producer_;
    const uint64_t payload_bytes_;
    std::array<size_t, kMaxBatch> sizes_;
  };

  class Reader {
   public:
    Reader(std::unique_ptr<shm::DataBlockConsumer> consumer, uint64_t payload_bytes)
        : consumer_(std::move(consumer)), payload_bytes_(payload_bytes) {}

    template <typename Use>
    bool Read(uint64_t /*deadline_ticks*/, Use use) {
      shm::ReadSlot slot = consumer_->Acquire(kTimeout);
      if (!slot || slot.payload().size() != payload_bytes_) return false;
      use(slot.payload().data());
      return slot.Release() == shm::SlotResult::kOk;
    }

    template <typename Use>
    uint32_t ReadBatch(uint64_t /*deadline_ticks*/, uint32_t slots, Use use) {
      shm::ReadBatch batch = consumer_->AcquireBatch(slots, kTimeout);
      const auto count = static_cast<uint32_t>(batch.size());
      for (uint32_t i = 0; i < count; ++i) {
        if (batch[i].payload.size() != payload_bytes_) return 0;
        use(batch[i].payload.data(), i);
      }
      return batch.Release() == shm::SlotResult::kOk ? count : 0;
    }

    bool LearnsOfTheWritersEnd(uint64_t /*deadline_ticks*/) {
      return consumer_->Acquire(kTimeout).result() == shm::SlotResult::kProducerDead;
    }

   private:
    std::unique_ptr<shm::DataBlockConsumer> consumer_;
    const uint64_t payload_bytes_;
  };

  absl::StatusOr<std::unique_ptr<Writer>> OpenWriter(Lane lane) {
    const bool overwrites = bench_.shape == Shape::kOverwrite;
    const auto policy = overwrites ? shm::Policy::kPublishSubscribe : shm::Policy::kSyncReader;
    auto producer = shm::DataBlockProducer::Create(
        {.channel = NameOf(lane),
         .policy = policy,
         .capacity_slots = bench_.capacity_slots,
         .slot_bytes = bench_.payload_bytes,
         .min_consumers = bench_.readers,
         .checksum = bench_.checksums ? shm::Checksum::kEnforced : shm::Checksum::kNone},
        WaitOptionsOf(bench_.writer_spins ? Waiting::kSpin : bench_.waiting));
    if (!producer.ok()) return producer.status();
    return std::make_unique<Writer>(*std::move(producer), bench_.payload_bytes);
  }

  absl::StatusOr<std::unique_ptr<Reader>> OpenReader(Lane lane, uint32_t /*place*/) {
    auto consumer = shm::DataBlockConsumer::Open(NameOf(lane), {.open_timeout = kOpenTimeout,
                                                                .max_batch = bench_.batch_slots,
                                                                .wait = WaitOptionsOf(bench_.waiting)});
    if (!consumer.ok()) return consumer.status();
    return std::make_unique<Reader>(*std::move(consumer), bench_.payload_bytes);
  }

 private:
  static constexpr absl::Duration kTimeout = absl::Seconds(2);
  static_assert(kPatienceSeconds == 2);
  // A hundred megabytes to be reserved and touched, on a machine that may be busy with other tests.
  static constexpr absl::Duration kOpenTimeout = absl::Seconds(20);

  std::string NameOf(Lane lane) const {
    return absl::StrCat(name_, lane == Lane::kThere ? ".there" : ".back");
  }

  const Bench bench_;
  const std::string name_;
};

}  // namespace

Subject PylabhubSubject() { return TransportSubject<PylabhubTransport>(); }

}  // namespace pylabhub::bench
