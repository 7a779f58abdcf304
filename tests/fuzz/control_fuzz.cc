// A producer whose control segment others write into, with an honest consumer beside them.
//
// The input is a program: which channel, at which place the honest consumer sits and what the others may spoil, then
// steps of the producer, of the honest consumer and of the others. Whatever those write, the producer touches nothing
// that is not its own, and the honest consumer is given what was committed, or told that it was not. While they leave
// the honest consumer's own entry alone, it is given everything that its policy promises.
//
// Sample 255 is none: the rest of the input is a control file, which is opened. 254: one is opened after it was spoilt.
#include <cstddef>
#include <cstdint>
#include <set>
#include <span>
#include <vector>

#include "shm/read_order.h"
#include "shm/ring/consumer_roster.h"
#include "shm/ring/group_claims.h"
#include "shm/ring/ring_reader.h"
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
using ::pylabhub::shm::SegmentMemory;
using ::pylabhub::shm::Touch;

constexpr uint8_t kNoSample = 255;
constexpr uint8_t kSpoiltBeforeOpening = 254;
constexpr int kMaxSteps = 300;

// A new channel, to be copied: building one takes far longer than what is done with it here.
struct Sample {
  SegmentMemory data;
  SegmentMemory control;
  shm::DataView view;  // of `data`

  explicit Sample(const ChannelConfig& config)
      : data(WrittenSegment(config, 0)),
        control(ControlFileBytes(ControlShape::Of(config))),
        view(*shm::ViewData(data.bytes())) {
    BuildControl(control.bytes(), ControlShape::Of(config), {});
  }
};

const std::vector<Sample>& Samples() {
  static const auto* const samples = [] {
    const std::vector<ChannelConfig> configs = SampleConfigs();
    return new std::vector<Sample>(configs.begin(), configs.end());
  }();
  return *samples;
}

void ReplaceWord(const SegmentMemory& memory, uint64_t offset_bytes, Input& input) {
  memory.Write(offset_bytes, input.Replacement(memory.Read<uint64_t>(offset_bytes)));
}

class Channel {
 public:
  Channel(const Sample& sample, uint32_t honest_place, bool spares_honest, bool settles_late)
      : config_(sample.view.config),
        lossless_(IsLossless(config_.policy)),
        shares_(!config_.groups.empty()),
        honest_place_(honest_place),
        spares_honest_(spares_honest),
        data_memory_(sample.data.bytes()),
        control_memory_(sample.control.bytes()),
        segment_(SegmentIn(sample)),
        control_(*shm::ViewControl(control_memory_.bytes())),
        roster_(control_, config_.max_pins, [this](uint32_t place) { return dead_.count(place) == 0; }),
        writer_(segment_, config_, roster_),
        honest_(Join(sample), &control_.entry(honest_place), SetupOf(honest_place, settles_late),
                committed_bytes_) {
    if (!spares_honest_) honest_.ExpectAnything();
    if (lossless_) honest_.ExpectAllFrom(0);
  }

  void Step(Input& input) {
    switch (input.Byte() % 8) {
      case 0:
        return ProduceSome(input);
      case 1:
        return honest_.Acquire(1 + input.Byte() % kMaxBatch);
      case 2:
        return Release();
      case 3:
        return honest_.Sleep();
      case 4:
        return LookAtConsumers(input);
      case 5:
        return SpoilAnything(input);
      default:
        return SpoilEntry(input);
    }
  }
  // Everybody else has left, so that all comes to its end.
  void Finish() {
    Release();
    for (uint32_t place = 0; place < config_.max_consumers; ++place) dead_.insert(place);
    if (spares_honest_) dead_.erase(honest_place_);
    roster_.Refresh(writer_.next_sequence());
    roster_.EvictAllDead();
    honest_.ReadToTheEnd(writer_.next_sequence());
    writer_.Close();
    honest_.LearnOfTheEnd();
  }

 private:
  shm::DataSegment SegmentIn(const Sample& sample) const {
    std::byte* const base = data_memory_.bytes().data();
    return {sample.view.geometry, base, shm::At<shm::DataHeader>(base, data_memory_.header_offset_bytes())};
  }
  shm::DataView Join(const Sample& sample) {
    ConsumerEntry& entry = control_.entry(honest_place_);
    entry.group = shares_ ? 1 : 0;
    entry.order = static_cast<uint32_t>(shm::ReadOrder::kNext);
    entry.pins_declared = kMaxBatch;
    entry.state = StateOf(1, shm::Phase::kActive);
    ++control_.header->membership_changes;
    roster_.Refresh(0);
    shm::DataView view = sample.view;
    view.base = segment_.base;
    view.header = segment_.header;
    return view;
  }

  shm::ReaderSetup SetupOf(uint32_t place, bool settles_late) const {
    shm::ReaderSetup setup{.place = place,
                           .start = {.at_head = !settles_late},
                           .waited_for_without_end = lossless_,
                           .max_batch = kMaxBatch};
    if (shares_) {
      setup.member.emplace(control_, /*group=*/0, place,
                           [this](uint32_t other) { return dead_.count(other) == 0; });
    }
    return setup;
  }

