#include "shm/diagnosis.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "shm/channel/anchor.h"
#include "shm/channel/channel_files.h"
#include "shm/channel/named_segment.h"
#include "shm/channel/succession.h"
#include "shm/ring/ring_check.h"
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

void CheckSlots(const OpenedSegment& segment, const DiagnosisOptions& options,
                std::vector<std::string>& problems) {
  const RingFaults faults = CheckRing(segment.data_view, options.verify_checksums);
  if (faults.senseless_cells != 0) {
    problems.push_back(absl::StrCat(faults.senseless_cells, " of its ",
                                    segment.data_view.geometry.capacity_slots, " cells make no sense"));
  }
  if (faults.wrong_checksums != 0) {
    problems.push_back(
        absl::StrCat(faults.wrong_checksums,
                     " of its slots have another payload than their checksums say, the first is slot ",
                     faults.first_wrong_slot));
  }
}

SegmentReport Report(const ChannelFiles& files, const SegmentId& id, const SegmentId& current,
                     const DiagnosisOptions& options) {
  SegmentReport report{.channel = files.channel(), .segment_id = id, .current = id == current};
  const absl::StatusOr<OpenedSegment> segment = OpenNamedSegment(files, id, Access::kReadOnly);
  report.status = segment.status();
  if (segment.ok()) {
    report.metrics = ReadMetrics(*segment);
    CheckParticipants(report.metrics, report.problems);
    CheckSlots(*segment, options, report.problems);
  } else {
    report.problems.emplace_back(segment.status().message());
  }
  report.abandoned = IsAbandoned(files, id);
  if (report.abandoned) report.problems.emplace_back("nobody alive uses it: it can be removed");
  return report;
}

void DiagnoseChannel(const ChannelFiles& files, const DiagnosisOptions& options, Diagnosis& diagnosis) {
  const absl::StatusOr<Anchor> anchor = Anchor::Open(files);
  const SegmentId current = anchor.ok() ? anchor->Read().segment_id : SegmentId();
  std::vector<SegmentId> ids = files.ListSegments();
  std::stable_partition(ids.begin(), ids.end(), [&](const SegmentId& id) { return id == current; });
  for (const SegmentId& id : ids) {
    SegmentReport report = Report(files, id, current, options);
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

absl::StatusOr<Diagnosis> Diagnose(absl::string_view directory, const DiagnosisOptions& options) {
  const absl::StatusOr<FolderContents> contents = ListFolder(directory);
  if (!contents.ok()) return contents.status();
  Diagnosis diagnosis;
  for (const std::string& channel : contents->channels)
    DiagnoseChannel(ChannelFiles(directory, channel), options, diagnosis);
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
