// A producer whose control memory is in parts, one for each consumer, and a bell that everybody may write; an honest consumer
// has one part, and nobody else is honest.
//
// The input is a program: which channel, which part the honest consumer has and when it joins, then steps of the producer, of
// the honest consumer, and of the others, who may write anything into the bell and into every part but its. The producer must
// touch nothing that is not its own, and no part that it has replaced. The honest consumer is given what was committed, or
// told that it was not; and from when the producer has acknowledged it, all that its policy promises, whatever the others
// write: they cannot even delay it. Sometimes it is evicted itself, by a fresh part.
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <set>
#include <span>
#include <utility>
#include <vector>

#include "shm/part_plan.h"
#include "shm/read_order.h"
#include "shm/ring/consumer_roster.h"
#include "shm/ring/group_claims.h"
#include "shm/ring/ring_writer.h"
#include "shm/segment/control_segment.h"
#include "shm/segment/data_segment.h"
#include "shm/segment/layout.h"
#include "tests/fuzz/honest_consumer.h"
#include "tests/fuzz/input.h"
#include "tests/fuzz/other_consumers.h"
#include "tests/fuzz/require.h"
#include "tests/fuzz/segment_samples.h"
#include "tests/shm/segment_memory.h"

namespace pylabhub::fuzz {
namespace {

using ::pylabhub::shm::ChannelConfig;
using ::pylabhub::shm::ConsumerEntry;
using ::pylabhub::shm::ControlShape;
using ::pylabhub::shm::ControlView;
using ::pylabhub::shm::PartPlan;
using ::pylabhub::shm::PlaceRecord;
using ::pylabhub::shm::SegmentMemory;

constexpr int kMaxSteps = 300;
constexpr uint32_t kMostRenewals = 5;
// A step of LookAtConsumers.
constexpr int kRenews = 7;

// Those of the other fuzzers; pipelines have a second group, which is not to be trusted.
const std::vector<ChannelConfig>& Configs() {
  static const auto* const configs = [] {
    auto* made = new std::vector<ChannelConfig>(SampleConfigs());
    for (ChannelConfig& config : *made) {
      if (config.policy == shm::Policy::kPipeline) config.groups = {"honest", "other"};
    }
    return made;
  }();
  return *configs;
}

void ReplaceWord(const SegmentMemory& memory, uint64_t offset_bytes, Input& input) {
  memory.Write(offset_bytes, input.Replacement(memory.Read<uint64_t>(offset_bytes)));
}

class Channel {
 public:
  Channel(const ChannelConfig& config, uint32_t honest_part, uint64_t joins_at)
      : config_(config),
        lossless_(IsLossless(config.policy)),
        plan_(PlanParts(config)),
        // Of a pipeline that of its first group, else anybody's.
        honest_part_(config.groups.empty() ? honest_part % static_cast<uint32_t>(plan_.size()) : 0),
        joins_at_(joins_at),
        data_memory_(DataFileBytes(config, CountPlaces(plan_))),
        bell_memory_(shm::kBellBytes),
        segment_(BuildData(data_memory_.bytes(), config, {}, {}, CountPlaces(plan_))),
        views_(BuildParts()),
        roster_(views_, bell(), config.max_pins, [this](uint32_t place) { return dead_.count(place) == 0; }),
        writer_(segment_, config_, roster_) {
    shm::PublishData(data_memory_.bytes());
  }

  void Step(Input& input) {
    if (honest_ == nullptr && writer_.next_sequence() >= joins_at_) Join();
    switch (input.Byte() % 8) {
      case 0:
        return ProduceSome(input);
      case 1:
        return Acquire(1 + input.Byte() % kMaxBatch);
      case 2:
        return Release();
      case 3:
        return Sleep();
      case 4:
        return LookAtConsumers(input);
      case 5:
        return ReplaceWord(bell_memory_, 0, input);
      case 6:
        return SpoilPart(input);
      default:
        return SpoilEntry(input);
    }
  }

  // All others are dead, and say no more.
  void Finish() {
    if (honest_ == nullptr) return;
    Release();
    for (uint32_t place = 0; place < CountPlaces(plan_); ++place) dead_.insert(place);
    if (!evicted_) dead_.erase(place());
    roster_.LookAtAll(writer_.next_sequence());
    roster_.EvictAllDead();
    if (evicted_) return;
    honest_->ReadToTheEnd(writer_.next_sequence());
    writer_.Close();
    honest_->LearnOfTheEnd();
  }

