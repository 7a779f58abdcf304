#include "shm/metrics.h"

#include <algorithm>
#include <atomic>
#include <iterator>

#include "absl/strings/str_cat.h"
#include "shm/channel/anchor.h"
#include "shm/channel/channel_files.h"
#include "shm/channel/named_segment.h"
#include "shm/channel/sealed_segment.h"
#include "shm/segment/layout.h"

namespace pylabhub::shm {
namespace {

// The anchor may name a segment that is just being replaced.
constexpr int kOpenAttempts = 100;

uint64_t Read(const std::atomic<uint64_t>& counter) { return counter.load(std::memory_order_relaxed); }

// What a consumer wrote is input: an index is followed only if there is such a group.
std::string GroupName(const ChannelConfig& config, uint32_t group) {
  return group >= 1 && group <= config.groups.size() ? config.groups[group - 1] : std::string();
}

ConsumerMetrics ReadConsumer(const OpenedSegment& segment, const ConsumerEntry& entry, uint32_t place,
                             bool alive) {
  const bool latest =
      entry.order.load(std::memory_order_relaxed) == static_cast<uint32_t>(ReadOrder::kLatest);
  ConsumerMetrics metrics{
      .place = place,
      .alive = alive,
      .pid = entry.pid.load(std::memory_order_relaxed),
      .order = latest ? ReadOrder::kLatest : ReadOrder::kNext,
      .group = GroupName(segment.data_view.config, entry.group.load(std::memory_order_relaxed)),
      .cursor = Read(entry.cursor),
      .received_slots = Read(entry.received_slots),
      .received_bytes = Read(entry.received_bytes),
      .missed_slots = Read(entry.missed_slots),
      .corrupt_slots = Read(entry.corrupt_slots),
      .redelivered_slots = Read(entry.redelivered_slots),
      .waits = Read(entry.waits),
      .sleeps = Read(entry.sleeps)};
  const uint64_t head = Read(segment.data_view.header->progress.head);
  metrics.lag = head > metrics.cursor ? head - metrics.cursor : 0;
  metrics.pinned_chunks = static_cast<uint32_t>(std::count_if(
      std::begin(entry.pins), std::end(entry.pins), [](const auto& pin) { return Read(pin) != 0; }));
  metrics.blocked_producer = absl::Nanoseconds(Read(segment.data_view.places()[place].blocked_ns));
  return metrics;
}

}  // namespace

ChannelMetrics ReadMetrics(const OpenedSegment& segment) {
  const DataView& view = segment.data_view;
  ChannelMetrics metrics{.config = view.config,
                         .segment_id = view.segment_id,
                         .predecessor_id = view.predecessor_id,
                         .created = view.created,
                         .segment_bytes = segment.data.bytes().size() + segment.control.bytes(),
                         .producer_pid = view.producer_pid};
  // Alive before closed: a producer says that it closes before it goes.
  const bool alive = segment.ProducerLives();
  const bool closed = view.header->wait.closed_at.load(std::memory_order_acquire) != 0;
  metrics.producer_state =
      closed ? ProducerState::kClosed : (alive ? ProducerState::kAlive : ProducerState::kDead);
  metrics.producer = StatsOf(view.header->progress);
  for (const ControlPart& part : segment.control.parts) {
    for (uint32_t place = part.view.first_place(); place < part.view.end_place(); ++place) {
      const ConsumerEntry& entry = part.view.entry(place);
      const uint64_t state = entry.state.load(std::memory_order_acquire);
      const bool attached = PhaseOf(state) == Phase::kActive || PhaseOf(state) == Phase::kJoining;
      const bool lives = part.ConsumerLives(place);
      if (attached || lives) metrics.consumers.push_back(ReadConsumer(segment, entry, place, lives));
    }
  }
  return metrics;
}

absl::StatusOr<ChannelMetrics> ReadMetrics(absl::string_view channel, absl::string_view directory) {
  if (absl::Status status = ValidateChannelName(channel); !status.ok()) return status;
  const ChannelFiles files(directory, channel);
  absl::Status last;
  for (int attempt = 0; attempt < kOpenAttempts; ++attempt) {
    const absl::StatusOr<Anchor> anchor = Anchor::Open(files);
    if (!anchor.ok()) return anchor.status();
    const absl::StatusOr<OpenedSegment> segment =
        OpenNamedSegment(files, anchor->Read().segment_id, Access::kReadOnly);
    if (segment.ok()) return ReadMetrics(*segment);
    last = segment.status();
    if (!absl::IsNotFound(last)) break;
  }
  return last;
}

absl::StatusOr<ChannelMetrics> ReadMetrics(const SegmentDescriptors& descriptors) {
  const absl::StatusOr<OpenedSegment> segment = OpenSealedSegment(descriptors);
  if (!segment.ok()) return segment.status();
  return ReadMetrics(*segment);
}

}  // namespace pylabhub::shm
