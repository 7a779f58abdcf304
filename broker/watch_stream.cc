#include "broker/watch_stream.h"

#include <grpcpp/impl/codegen/proto_utils.h>

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "broker/call_desk.h"
#include "broker/directory.h"
#include "broker/grpc_status.h"
#include "broker/refusal.h"
#include "broker/watch_loop.h"
#include "proto/names/name_pattern.h"

namespace pylabhub::broker {
namespace {

constexpr size_t kMaxItemsPerMessage = 512;
constexpr size_t kMaxMessageBytes = size_t{512} << 10;
// Smaller, since a piece of the snapshot is encoded for this stream alone, while the loop's others wait.
constexpr size_t kSnapshotMessageBytes = size_t{256} << 10;
// For a stream that is to end: how long its client has to take what is waiting.
constexpr absl::Duration kEndGrace = absl::Seconds(5);
// To take what it is being told in this moment, and that it is over.
constexpr absl::Duration kEndAtOnceGrace = absl::Seconds(1);

}  // namespace

WatchStream::WatchStream(WatchLoop& loop) : loop_(loop), writer_(&context_) {
  context_.AsyncNotifyWhenDone(on_done_.tag());
  loop_.shared().service.RequestWatch(&context_, &request_, &writer_, loop_.queue(), loop_.queue(),
                                      on_call_.tag());
}

WatchStream::~WatchStream() {
  if (watcher_id_.has_value()) loop_.shared().feed.Remove(*watcher_id_);
  if (start_time_ == absl::InfinitePast()) return;
  loop_.shared().desk.Record("Watch", end_code_, SteadyNow() - start_time_);
}

void WatchStream::OnCall(bool ok) {
  // The server shuts down; gRPC will not say that the call is done, since there was none.
  if (!ok) return loop_.Forget(*this);
  start_time_ = SteadyNow();
  loop_.AcceptAnother(*this);
  if (absl::Status status = Begin(); !status.ok()) return Finish(status);
  SayNext();
}

absl::Status WatchStream::Begin() {
  if (loop_.is_draining()) return RefuseShuttingDown();
  const auto admission = loop_.shared().desk.Admit(context_, "Watch");
  if (!admission.ok()) return admission.status();
  peer_ = admission->peer;
  v1::WatchRequest request;
  if (!grpc::SerializationTraits<v1::WatchRequest>::Deserialize(&request_, &request).ok()) {
    return RefuseFields({{"", "must be an encoded pylabhub.v1.WatchRequest"}});
  }
  absl::StatusOr<WatchPlan> plan = ReadWatchRequest(request);
  if (!plan.ok()) return plan.status();
  plan_ = *std::move(plan);
  rights_ = loop_.shared().access.RightsOf(peer_->name);
  if (absl::Status status = CheckMayWatch(rights_); !status.ok()) {
    loop_.shared().desk.LogDenial(context_, "Watch", peer_->name, status);
    return status;
  }
  if (!rights_.watch_view().empty()) {
    plan_.filter.may_see = [rights = rights_](const std::string& name) {
      return rights.May(policy::Action::kWatch, name);
    };
  }

  WatchFeed& feed = loop_.shared().feed;
  const std::string history_id = HistoryIdFor(feed.history_id(), rights_);
  history_id_ = EncodeHistoryId(history_id);
  const uint64_t revision =
      loop_.shared().directory.Run([](ChannelRegistry& registry, absl::Time) { return registry.revision(); });
  const uint64_t after_revision = plan_.after_revision != 0 ? plan_.after_revision : revision;
  if (absl::Status status = feed.CheckHistory(plan_.history_id, history_id, after_revision, revision);
      !status.ok())
    return status;
  const auto id = feed.Add(peer_->name, loop_.number(), plan_.filter, after_revision, revision, SteadyNow());
  if (!id.ok()) return id.status();
  watcher_id_ = *id;
  loop_.Serve(*id, *this);
  if (plan_.snapshot) snapshot_.emplace(loop_.shared().directory, plan_.filter, revision);
  return absl::OkStatus();
}

void WatchStream::OnReady() {
  // A client that takes nothing is cut off in the middle of a message.
  absl::Status status = loop_.shared().feed.CheckPace(*watcher_id_);
  if (status.ok()) return SayNext();
  LogCutOff(status);
  EndWith(std::move(status));
}

void WatchStream::EndWith(absl::Status status) {
  ends_with_ = std::move(status);
  ends_by_ = std::min(ends_by_, SteadyNow() + kEndGrace);
  SayNext();
}

void WatchStream::CheckPeer() {
  if (peer_ == nullptr || finishing_ || finished_ || done_) return;
  absl::Status status = loop_.shared().desk.CheckStanding(*peer_);
  if (status.ok()) return;
  if (!writing_ && loop_.may_start()) return Finish(status);
  // With the message that is on its way, which a client that takes nothing has little time for.
  ends_with_ = std::move(status);
  ends_by_ = absl::InfinitePast();
}

absl::Status WatchStream::CheckMayWatch(const CallerRights& rights) const {
  const std::vector<std::string>& patterns = plan_.filter.name_patterns;
  if (!rights.MayAny(policy::Action::kWatch)) {
    return rights.Check(policy::Action::kWatch, patterns.size() == 1 ? patterns.front() : "");
  }
  // Whoever names channels and may watch none of them would wait in vain. Of a pattern nobody knows.
  const bool may_see_some =
      patterns.empty() || std::any_of(patterns.begin(), patterns.end(), [&](const std::string& pattern) {
        return !names::IsExactPattern(pattern) || rights.May(policy::Action::kWatch, pattern);
      });
  return may_see_some ? absl::OkStatus() : rights.Check(policy::Action::kWatch, patterns.front());
}

void WatchStream::OnRightsChanged() {
  // It is over, or has not begun.
  if (!watcher_id_.has_value() || finishing_ || finished_) return;
  const CallerRights rights = loop_.shared().access.RightsOf(peer_->name);
  if (rights.watch_view() == rights_.watch_view()) return;
  absl::Status denial = CheckMayWatch(rights);
  if (!denial.ok()) {
    loop_.shared().desk.LogDenial(context_, "Watch", peer_->name, denial);
    return EndAtOnceWith(std::move(denial));
  }
  EndAtOnceWith(
      Refuse(Reason::kRevisionCompacted,
             "the broker's policy has changed, and with it which channels this watcher may be told of; watch "
             "again with a snapshot",
             {{"history_id", HistoryIdFor(loop_.shared().feed.history_id(), rights)}}));
}

void WatchStream::EndAtOnceWith(absl::Status status) {
  ends_with_ = std::move(status);
  ends_at_once_ = true;
  ends_by_ = std::min(ends_by_, SteadyNow() + kEndAtOnceGrace);
  SayNext();
}

void WatchStream::OnTick(absl::Time now) {
  CheckPeer();
  if (now >= ends_by_ && (writing_ || finishing_)) context_.TryCancel();
}

void WatchStream::SayNext() {
  if (writing_ || finishing_ || finished_ || done_ || !loop_.may_start()) return;
  if (ends_with_.has_value() && (ends_at_once_ || SteadyNow() >= ends_by_)) return Finish(*ends_with_);
  const auto message = NextMessage();
  if (!message.ok()) {
    LogCutOff(message.status());
    return Finish(message.status());
  }
  if (message->has_value()) {
    writing_ = true;
    writer_.Write(**message, on_written_.tag());
  } else if (ends_with_.has_value()) {
    Finish(*ends_with_);
  }
}

absl::StatusOr<std::optional<grpc::ByteBuffer>> WatchStream::NextMessage() {
  if (snapshot_.has_value() && !snapshot_is_complete_) return NextOfSnapshot();
  while (true) {
    const auto items =
        loop_.shared().feed.Take(*watcher_id_, kMaxItemsPerMessage, kMaxMessageBytes, SteadyNow());
    if (!items.ok()) return items.status();
    if (items->empty()) return std::nullopt;
    std::vector<grpc::Slice> events;
    for (const WatchItem& item : *items) {
      if (snapshot_.has_value() && item.revision > snapshot_->told_revision()) snapshot_.reset();
      if (item.event == nullptr) {
        events.push_back(EncodeAlone(BookmarkEvent(item.revision, SteadyNow())));
      } else if (!snapshot_.has_value() || !snapshot_->IsTold(item.event->event)) {
        events.push_back(
            loop_.shared().encoder.Encode(item.event->event, plan_.filter.include_schema, item.coalesced));
      }
    }
    if (!events.empty()) return Join(std::move(events));
  }
}

grpc::ByteBuffer WatchStream::NextOfSnapshot() {
  std::vector<grpc::Slice> events;
  size_t bytes = 0;
  while (bytes < kSnapshotMessageBytes) {
    if (unsaid_.empty() && snapshot_->at_end()) {
      events.push_back(EncodeAlone(SnapshotCompleteEvent(snapshot_->revision(), SteadyNow())));
      snapshot_is_complete_ = true;
      break;
    }
    if (unsaid_.empty()) {
      unsaid_ = snapshot_->Read();
      std::reverse(unsaid_.begin(), unsaid_.end());
      continue;
    }
    events.push_back(EncodeAlone(
        SnapshotEvent(std::move(unsaid_.back()), snapshot_->revision(), plan_.filter.include_schema)));
    unsaid_.pop_back();
    bytes += events.back().size();
  }
  return Join(std::move(events));
}

grpc::ByteBuffer WatchStream::Join(std::vector<grpc::Slice> events) const {
  events.push_back(history_id_);
  return grpc::ByteBuffer(events.data(), events.size());
}

void WatchStream::OnWritten(bool ok) {
  writing_ = false;
  // If not ok, the call is over, and OnDone comes too.
  if (ok) SayNext();
  ForgetIfOver();
}

void WatchStream::LogCutOff(const absl::Status& status) {
  if (std::exchange(cut_off_logged_, true)) return;
  loop_.LogCutOff(peer_->name, context_.peer(), status);
}

void WatchStream::Finish(const absl::Status& status) {
  finishing_ = true;
  end_code_ = status.code();
  writer_.Finish(ToGrpcStatus(status), on_finished_.tag());
}

void WatchStream::OnFinished(bool) {
  finishing_ = false;
  finished_ = true;
  ForgetIfOver();
}

void WatchStream::OnDone(bool) {
  done_ = true;
  ForgetIfOver();
}

void WatchStream::ForgetIfOver() {
  if (done_ && !writing_ && !finishing_) loop_.Forget(*this);
}

}  // namespace pylabhub::broker