 private:
  std::atomic<uint64_t>& bell() const {
    return *shm::At<std::atomic<uint64_t>>(bell_memory_.bytes().data(), 0);
  }
  const PartPlan& plan() const { return plan_[honest_part_]; }
  uint32_t place() const { return plan().first_place; }
  const PlaceRecord& record() const { return segment_.places()[place()]; }
  ConsumerEntry& entry() const { return honest_view_.entry(place()); }

  static std::unique_ptr<SegmentMemory> NewPart(const ControlShape& shape, ControlView& view) {
    auto memory = std::make_unique<SegmentMemory>(ControlFileBytes(shape));
    view = BuildControl(memory->bytes(), shape, {});
    return memory;
  }
  std::vector<ControlView> BuildParts() {
    std::vector<ControlView> views(plan_.size());
    for (size_t i = 0; i < plan_.size(); ++i)
      parts_.push_back(NewPart(ControlShape::OfPart(config_, plan_[i], /*renewals=*/0), views[i]));
    renewals_.resize(plan_.size(), 0);
    honest_view_ = views[honest_part_];
    return views;
  }

  // As in shm/channel/membership.cc.
  void Join() {
    const uint64_t head = writer_.next_sequence();
    ConsumerEntry& own = entry();
    own.group = plan().group;
    own.order = static_cast<uint32_t>(shm::ReadOrder::kNext);
    own.pins_declared = kMaxBatch;
    // Whose group it is, all of whose slots are still there.
    own.cursor = plan().group == 0 ? head : 0;
    own.state = StateOf(1, shm::Phase::kActive);
    ++honest_view_.header->membership_changes;
    ++bell();
    shm::ReaderSetup setup{.place = place(),
                           .start = {.sequence = own.cursor, .at_head = plan().group == 0},
                           .waited_for_without_end = lossless_,
                           .may_be_unheard = true,
                           .max_batch = kMaxBatch,
                           .max_pinned = kMaxBatch};
    if (plan().group != 0) {
      setup.member.emplace(honest_view_, plan().group - 1, place(),
                           [this](uint32_t other) { return dead_.count(other) == 0; });
    }
    honest_ =
        std::make_unique<HonestConsumer>(*shm::ViewData(data_memory_.bytes()), &own, setup, committed_bytes_);
    // A group is waited for, whether or not its members are known.
    if (plan().group != 0) honest_->ExpectAllFrom(0);
  }

  bool is_acknowledged() const {
    return honest_ != nullptr && !evicted_ && record().acknowledged_state == entry().state;
  }
  void NoteAcknowledgement() {
    if (!lossless_ || promised_ || !is_acknowledged()) return;
    promised_ = true;
    honest_->ExpectAllFrom(writer_.next_sequence());
  }

  void ProduceSome(Input& input) {
    roster_.LookInTurn(writer_.next_sequence());
    const bool ready = Produce(writer_, config_.slot_bytes, input, committed_bytes_, [&](uint64_t end) {
      NoteAcknowledgement();
      // Its cursor, which nobody else can write.
      const uint64_t given_back = plan().group == 0 ? entry().cursor.load() : GroupReleasedBelow();
      const bool holds = plan().group != 0 || (lossless_ && is_acknowledged());
      Require(!holds || evicted_ || end <= given_back + config_.capacity_slots,
              "nothing is overwritten that an honest consumer has not given back");
    });
    Require(ready || lossless_, "a producer that overwrites never waits");
    NoteAcknowledgement();
    looks_ = is_acknowledged() || honest_ == nullptr || evicted_ ? 0 : looks_ + 1;
    Require(looks_ <= plan_.size() + 1, "nobody can keep the producer from hearing of an honest consumer");
  }
  uint64_t GroupReleasedBelow() const { return honest_ == nullptr ? 0 : honest_->released_below(); }

  void Acquire(size_t slots) {
    if (honest_ == nullptr || honest_->held() != 0) return;
    acquired_acknowledged_ = is_acknowledged();
    honest_->Acquire(slots);
  }
  void Sleep() {
    if (honest_ == nullptr || honest_->held() != 0) return;
    acquired_acknowledged_ = is_acknowledged();
    honest_->Sleep();
  }
  void Release() {
    if (honest_ == nullptr) return;
    // Everybody's first pin counts before anybody's second, but no more than the channel has.
    const bool pins_count = acquired_acknowledged_ && CountPlaces(plan_) <= config_.max_pins;
    honest_->Release(/*stays=*/honest_->held() <= 1 && (plan().group != 0 || pins_count));
  }

