// Random steps in the life of a channel and of the reference model of it, in one thread: producers that follow each other,
// consumers of every kind, members that are killed, slots that are damaged. After each step the two must agree.
//
// Thread safety: thread-compatible. Failures are gtest's.
#ifndef PYLABHUB_TESTS_SHM_REFERENCE_EPISODE_H_
#define PYLABHUB_TESTS_SHM_REFERENCE_EPISODE_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <random>
#include <vector>

#include "shm/data_block_consumer.h"
#include "shm/data_block_producer.h"
#include "shm/wait_set.h"
#include "tests/shm/reference_channel.h"
#include "tests/shm/writable_data.h"

namespace pylabhub::shm {

class ReferenceEpisode {
 public:
  // How often something happened: a test makes sure that everything did.
  struct Counts {
    uint64_t steps = 0;
    uint64_t committed = 0;
    uint64_t aborted = 0;
    uint64_t read = 0;
    uint64_t timeouts = 0;
    uint64_t missed = 0;
    uint64_t corrupt = 0;
    uint64_t deaths = 0;
    uint64_t evicted = 0;
    uint64_t dropped = 0;
    uint64_t cut_off = 0;
    uint64_t redelivered = 0;
    uint64_t followed = 0;
    uint64_t joined_behind = 0;

    void Add(const Counts& other);
  };

  // The channel is made as `config` says, but for what the seed decides: checksums and groups.
  ReferenceEpisode(const ChannelConfig& config, uint64_t seed);

  void Step();
  // The producer closes; everybody reads what is left, and is told the end.
  void Finish();
  const Counts& counts() const { return counts_; }

 private:
  using Answer = ReferenceChannel::Answer;

  static constexpr absl::Duration kPatience = absl::Seconds(20);
  static constexpr WaitOptions kNoSpin = {.spin = absl::ZeroDuration()};
  static constexpr uint32_t kMaxBatch = 3;

  // One producer's segment.
  struct Generation {
    explicit Generation(const ChannelConfig& config) : reference(config) {}

    ReferenceChannel reference;
    SegmentId segment_id;
    std::optional<WritableData> data;
    uint64_t aborted = 0;
  };
  struct Attached {
    std::unique_ptr<DataBlockConsumer> block;
    WaitSet alone;  // knows beforehand whether Acquire will have something
    ConsumerOptions options;
    size_t generation = 0;
    std::shared_ptr<ReferenceConsumer> reference;
    // By generation: its kept places in those to come.
    std::vector<std::shared_ptr<ReferenceConsumer>> kept;
    std::optional<ReadSlot> slot;
    std::optional<ReadBatch> batch;
    std::vector<Answer> held;

    bool holds() const { return slot.has_value() || batch.has_value(); }
  };

  static bool Failed();
  uint64_t Roll(uint64_t sides) { return random_() % sides; }
  Generation& current() { return *generations_.back(); }
  bool is_pipeline() const { return config_.policy == Policy::kPipeline; }

  // reference_producers.cc
  void BeginGeneration();
  void LetGoOfTheDrained();
  void EndGeneration();
  void Succeed();

  void Write();
  void Prepare();
  void CommitOrAbort();
  void CheckRoom(const ReferenceChannel::Room& room, SlotResult result, uint64_t wanted);
  void NoteSlowConsumers(const ReferenceChannel::Room& room, bool got_one);
  ReferenceChannel::Payload RandomPayload();

  // reference_consumers.cc
  void Read(Attached& consumer);
  void Acquire(Attached& consumer);
  void AcquireForItself(Attached& consumer, size_t wanted, WaitOutcome foreseen);
  void AcquireAsMember(Attached& consumer, size_t wanted, WaitOutcome foreseen);
  SlotResult AcquireSlots(Attached& consumer, size_t wanted, absl::Duration timeout,
                          std::vector<SlotView>* views);
  void CheckSlot(const SlotView& view, const Answer& expected);
  SlotResult Otherwise(const Attached& consumer);
  void CheckHeld(const Attached& consumer);
  void Release(Attached& consumer);
  bool IsDrainedFrom(size_t first, const ReferenceConsumer& consumer) const;
  void Follow(Attached& consumer);

  // reference_membership.cc
  void Join();
  ConsumerOptions RandomOptions();
  size_t GenerationToJoin(const ConsumerOptions& options);
  std::shared_ptr<ReferenceConsumer> JoinReference(ReferenceChannel& channel, const ConsumerOptions& options);
  // Places that are taken for sure, and those that may be.
  uint64_t PlacesTaken(size_t generation, bool at_most);
  void Leave(size_t index);
  void Die();
  std::vector<uint64_t> LiveAndDie(const ConsumerOptions& options, size_t slots, uint64_t lowest);
  void Corrupt();
  void SyncGone(Generation& generation);
  Attached& Attach(std::unique_ptr<DataBlockConsumer> block, const ConsumerOptions& options,
                   size_t generation);
  size_t GroupIn(const ConsumerOptions& options) const;

  void DrainGroup(size_t group);
  void ReadToTheEnd(Attached& consumer);

  ChannelConfig config_;
  std::mt19937_64 random_;
  std::vector<std::unique_ptr<Generation>> generations_;
  std::unique_ptr<DataBlockProducer> producer_;
  std::vector<std::unique_ptr<Attached>> consumers_;
  std::optional<WriteSlot> writing_;
  std::optional<WriteBatch> writing_batch_;
  ProducerStats seen_;  // the producer's at the last look
  Counts counts_;
};

}  // namespace pylabhub::shm

#endif  // PYLABHUB_TESTS_SHM_REFERENCE_EPISODE_H_
