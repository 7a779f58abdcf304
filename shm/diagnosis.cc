#include "shm/diagnosis.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "shm/channel/anchor.h"
#include "shm/channel/channel_files.h"
#include "shm/channel/named_segment.h"
#include "shm/channel/succession.h"
#include "shm/segment/layout.h"

namespace pylabhub::shm {
namespace {

std::string NameOf(const ConsumerMetrics& consumer) {
  return absl::StrCat("the consumer at place ", consumer.place, " (process ", consumer.pid, ")");
}

// A consumer that died without leaving: what does it hold up?
void CheckDeadConsumer(const ChannelMetrics& metrics, const ConsumerMetrics& consumer,
                       std::vector<std::string>& problems) {
  const bool waited_for =
      IsLossless(metrics.config.policy) && consumer.order == ReadOrder::kNext && consumer.group.empty();
  // Once the ring has gone past it, the producer has forgotten it.
  if (waited_for && consumer.lag <= metrics.config.capacity_slots) {
    problems.push_back(absl::StrCat(NameOf(consumer), " died without leaving, and ", consumer.lag,
                                    " slots wait for it until the producer next asks after it"));
  }
  if (consumer.pinned_chunks != 0) {
    problems.push_back(absl::StrCat(NameOf(consumer), " died while it held ", consumer.pinned_chunks,
                                    " slots, which are kept until the producer next asks after it"));
  }
}

void CheckParticipants(const ChannelMetrics& metrics, std::vector<std::string>& problems) {
  if (metrics.producer_state == ProducerState::kDead) {
    problems.push_back(
        absl::StrCat("its producer (process ", metrics.producer_pid, ") died without closing it"));
  }
  for (const ConsumerMetrics& consumer : metrics.consumers) {
    if (!consumer.alive && metrics.producer_state == ProducerState::kAlive)
      CheckDeadConsumer(metrics, consumer, problems);
    if (consumer.cursor > metrics.producer.committed_slots && consumer.lag == 0 &&
        consumer.cursor > metrics.producer.committed_slots + metrics.config.capacity_slots) {
      problems.push_back(absl::StrCat(NameOf(consumer), " says that it has read ", consumer.cursor,
                                      " slots, more than there ever were"));
    }
  }
  if (metrics.producer.invalid_peer_values != 0) {
    problems.push_back(
        absl::StrCat(metrics.producer.invalid_peer_values,
                     " values that no correct consumer writes were found in its control segment"));
  }
}

// Reads every descriptor of the ring. One that is being changed at this moment is let pass.
void CheckRing(const OpenedSegment& segment, std::vector<std::string>& problems) {
  const DataView& view = segment.data_view;
  const Geometry& geometry = view.geometry;
  const std::atomic<uint64_t>& head = view.header->progress.head;
  uint64_t bad_cells = 0;
  for (uint64_t index = 0; index < geometry.capacity_slots; ++index) {
    const auto* cell =
        At<SlotDescriptor>(view.base, geometry.cells_offset_bytes + index * geometry.cell_stride_bytes);
    const uint64_t stamp = cell->stamp.load(std::memory_order_acquire);
    if (stamp == kNoSlot) continue;
    const uint64_t payload_bytes = cell->payload_bytes.load(std::memory_order_relaxed);
    const uint32_t chunk = cell->chunk.load(std::memory_order_relaxed);
    const uint64_t committed = head.load(std::memory_order_acquire);
    if (cell->stamp.load(std::memory_order_acquire) != stamp) continue;
    // The stamp is stored before the head that counts it.
    const bool sound = (stamp - 1) % geometry.capacity_slots == index && stamp - 1 <= committed &&
                       payload_bytes <= geometry.slot_bytes &&
                       (geometry.inline_payloads() ? chunk == kInlineChunk : chunk < geometry.chunk_count);
    bad_cells += sound ? 0 : 1;
  }
  if (bad_cells != 0)
    problems.push_back(absl::StrCat(bad_cells, " of its ", geometry.capacity_slots, " cells make no sense"));
}

SegmentReport Report(const ChannelFiles& files, const SegmentId& id, const SegmentId& current) {
  SegmentReport report{.channel = files.channel(), .segment_id = id, .current = id == current};
  const absl::StatusOr<OpenedSegment> segment = OpenNamedSegment(files, id, Access::kReadOnly);
  report.status = segment.status();
  if (segment.ok()) {
    report.metrics = ReadMetrics(*segment);
    CheckParticipants(report.metrics, report.problems);
    CheckRing(*segment, report.problems);
  } else {
    report.problems.emplace_back(segment.status().message());
  }
  report.abandoned = IsAbandoned(files, id);
  if (report.abandoned) report.problems.emplace_back("nobody alive uses it: it can be removed");
  return report;
}

void DiagnoseChannel(const ChannelFiles& files, Diagnosis& diagnosis) {
  const absl::StatusOr<Anchor> anchor = Anchor::Open(files);
  const SegmentId current = anchor.ok() ? anchor->Read().segment_id : SegmentId();
  std::vector<SegmentId> ids = files.ListSegments();
  std::stable_partition(ids.begin(), ids.end(), [&](const SegmentId& id) { return id == current; });
  for (const SegmentId& id : ids) {
    SegmentReport report = Report(files, id, current);
    // Whoever leaves removes files: what is not there any more was not left.
    if (absl::IsNotFound(report.status) && !files.Exist(id)) continue;
    diagnosis.segments.push_back(std::move(report));
  }
  if (anchor.ok() && !ids.empty()) return;
  if (absl::IsNotFound(anchor.status()) && !files.AnchorExists()) return;
  if (Anchor::IsHeld(files)) return;
  const bool ours =
      anchor.ok() || absl::IsNotFound(anchor.status()) || absl::IsFailedPrecondition(anchor.status());
  diagnosis.files.push_back({.path = files.AnchorPath(),
                             .what = anchor.ok() ? "an anchor without a segment, which nobody holds"
                                                 : std::string(anchor.status().message()),
                             .abandoned = ours && ids.empty()});
}

// Of a channel without an anchor, which nobody can start or leave while this one holds it.
absl::StatusOr<Anchor> HoldChannel(const ChannelFiles& files) {
  if (!files.AnchorExists()) {
    // Given back at once, for the turn.
    const absl::StatusOr<Anchor> made = Anchor::Lock(files, std::nullopt);
    if (!made.ok()) return made.status();
  }
  return Anchor::TakeTurn(files);
}

}  // namespace

bool Diagnosis::healthy() const {
  return files.empty() && std::all_of(segments.begin(), segments.end(),
                                      [](const SegmentReport& report) { return report.problems.empty(); });
}

absl::StatusOr<Diagnosis> Diagnose(absl::string_view directory) {
  const absl::StatusOr<FolderContents> contents = ListFolder(directory);
  if (!contents.ok()) return contents.status();
  Diagnosis diagnosis;
  for (const std::string& channel : contents->channels)
    DiagnoseChannel(ChannelFiles(directory, channel), diagnosis);
  for (const std::string& name : contents->others) {
    diagnosis.files.push_back(
        {.path = absl::StrCat(directory, "/", name), .what = "not a file of a channel"});
  }
  return diagnosis;
}

std::vector<Leftover> LeftoversOf(const Diagnosis& diagnosis) {
  std::vector<Leftover> leftovers;
  for (const SegmentReport& report : diagnosis.segments) {
    if (!report.abandoned) continue;
    leftovers.push_back({.channel = report.channel,
                         .segment_id = report.segment_id,
                         .what = report.status.ok()
                                     ? absl::StrCat(report.metrics.segment_bytes, " bytes, ",
                                                    report.metrics.producer.committed_slots, " slots")
                                     : std::string(report.status.message())});
  }
  for (const FileReport& report : diagnosis.files) {
    if (!report.abandoned) continue;
    leftovers.push_back(
        {.channel = ChannelOfAnchor(report.path), .segment_id = SegmentId(), .what = report.what});
  }
  return leftovers;
}

bool RemoveLeftover(absl::string_view directory, const Leftover& leftover) {
  const ChannelFiles files(directory, leftover.channel);
  if (leftover.segment_id.is_nil()) return files.ListSegments().empty() && Anchor::RemoveIfUnheld(files);
  if (!files.Exist(leftover.segment_id)) return false;
  absl::StatusOr<Anchor> turn = HoldChannel(files);
  if (absl::IsFailedPrecondition(turn.status()) && Anchor::RemoveIfUnheld(files)) turn = HoldChannel(files);
  if (!turn.ok()) return false;
  // A producer holds the channel, and may just be creating what looks damaged or without a lock.
  const bool free = turn->TryLockAsProducer();
  const bool whole = OpenNamedSegment(files, leftover.segment_id, Access::kReadOnly).ok();
  if (!free && !whole) return false;
  const bool removed = IsAbandoned(files, leftover.segment_id);
  if (removed) files.RemoveSegment(leftover.segment_id);
  if (free && files.ListSegments().empty()) turn->Remove();
  return removed && !files.Exist(leftover.segment_id);
}

}  // namespace pylabhub::shm