  void LookAtConsumers(Input& input) {
    const uint32_t other = static_cast<uint32_t>(input.Below(CountPlaces(plan_)));
    const bool is_honest = other == place() && !evicted_;
    const int step = input.Byte() % 8;
    if (step == kRenews) return Renew(input);
    if (step != kOther) return LookAtConsumer(step, other, is_honest, dead_, roster_, writer_, input);
    Require(roster_.CountSettled() <= CountPlaces(plan_), "nobody is counted twice");
    roster_.LookAtAll(writer_.next_sequence());
  }

  void Renew(Input& input) {
    const auto index = static_cast<uint32_t>(input.Below(plan_.size()));
    // A group's parts are not renewed; and the honest consumer is evicted by a rare byte alone.
    if (plan_[index].group != 0 || renewals_[index] == kMostRenewals) return;
    if (index == honest_part_ && (honest_ == nullptr || evicted_ || input.Byte() != 0xee)) return;
    ControlView fresh;
    auto memory = NewPart(ControlShape::OfPart(config_, plan_[index], ++renewals_[index]), fresh);
    writer_.RenewPart(index, fresh);
    // The old one is unmapped: whoever looks at it still is found out. But the honest consumer has it mapped itself.
    std::swap(parts_[index], memory);
    views_[index] = fresh;
    if (index != honest_part_) return;
    kept_ = std::move(memory);
    evicted_ = true;
    honest_->ExpectAnything();
  }

  void SpoilPart(Input& input) {
    const auto index = static_cast<uint32_t>(input.Below(plan_.size()));
    if (index == honest_part_) return;
    const SegmentMemory& part = *parts_[index];
    ReplaceWord(part, 8 * (input.Number(2) % (part.bytes().size() / 8)), input);
  }

  void SpoilEntry(Input& input) {
    const auto index = static_cast<uint32_t>(input.Below(plan_.size()));
    if (index == honest_part_) return;
    const ControlView& view = views_[index];
    ConsumerEntry& other =
        view.entry(view.first_place() + static_cast<uint32_t>(input.Below(view.max_consumers())));
    if (input.Byte() % 4 == 0) {
      BeLikeAnHonestOne(other, plan_[index].group);
    } else {
      const auto offset_bytes =
          static_cast<uint64_t>(reinterpret_cast<std::byte*>(&other) - parts_[index]->bytes().data());
      ReplaceWord(*parts_[index], offset_bytes + 8 * input.Below(sizeof(ConsumerEntry) / 8), input);
    }
    ++view.header->membership_changes;
    if (input.Byte() % 2 == 0) ++bell();
  }
  void BeLikeAnHonestOne(ConsumerEntry& other, uint32_t group) const {
    other.group = group;
    other.order = static_cast<uint32_t>(shm::ReadOrder::kNext);
    other.pins_declared = kMaxBatch;
    other.cursor = writer_.next_sequence();
    const uint64_t state = other.state;
    other.state = StateOf(shm::UsesOf(state) + 1, shm::Phase::kActive, shm::RenewalsOf(state));
  }

  ChannelConfig config_;
  bool lossless_;
  std::vector<PartPlan> plan_;
  uint32_t honest_part_;
  uint64_t joins_at_;
  SegmentMemory data_memory_;
  SegmentMemory bell_memory_;
  shm::DataSegment segment_;
  std::vector<std::unique_ptr<SegmentMemory>> parts_;  // as they are now
  std::vector<uint32_t> renewals_;
  ControlView honest_view_;
  std::unique_ptr<SegmentMemory> kept_;  // the part that the honest consumer had, and still has mapped
  std::vector<ControlView> views_;
  std::set<uint32_t> dead_;
  shm::ConsumerRoster roster_;
  shm::RingWriter writer_;
  std::vector<size_t> committed_bytes_;
  std::unique_ptr<HonestConsumer> honest_;  // once it has joined
  bool promised_ = false;                   // the producer has acknowledged it
  bool evicted_ = false;
  bool acquired_acknowledged_ = false;  // what it holds, it has acquired after that
  size_t looks_ = 0;  // of the producer, since the honest consumer has joined and was not heard
};

void Run(Input input) {
  const ChannelConfig& config = Configs()[input.Byte() % Configs().size()];
  const uint8_t honest_part = input.Byte();
  Channel channel(config, honest_part, /*joins_at=*/input.Byte() % 8);
  for (int step = 0; step < kMaxSteps && !input.empty(); ++step) channel.Step(input);
  channel.Finish();
}

}  // namespace
}  // namespace pylabhub::fuzz

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t bytes) {
  pylabhub::fuzz::Run(pylabhub::fuzz::Input(data, bytes));
  return 0;
}
