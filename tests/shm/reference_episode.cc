#include "tests/shm/reference_episode.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <string>
#include <utility>

#include "shm/channel/channel_files.h"
#include "tests/support/child_process.h"

namespace pylabhub::shm {
namespace {

using ::pylabhub::testing::ChildProcess;

constexpr absl::Duration kPatience = absl::Seconds(20);
constexpr WaitOptions kNoSpin = {.spin = absl::ZeroDuration()};
constexpr uint32_t kMaxBatch = 3;
constexpr size_t kMaxUndrained = 3;
constexpr size_t kMembers = 4;

// Every payload is a part of these bytes.
std::span<const std::byte> Noise() {
  static const std::vector<std::byte> noise = [] {
    std::mt19937_64 random(1);
    std::vector<std::byte> bytes(size_t{64} * 1024);
    for (std::byte& byte : bytes) byte = static_cast<std::byte>(random());
    return bytes;
  }();
  return noise;
}

bool Failed() { return ::testing::Test::HasFailure(); }

}  // namespace

void ReferenceEpisode::Counts::Add(const Counts& other) {
  steps += other.steps;
  committed += other.committed;
  aborted += other.aborted;
  read += other.read;
  timeouts += other.timeouts;
  missed += other.missed;
  corrupt += other.corrupt;
  deaths += other.deaths;
  evicted += other.evicted;
  dropped += other.dropped;
  cut_off += other.cut_off;
  redelivered += other.redelivered;
  followed += other.followed;
  joined_behind += other.joined_behind;
}

ReferenceEpisode::ReferenceEpisode(const ChannelConfig& config, uint64_t seed)
    : config_(config), random_(seed) {
  config_.checksum = Roll(2) == 0 ? Checksum::kEnforced : Checksum::kNone;
  if (is_pipeline() && Roll(2) == 0) config_.groups = {"one", "other"};
  if (is_pipeline() && config_.groups.empty()) config_.groups = {"workers"};
  config_.max_pins = config_.max_consumers * kMaxBatch;
  // No place is given up because the machine is slow.
  config_.reservation_ttl = absl::Hours(1);
  BeginGeneration();
}

void ReferenceEpisode::Step() {
  ++counts_.steps;
  const uint64_t dice = Roll(20'000);
  if (dice < 9000) return Write();
  if (dice < 19'800) return consumers_.empty() ? Join() : Read(*consumers_[Roll(consumers_.size())]);
  if (dice < 19'880) return Join();
  if (dice < 19'940) return consumers_.empty() ? Join() : Leave(Roll(consumers_.size()));
  if (dice < 19'975) return Corrupt();
  if (dice < 19'992) return Succeed();
  Die();
}

// --- producers

void ReferenceEpisode::BeginGeneration() {
  auto generation = std::make_unique<Generation>(config_);
  auto created = DataBlockProducer::Create(config_, kNoSpin);
  ASSERT_TRUE(created.ok()) << created.status();
  producer_ = *std::move(created);
  seen_ = {};
  generation->segment_id = producer_->segment_id();
  const ChannelFiles files(config_.directory, config_.channel);
  generation->data.emplace(files.DataPath(generation->segment_id));
  generations_.push_back(std::move(generation));
  LetGoOfTheDrained();
  for (const auto& consumer : consumers_) {
    consumer->kept.resize(generations_.size());
    // Everybody's place is kept; what follows from it is the model's to say.
    consumer->kept.back() = current().reference.KeepPlace(*consumer->reference);
  }
}

// Of segments that nobody will read again.
void ReferenceEpisode::LetGoOfTheDrained() {
  for (size_t i = 0; i < generations_.size() - 1; ++i) {
    const ReferenceChannel& reference = generations_[i]->reference;
    const bool read = std::any_of(consumers_.begin(), consumers_.end(),
                                  [=](const auto& consumer) { return consumer->generation <= i; });
    bool done = true;
    for (size_t group = 0; group < reference.group_count(); ++group) done = done && reference.AllDone(group);
    if (done && !read) generations_[i]->data.reset();
  }
}

void ReferenceEpisode::EndGeneration() {
  if (writing_ || writing_batch_) {
    current().aborted += writing_ ? 1 : writing_batch_->size();
    writing_.reset();
    writing_batch_.reset();
  }
  const ProducerStats stats = producer_->Stats();
  ASSERT_EQ(stats.committed_slots, current().reference.head());
  ASSERT_EQ(stats.committed_bytes, current().reference.committed_bytes());
  ASSERT_EQ(stats.aborted_slots, current().aborted);
  ASSERT_EQ(stats.invalid_peer_values, 0u);
  counts_.committed += stats.committed_slots;
  counts_.aborted += stats.aborted_slots;
  counts_.evicted += stats.evicted_consumers;
  producer_.reset();
  current().reference.Close();
}

void ReferenceEpisode::Succeed() {
  const auto undrained = std::count_if(generations_.begin(), generations_.end(), [](const auto& generation) {
    for (size_t group = 0; group < generation->reference.group_count(); ++group) {
      if (!generation->reference.AllDone(group)) return true;
    }
    return false;
  });
  // Who was cut off is not waited for again.
  const bool outcast = std::any_of(consumers_.begin(), consumers_.end(),
                                   [](const auto& consumer) { return consumer->reference->cut_off; });
  if (static_cast<size_t>(undrained) > kMaxUndrained || outcast) return;
  EndGeneration();
  if (!Failed()) BeginGeneration();
}

void ReferenceEpisode::Write() {
  if (writing_ || writing_batch_) {
    CommitOrAbort();
  } else {
    Prepare();
  }
}

void ReferenceEpisode::Prepare() {
  ReferenceChannel& reference = current().reference;
  const uint64_t wanted = Roll(4) == 0 ? 1 + Roll(config_.capacity_slots + 1) : 1;
  const ReferenceChannel::Room room = reference.room();
  // Only for who need not be waited for.
  const bool waits = room.least == 0 && room.patient > 0;
  const absl::Duration timeout = waits ? kPatience : absl::ZeroDuration();
  if (wanted == 1) {
    WriteSlot slot = producer_->Acquire(timeout);
    CheckRoom(room, slot.result(), 1);
    if (!slot) return;
    ASSERT_EQ(slot.payload().size(), config_.slot_bytes);
    ASSERT_EQ(reinterpret_cast<uintptr_t>(slot.payload().data()) % 64, 0u);
    writing_.emplace(std::move(slot));
  } else {
    WriteBatch batch = producer_->AcquireBatch(wanted, timeout);
    CheckRoom(room, batch.result(), wanted);
    if (!batch) return;
    ASSERT_GE(batch.size(), std::min(wanted, std::max<uint64_t>(room.least, 1)));
    ASSERT_LE(batch.size(), std::min(wanted, room.most));
    writing_batch_.emplace(std::move(batch));
  }
  reference.Prepare(wanted);
}

void ReferenceEpisode::CheckRoom(const ReferenceChannel::Room& room, SlotResult result, uint64_t wanted) {
  if (room.most == 0) {
    ASSERT_EQ(result, SlotResult::kTimeout) << wanted << " slots over what somebody has not read";
  } else if (room.patient > 0) {
    ASSERT_EQ(result, SlotResult::kOk) << wanted;
  } else {
    ASSERT_TRUE(result == SlotResult::kOk || result == SlotResult::kTimeout) << NameOf(result);
  }
  counts_.timeouts += result == SlotResult::kTimeout ? 1 : 0;
  NoteSlowConsumers(room, result == SlotResult::kOk);
}

// There is at most one consumer that the producer does not wait for.
void ReferenceEpisode::NoteSlowConsumers(const ReferenceChannel::Room& room, bool got_one) {
  const ProducerStats stats = producer_->Stats();
  const uint64_t dropped = stats.dropped_backlogs - seen_.dropped_backlogs;
  const uint64_t cut_off = stats.cut_off_consumers - seen_.cut_off_consumers;
  seen_ = stats;
  if (got_one) current().reference.ForgetGone();
  const auto slow = std::find_if(consumers_.begin(), consumers_.end(), [this](const auto& consumer) {
    return consumer->reference->impatient && consumer->generation + 1 == generations_.size();
  });
  const bool holds_up = slow != consumers_.end() && !(*slow)->reference->cut_off &&
                        current().reference.HoldsUpNextSlot(*(*slow)->reference);
  ASSERT_LE(dropped + cut_off, holds_up ? 1u : 0u) << "somebody was given up who held nothing up";
  const bool must_tell = holds_up && got_one && (*slow)->reference->known;
  ASSERT_TRUE(!must_tell || dropped + cut_off == 1) << "overwritten, and it was not told";
  ASSERT_TRUE(room.least == 0 || dropped + cut_off == 0);
  if (dropped + cut_off == 0) return;
  ReferenceConsumer& consumer = *(*slow)->reference;
  ASSERT_EQ(cut_off != 0, (*slow)->options.when_slow == WhenSlow::kCutOff);
  consumer.waited_from = current().reference.head();
  consumer.cut_off = cut_off != 0;
  counts_.dropped += dropped;
  counts_.cut_off += cut_off;
}

ReferenceChannel::Payload ReferenceEpisode::RandomPayload() {
  const uint64_t dice = Roll(8);
  const uint64_t bytes =
      dice == 0 ? 0
                : (dice == 1 ? config_.slot_bytes : Roll(std::min<uint64_t>(config_.slot_bytes, 300) + 1));
  return Noise().subspan(Roll(Noise().size() - bytes), bytes);
}

void ReferenceEpisode::CommitOrAbort() {
  const uint64_t prepared = writing_ ? 1 : writing_batch_->size();
  const auto memory = [this](size_t i) {
    return writing_ ? writing_->payload() : writing_batch_->payload(i);
  };
  const auto commit = [this](const std::vector<size_t>& bytes) {
    const SlotResult result = writing_ ? writing_->Commit(bytes[0]) : writing_batch_->Commit(bytes);
    writing_.reset();
    writing_batch_.reset();
    return result;
  };
  const uint64_t dice = Roll(16);
  if (dice < 2) {
    std::memset(memory(0).data(), 0xEE, config_.slot_bytes);
    if (dice == 0) {
      ASSERT_EQ(commit({config_.slot_bytes + 1}), SlotResult::kTooLarge);
    }
    writing_.reset();
    writing_batch_.reset();
    current().aborted += prepared;
  } else {
    const uint64_t count = writing_ ? 1 : 1 + Roll(prepared);
    std::vector<size_t> bytes;
    std::vector<ReferenceChannel::Payload> payloads;
    for (uint64_t i = 0; i < count; ++i) {
      payloads.push_back(RandomPayload());
      bytes.push_back(payloads.back().size());
      if (!payloads.back().empty()) std::memcpy(memory(i).data(), payloads.back().data(), bytes.back());
    }
    ASSERT_EQ(commit(bytes), SlotResult::kOk);
    for (const auto payload : payloads) current().reference.Commit(payload);
    current().aborted += prepared - count;
  }
  ASSERT_EQ(producer_->next_sequence(), current().reference.head());
}

// --- consumers

void ReferenceEpisode::Read(Attached& consumer) {
  if (consumer.holds()) {
    Release(consumer);
  } else {
    Acquire(consumer);
  }
}

void ReferenceEpisode::Acquire(Attached& consumer) {
  Generation& generation = *generations_[consumer.generation];
  SyncGone(generation);
  if (Failed()) return;
  WaitOutcome foreseen = WaitOutcome::kWoken;  // not asked
  // A look by the set moves who was overtaken on. If the next Acquire does not take what it was moved to, since it has a corrupt
  // slot to report or waits to be known, the model would not know when.
  const bool may_be_moved =
      (IsLossless(config_.policy) && !consumer.reference->in_place) || consumer.reference->corrupt_untold;
  if (!generation.reference.closed() && !may_be_moved)
    foreseen = consumer.alone.Wait(absl::ZeroDuration()).outcome;
  const size_t wanted = Roll(3) == 0 ? 1 + Roll(kMaxBatch + 1) : 1;
  if (consumer.reference->group.has_value()) {
    AcquireAsMember(consumer, wanted, foreseen);
  } else {
    AcquireForItself(consumer, wanted, foreseen);
  }
}

SlotResult ReferenceEpisode::AcquireSlots(Attached& consumer, size_t wanted, absl::Duration timeout,
                                          std::vector<SlotView>* views) {
  if (wanted == 1) {
    ReadSlot slot = consumer.block->Acquire(timeout);
    const SlotResult result = slot.result();
    if (!slot) return result;
    views->push_back(slot.view());
    consumer.slot.emplace(std::move(slot));
    return result;
  }
  ReadBatch batch = consumer.block->AcquireBatch(wanted, timeout);
  const SlotResult result = batch.result();
  if (!batch) return result;
  views->assign(batch.begin(), batch.end());
  consumer.batch.emplace(std::move(batch));
  return result;
}

SlotResult ReferenceEpisode::Otherwise(const Attached& consumer) {
  const ReferenceChannel& reference = generations_[consumer.generation]->reference;
  return reference.closed() && reference.IsDrained(*consumer.reference) ? SlotResult::kProducerClosed
                                                                        : SlotResult::kTimeout;
}

void ReferenceEpisode::CheckSlot(const SlotView& view, const Answer& expected) {
  ASSERT_EQ(view.sequence, expected.sequence);
  ASSERT_EQ(view.missed_slots, expected.missed_slots);
  ASSERT_EQ(view.redelivered, expected.redelivered);
  ++counts_.read;
  counts_.missed += view.missed_slots;
  counts_.redelivered += view.redelivered ? 1 : 0;
}

void ReferenceEpisode::AcquireForItself(Attached& consumer, size_t wanted, WaitOutcome foreseen) {
  ReferenceChannel& reference = generations_[consumer.generation]->reference;
  std::vector<SlotView> views;
  const SlotResult result = AcquireSlots(consumer, wanted, absl::ZeroDuration(), &views);
  const Answer first = reference.Take(*consumer.reference, /*first=*/true);
  ASSERT_EQ(result, first.result == SlotResult::kTimeout ? Otherwise(consumer) : first.result);
  if (foreseen != WaitOutcome::kWoken) {
    ASSERT_EQ(foreseen, result == SlotResult::kTimeout ? WaitOutcome::kTimeout : WaitOutcome::kReady);
  }
  counts_.timeouts += result == SlotResult::kTimeout ? 1 : 0;
  counts_.corrupt += result == SlotResult::kCorrupt ? 1 : 0;
  if (result == SlotResult::kProducerClosed) return Follow(consumer);
  if (result != SlotResult::kOk) return;
  consumer.held.push_back(first);
  const size_t room =
      consumer.reference->order == ReadOrder::kLatest ? 1 : std::min<size_t>(wanted, kMaxBatch);
  while (consumer.held.size() < room) {
    const Answer next = reference.Take(*consumer.reference, /*first=*/false);
    consumer.reference->corrupt_untold = next.result == SlotResult::kCorrupt;
    if (next.result != SlotResult::kOk) break;
    consumer.held.push_back(next);
  }
  ASSERT_EQ(views.size(), consumer.held.size());
  for (size_t i = 0; i < views.size(); ++i) CheckSlot(views[i], consumer.held[i]);
  CheckHeld(consumer);
}

// Who of a group gets which of the slots that the dead have left is not told; all else is.
void ReferenceEpisode::AcquireAsMember(Attached& consumer, size_t wanted, WaitOutcome foreseen) {
  ReferenceChannel& reference = generations_[consumer.generation]->reference;
  ReferenceConsumer& member = *consumer.reference;
  const size_t group = *member.group;
  const bool untold = std::exchange(member.corrupt_untold, false);
  const bool fresh = reference.FindFresh(group).has_value();
  // For those, somebody has to ask the kernel.
  const bool waits = !untold && !fresh && reference.AnyAbandoned(group);
  std::vector<SlotView> views;
  const SlotResult result = AcquireSlots(consumer, wanted, waits ? kPatience : absl::ZeroDuration(), &views);
  // What a set has seen may be another member's by now; what it has not seen was not there.
  ASSERT_TRUE(foreseen != WaitOutcome::kTimeout || waits || result == SlotResult::kTimeout);
  counts_.timeouts += result == SlotResult::kTimeout ? 1 : 0;
  counts_.corrupt += result == SlotResult::kCorrupt ? 1 : 0;
  if (untold) {
    ASSERT_EQ(result, SlotResult::kCorrupt);
    return;
  }
  for (const SlotView& view : views) {
    const std::optional<uint64_t> oldest = reference.FindFresh(group);
    ASSERT_TRUE(view.sequence == oldest || reference.IsAbandoned(group, view.sequence))
        << "slot " << view.sequence << " is somebody else's, or was done, or came too early";
    consumer.held.push_back(reference.Claim(member, view.sequence));
    ASSERT_EQ(consumer.held.back().result, SlotResult::kOk) << "slot " << view.sequence << " is corrupt";
    CheckSlot(view, consumer.held.back());
  }
  const std::optional<uint64_t> oldest = reference.FindFresh(group);
  if (result == SlotResult::kOk) {
    if (views.size() < std::min<size_t>(wanted, kMaxBatch) && oldest.has_value()) {
      ASSERT_EQ(reference.Claim(member, *oldest).result, SlotResult::kCorrupt) << "it was left out";
      member.corrupt_untold = true;
    }
    CheckHeld(consumer);
  } else if (oldest.has_value()) {
    ASSERT_EQ(result, SlotResult::kCorrupt);
    ASSERT_EQ(reference.Claim(member, *oldest).result, SlotResult::kCorrupt);
  } else {
    ASSERT_FALSE(waits) << "what the dead held was not found";
    ASSERT_EQ(result, Otherwise(consumer));
    if (result == SlotResult::kProducerClosed) Follow(consumer);
  }
}

void ReferenceEpisode::CheckHeld(const Attached& consumer) {
  for (size_t i = 0; i < consumer.held.size(); ++i) {
    const auto payload = consumer.slot ? consumer.slot->payload() : (*consumer.batch)[i].payload;
    ASSERT_EQ(payload.size(), consumer.held[i].payload.size());
    ASSERT_TRUE(payload.empty() ||
                std::memcmp(payload.data(), consumer.held[i].payload.data(), payload.size()) == 0)
        << "slot " << consumer.held[i].sequence << " is not what was committed, or has changed";
  }
}

void ReferenceEpisode::Release(Attached& consumer) {
  // Whatever was written meanwhile.
  CheckHeld(consumer);
  ASSERT_EQ(consumer.slot ? consumer.slot->Release() : consumer.batch->Release(), SlotResult::kOk);
  consumer.slot.reset();
  consumer.batch.reset();
  consumer.held.clear();
  generations_[consumer.generation]->reference.Release(*consumer.reference);
}

// True if the last producer is gone, and the consumer's group has nothing to read of generation `first` and the later ones.
// Their segments may be gone then: no place in them was kept for a member that joined an earlier one after they were made.
bool ReferenceEpisode::IsDrainedFrom(size_t first, const ReferenceConsumer& consumer) const {
  if (producer_ != nullptr || !consumer.group.has_value()) return false;
  return std::all_of(generations_.begin() + static_cast<ptrdiff_t>(first), generations_.end(),
                     [&](const auto& generation) { return generation->reference.AllDone(*consumer.group); });
}

void ReferenceEpisode::Follow(Attached& consumer) {
  const absl::Status status = consumer.block->Follow(absl::ZeroDuration());
  const size_t next = consumer.generation + 1;
  if (next == generations_.size()) {
    ASSERT_TRUE(absl::IsDeadlineExceeded(status)) << status;
    return;
  }
  if (!status.ok() && IsDrainedFrom(next, *consumer.reference)) {
    ASSERT_TRUE(absl::IsDeadlineExceeded(status)) << status;
    return;
  }
  ASSERT_TRUE(status.ok()) << status;
  size_t arrived = next;
  while (arrived < generations_.size() && generations_[arrived]->segment_id != consumer.block->segment_id())
    ++arrived;
  ASSERT_LT(arrived, generations_.size());
  ReferenceConsumer& before = *consumer.reference;
  // A member passes over what its group has read; nobody else passes over anything.
  for (size_t passed = next; passed < arrived; ++passed) {
    ASSERT_TRUE(before.group.has_value() && generations_[passed]->reference.AllDone(*before.group));
    if (consumer.kept[passed] != nullptr) consumer.kept[passed]->gone = true;
    consumer.kept[passed].reset();
  }
  generations_[consumer.generation]->reference.Leave(consumer.reference);
  consumer.generation = arrived;
  consumer.reference = std::move(consumer.kept[arrived]);
  // A member that has come to an earlier producer's segment has no place in the later ones.
  if (consumer.reference == nullptr)
    consumer.reference = JoinReference(generations_[arrived]->reference, consumer.options);
  generations_[arrived]->reference.Arrive(*consumer.reference);
  ++counts_.followed;
}

// --- who comes and goes

ConsumerOptions ReferenceEpisode::RandomOptions() {
  const ReadOrder order = Roll(4) == 0 ? ReadOrder::kLatest : ReadOrder::kNext;
  ConsumerOptions options = {
      .order = order, .max_batch = kMaxBatch, .wait = kNoSpin, .directory = config_.directory};
  if (order == ReadOrder::kLatest) return options;
  if (is_pipeline()) {
    options.group = config_.groups[Roll(config_.groups.size())];
    return options;
  }
  const uint64_t head = current().reference.head();
  const uint64_t dice = Roll(6);
  if (dice == 0) options.start = JoinPoint::Oldest();
  if (dice == 1)
    options.start = JoinPoint::Sequence(head - std::min(head, Roll(uint64_t{3} * config_.capacity_slots)));
  // Which one was given up is only sure if there is no other.
  const bool another = std::any_of(consumers_.begin(), consumers_.end(),
                                   [](const auto& consumer) { return consumer->reference->impatient; });
  if (IsLossless(config_.policy) && !another && Roll(2) == 0) {
    options.when_slow = Roll(2) == 0 ? WhenSlow::kDropBacklog : WhenSlow::kCutOff;
    options.patience = absl::Nanoseconds(1);
  }
  return options;
}

size_t ReferenceEpisode::GroupIn(const ConsumerOptions& options) const {
  const auto found = std::find(config_.groups.begin(), config_.groups.end(), *options.group);
  return static_cast<size_t>(found - config_.groups.begin());
}

size_t ReferenceEpisode::GenerationToJoin(const ConsumerOptions& options) {
  const size_t last = generations_.size() - 1;
  if (!options.group.has_value()) return last;
  for (size_t i = 0; i < last; ++i) {
    if (!generations_[i]->reference.AllDone(GroupIn(options))) return i;
  }
  return last;
}

std::shared_ptr<ReferenceConsumer> ReferenceEpisode::JoinReference(ReferenceChannel& channel,
                                                                   const ConsumerOptions& options) {
  if (options.group.has_value()) return channel.JoinGroup(GroupIn(options));
  auto joined = channel.Join(*options.order, options.start, options.when_slow != WhenSlow::kBlock);
  counts_.joined_behind += *options.order == ReadOrder::kNext && joined->next < channel.head() ? 1 : 0;
  return joined;
}

uint64_t ReferenceEpisode::PlacesTaken(size_t generation, bool at_most) {
  uint64_t taken = 0;
  for (const auto& consumer : consumers_) {
    const bool kept = generation < consumer->kept.size() && consumer->kept[generation] != nullptr;
    taken += consumer->generation == generation || kept ? 1 : 0;
  }
  // Places of those who will never come are free as soon as the producer knows.
  return taken + (at_most ? generations_[generation]->reference.places_in_vain() : 0);
}

ReferenceEpisode::Attached& ReferenceEpisode::Attach(std::unique_ptr<DataBlockConsumer> block,
                                                     const ConsumerOptions& options, size_t generation) {
  auto attached = std::make_unique<Attached>();
  attached->block = std::move(block);
  attached->options = options;
  attached->generation = generation;
  attached->kept.resize(generations_.size());
  attached->reference = JoinReference(generations_[generation]->reference, options);
  EXPECT_EQ(attached->block->segment_id(), generations_[generation]->segment_id);
  EXPECT_TRUE(attached->alone.Add(*attached->block).ok());
  consumers_.push_back(std::move(attached));
  return *consumers_.back();
}

void ReferenceEpisode::Join() {
  // The places of a pipeline are for those too who follow from one producer to the next.
  if (is_pipeline() && consumers_.size() == kMembers) return;
  const ConsumerOptions options = RandomOptions();
  const size_t generation = GenerationToJoin(options);
  SyncGone(*generations_[generation]);
  if (Failed()) return;
  auto opened = DataBlockConsumer::Open(config_.channel, options);
  if (PlacesTaken(generation, /*at_most=*/true) >= config_.max_consumers && !opened.ok()) {
    ASSERT_TRUE(absl::IsResourceExhausted(opened.status())) << opened.status();
    return;
  }
  ASSERT_TRUE(opened.ok()) << opened.status();
  ASSERT_LT(PlacesTaken(generation, /*at_most=*/false), config_.max_consumers);
  Attach(*std::move(opened), options, generation);
  const auto here = std::count_if(consumers_.begin(), consumers_.end(), [this](const auto& consumer) {
    return consumer->generation + 1 == generations_.size();
  });
  ASSERT_EQ(producer_->consumer_count(), static_cast<uint32_t>(here));
}

void ReferenceEpisode::Leave(size_t index) {
  Attached& consumer = *consumers_[index];
  if (consumer.holds()) Release(consumer);
  const ConsumerStats stats = consumer.block->Stats();
  const ReferenceConsumer& reference = *consumer.reference;
  ASSERT_EQ(stats.received_slots, reference.received_slots);
  ASSERT_EQ(stats.received_bytes, reference.received_bytes);
  ASSERT_EQ(stats.missed_slots, reference.missed_slots);
  ASSERT_EQ(stats.corrupt_slots, reference.corrupt_slots);
  ASSERT_EQ(stats.redelivered_slots, reference.redelivered_slots);
  generations_[consumer.generation]->reference.Leave(consumer.reference);
  for (const auto& kept : consumer.kept) {
    if (kept != nullptr) kept->gone = true;
  }
  consumers_.erase(consumers_.begin() + static_cast<ptrdiff_t>(index));
}

// A consumer in another process: it takes what it can get, and is killed with it in its hands.
std::vector<uint64_t> ReferenceEpisode::LiveAndDie(const ConsumerOptions& options, size_t slots,
                                                   uint64_t lowest) {
  ChildProcess child([&](const ChildProcess::Line& test) {
    auto opened = DataBlockConsumer::Open(config_.channel, options);
    if (!opened.ok()) return 1;
    std::optional<ReadBatch> batch;
    if (slots != 0) batch.emplace((*opened)->AcquireBatch(slots, absl::ZeroDuration()));
    for (size_t i = 0; batch && i < batch->size(); ++i)
      test.Signal(static_cast<char>(2 + (*batch)[i].sequence - lowest));
    test.Signal(1);
    test.Await();
    return 0;
  });
  std::vector<uint64_t> held;
  for (char said = child.line().Await(); said != 1; said = child.line().Await()) {
    EXPECT_NE(said, 0) << "it could not open the channel";
    if (said == 0) break;
    held.push_back(lowest + static_cast<uint64_t>(said) - 2);
  }
  child.Kill();
  return held;
}

void ReferenceEpisode::Die() {
  ConsumerOptions options = RandomOptions();
  options.when_slow = WhenSlow::kBlock;
  const size_t generation = GenerationToJoin(options);
  ReferenceChannel& reference = generations_[generation]->reference;
  if (PlacesTaken(generation, /*at_most=*/true) >= config_.max_consumers) return;
  SyncGone(*generations_[generation]);
  if (Failed()) return;
  ++counts_.deaths;
  const std::shared_ptr<ReferenceConsumer> dead = JoinReference(reference, options);
  // What is not sound would be passed over: by somebody of the group, or with a cursor that moves on before its death.
  const bool takes =
      dead->group.has_value() ? !reference.AnyCorruptToCome(*dead->group) : !reference.IsCorrupt(dead->next);
  const std::vector<uint64_t> held = LiveAndDie(options, takes ? kMaxBatch : 0, reference.oldest());
  for (const uint64_t sequence : held) {
    if (!dead->group.has_value()) continue;
    ASSERT_TRUE(sequence == reference.FindFresh(*dead->group) ||
                reference.IsAbandoned(*dead->group, sequence));
    ASSERT_EQ(reference.Claim(*dead, sequence).result, SlotResult::kOk);
  }
  reference.Die(dead);
}

void ReferenceEpisode::Corrupt() {
  const bool newest = consumers_.empty() || Roll(2) == 0;
  Generation& generation =
      newest ? current() : *generations_[consumers_[Roll(consumers_.size())]->generation];
  ReferenceChannel& reference = generation.reference;
  if (reference.oldest() == reference.head()) return;
  // What is gone cannot be spoilt, and what somebody holds is not.
  SyncGone(generation);
  const uint64_t sequence = reference.oldest() + Roll(reference.head() - reference.oldest());
  if (Failed() || !reference.IsThere(sequence) || !reference.IsUntouched(sequence)) return;
  SlotDescriptor& cell = generation.data->descriptor(sequence);
  const uint64_t bytes = reference.payload(sequence).size();
  const uint64_t dice = config_.checksum == Checksum::kEnforced ? Roll(4) : 3;
  if (dice == 0 && bytes == 0) return;
  if (dice == 0) generation.data->Flip(sequence, Roll(bytes));
  if (dice == 1) cell.checksum.fetch_xor(1);
  if (dice == 2) cell.flags.store(0);
  if (dice == 3) cell.payload_bytes.store(config_.slot_bytes + 1 + Roll(1'000'000));
  reference.SetCorrupt(sequence);
}

// Tells the model which slots the channel has given up, if it may.
void ReferenceEpisode::SyncGone(Generation& generation) {
  ReferenceChannel& reference = generation.reference;
  for (uint64_t sequence = reference.oldest(); sequence < reference.head(); ++sequence) {
    if (!reference.IsThere(sequence) || generation.data->Has(sequence)) continue;
    ASSERT_TRUE(reference.MayBeGone(sequence))
        << "slot " << sequence << " of " << reference.head() << " is gone";
    reference.SetGone(sequence);
  }
}

// --- the end

void ReferenceEpisode::ReadToTheEnd(Attached& consumer) {
  for (;;) {
    if (Failed()) return;
    if (consumer.holds()) Release(consumer);
    const ReferenceChannel& reference = generations_[consumer.generation]->reference;
    const bool last = consumer.generation + 1 == generations_.size() ||
                      IsDrainedFrom(consumer.generation + 1, *consumer.reference);
    if (consumer.reference->cut_off) return;
    // What others of the group hold is theirs to give back.
    const bool over = reference.IsDrained(*consumer.reference);
    Acquire(consumer);
    if (over && last) return;
  }
}

void ReferenceEpisode::DrainGroup(size_t group) {
  const ConsumerOptions options = {.order = ReadOrder::kNext,
                                   .group = config_.groups[group],
                                   .max_batch = kMaxBatch,
                                   .wait = kNoSpin,
                                   .directory = config_.directory};
  const size_t generation = GenerationToJoin(options);
  if (generations_[generation]->reference.AllDone(group)) return;
  auto opened = DataBlockConsumer::Open(config_.channel, options);
  ASSERT_TRUE(opened.ok()) << opened.status();
  ReadToTheEnd(Attach(*std::move(opened), options, generation));
  if (!Failed()) Leave(consumers_.size() - 1);
}

void ReferenceEpisode::Finish() {
  EndGeneration();
  for (const auto& consumer : consumers_) {
    if (!Failed() && consumer->holds()) Release(*consumer);
  }
  for (const auto& consumer : consumers_) {
    if (!Failed()) ReadToTheEnd(*consumer);
  }
  while (!consumers_.empty() && !Failed()) Leave(consumers_.size() - 1);
  for (size_t group = 0; group < current().reference.group_count() && !Failed(); ++group) DrainGroup(group);
}

}  // namespace pylabhub::shm