  void ProduceSome(Input& input) {
    const bool ready = Produce(writer_, config_.slot_bytes, input, committed_bytes_, [&](uint64_t end) {
      Require(!lossless_ || !spares_honest_ || end <= honest_.released_below() + config_.capacity_slots,
              "nothing is overwritten that an honest consumer has not given back");
    });
    Require(ready || lossless_, "a producer that overwrites never waits");
  }

  void Release() {
    // Pins beyond those of the channel are not honoured, and others may set more than they declared; but everybody's first
    // pin counts before anybody's second.
    honest_.Release(/*stays=*/honest_.held() <= 1 && config_.max_consumers <= config_.max_pins);
  }

  void LookAtConsumers(Input& input) {
    const uint32_t place = static_cast<uint32_t>(input.Below(config_.max_consumers));
    const bool is_honest = place == honest_place_ && spares_honest_;
    const int step = input.Byte() % 7;
    if (step != kOther) return LookAtConsumer(step, place, is_honest, dead_, roster_, writer_, input);
    Require(roster_.CountSettled() <= config_.max_consumers, "nobody is counted twice");
    writer_.CountWaitFor(place, 1);
    writer_.CountWait(1);
  }

  void SpoilEntry(Input& input) {
    uint32_t place = static_cast<uint32_t>(input.Below(config_.max_consumers));
    if (place == honest_place_ && spares_honest_) place = (place + 1) % config_.max_consumers;
    if (place == honest_place_ && spares_honest_) return;
    ReplaceWord(control_memory_,
                OffsetOf(&control_.entry(place)) + 8 * input.Below(sizeof(ConsumerEntry) / 8), input);
    ++control_.header->membership_changes;
  }

  void SpoilAnything(Input& input) {
    const uint64_t words = control_memory_.bytes().size() / 8;
    const uint64_t offset_bytes = 8 * (input.Number(2) % words);
    const uint64_t honest = OffsetOf(&control_.entry(honest_place_));
    if (spares_honest_ && offset_bytes >= honest && offset_bytes < honest + sizeof(ConsumerEntry)) return;
    // Those of a group trust each other.
    if (spares_honest_ && shares_ && offset_bytes >= OffsetOf(control_.groups)) return;
    ReplaceWord(control_memory_, offset_bytes, input);
  }

  uint64_t OffsetOf(const void* part) const {
    return static_cast<uint64_t>(static_cast<const std::byte*>(part) - control_memory_.bytes().data());
  }

  ChannelConfig config_;
  bool lossless_;
  bool shares_;  // the honest consumer is the only member of a group
  uint32_t honest_place_;
  bool spares_honest_;  // the others leave the honest consumer's entry alone
  SegmentMemory data_memory_;
  SegmentMemory control_memory_;
  shm::DataSegment segment_;
  ControlView control_;
  std::set<uint32_t> dead_;
  shm::ConsumerRoster roster_;
  shm::RingWriter writer_;
  std::vector<size_t> committed_bytes_;
  HonestConsumer honest_;
};

void Open(const SegmentMemory& memory) {
  const absl::StatusOr<ControlView> view = shm::ViewControl(memory.bytes());
  if (!view.ok()) {
    Require(absl::IsFailedPrecondition(view.status()) && !view.status().message().empty(),
            "a refusal says why");
    return;
  }
  volatile uint64_t sum = Touch(std::as_bytes(std::span(view->header, 1)));
  sum = sum + Touch(std::as_bytes(std::span(view->entries, view->max_consumers())));
  for (uint32_t i = 0; i < view->shape.group_count; ++i) {
    const uint32_t group = view->shape.first_group + i;
    sum = sum + Touch(std::as_bytes(std::span(&view->group(group), 1))) +
          Touch(std::as_bytes(view->claims(group)));
  }
}

void SpoilAndOpen(Input& input) {
  const SegmentMemory memory(Samples()[input.Below(Samples().size())].control.bytes());
  const uint64_t header = memory.header_offset_bytes();
  while (!input.empty()) {
    const uint64_t word = input.Below(64);
    constexpr uint64_t kSuperblockWords = sizeof(shm::Superblock) / 8;
    ReplaceWord(memory, word < kSuperblockWords ? 8 * word : header + 8 * (word % 16), input);
  }
  Open(memory);
}

void Run(Input input) {
  const uint8_t first = input.Byte();
  if (first == kNoSample) return Open(SegmentMemory(std::as_bytes(input.rest())));
  if (first == kSpoiltBeforeOpening) return SpoilAndOpen(input);
  const Sample& sample = Samples()[first % Samples().size()];
  const uint8_t manners = input.Byte();
  Channel channel(sample, manners / 4 % sample.view.config.max_consumers, manners % 2 == 0,
                  manners / 2 % 2 == 1);
  for (int step = 0; step < kMaxSteps && !input.empty(); ++step) channel.Step(input);
  channel.Finish();
}

}  // namespace
}  // namespace pylabhub::fuzz

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t bytes) {
  pylabhub::fuzz::Run(pylabhub::fuzz::Input(data, bytes));
  return 0;
}
