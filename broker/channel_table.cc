#include "broker/channel_table.h"

namespace pylabhub::broker {
namespace {

// Whether nobody has to be told any more: consumers by their next look, and by its next Heartbeat the producer of a
// channel that was taken from it.
bool IsToBeForgotten(const ChannelTable::Record& closing) {
  return closing.consumers.empty() && closing.close_reason != CloseReason::kClosedByAdmin &&
         closing.close_reason != CloseReason::kRevoked;
}

}  // namespace

ChannelTable::Record* ChannelTable::Find(absl::string_view name) {
  const auto found = by_name_.find(name);
  return found == by_name_.end() ? nullptr : found->second;
}

ChannelTable::Record& ChannelTable::Grant(ChannelSpec spec, const Caller& caller, absl::Time now) {
  const auto [place, is_new] = records_.try_emplace(spec.name);
  Record& record = place->second;
  if (is_new) by_name_.emplace(place->first, &record);
  const bool schema_changed = !is_new && record.spec->schema_hash != spec.schema_hash;
  if (!is_new) {
    if (record.state != ChannelState::kClosing) Close(record, CloseReason::kReplaced, now);
    SetForgetTime(record, absl::InfiniteFuture());
    // A producer that comes back with the segment that it had keeps that segment's own predecessor.
    if (record.spec->segment_id != spec.segment_id) record.predecessor_segment_id = record.spec->segment_id;
  }
  record.spec = std::make_shared<const ChannelSpec>(std::move(spec));
  record.state = ChannelState::kPending;
  record.epoch = next_epoch_++;
  record.session_id = caller.session_id;
  record.producer_identity = caller.identity;
  record.register_time = now;
  record.close_reason = CloseReason::kNone;
  if (schema_changed) Emit(EventKind::kSchemaChanged, record, now);
  Emit(EventKind::kChannelPending, record, now);
  Keep(record);
  return record;
}

void ChannelTable::MakeReady(Record& record, absl::Time now) {
  record.state = ChannelState::kReady;
  Emit(EventKind::kChannelReady, record, now);
  Keep(record);
}

void ChannelTable::Close(Record& record, CloseReason reason, absl::Time now) {
  record.state = ChannelState::kClosing;
  record.close_reason = reason;
  record.session_id.clear();
  SetForgetTime(record, IsToBeForgotten(record) ? now : now + closing_ttl_);
  Emit(EventKind::kChannelClosing, record, now);
  Keep(record);
}

void ChannelTable::Join(Record& record, ConsumerKey key, ConsumerView consumer, absl::Time now) {
  changes_.push_back({ConsumerKeyOf(record.spec->name, key.session_id, key.consumer_id),
                      ConsumerRecord{key.session_id, consumer}});
  const ConsumerView& joined = record.consumers.emplace(std::move(key), std::move(consumer)).first->second;
  Emit(EventKind::kConsumerJoined, record, now, &joined);
}

void ChannelTable::Leave(Record& record, const ConsumerKey& key, LeaveReason reason, absl::Time now) {
  const auto found = record.consumers.find(key);
  changes_.push_back(
      {ConsumerKeyOf(record.spec->name, found->first.session_id, found->first.consumer_id), RemovedRecord{}});
  const ConsumerView left = std::move(found->second);
  record.consumers.erase(found);
  if (record.state == ChannelState::kClosing && IsToBeForgotten(record)) SetForgetTime(record, now);
  Emit(EventKind::kConsumerLeft, record, now, &left);
  events_.back().leave_reason = reason;
  events_.back().consumer_session_id = key.session_id;
}

ChannelTable::Record* ChannelTable::FindForgettable(absl::Time now) {
  return NextForget() <= now ? Find(by_forget_time_.begin()->second) : nullptr;
}

void ChannelTable::Remove(Record& record, absl::Time now) {
  Emit(EventKind::kChannelRemoved, record, now);
  changes_.push_back({ChannelKeyOf(record.spec->name), RemovedRecord{}});
  SetForgetTime(record, absl::InfiniteFuture());
  const auto place = records_.find(record.spec->name);
  by_name_.erase(place->first);
  records_.erase(place);
}

absl::Time ChannelTable::NextForget() const {
  return by_forget_time_.empty() ? absl::InfiniteFuture() : by_forget_time_.begin()->first;
}

ChannelTable::Record& ChannelTable::Restore(ChannelRecord kept, absl::Time now) {
  const auto place = records_.try_emplace(kept.spec->name).first;
  Record& record = place->second;
  by_name_.emplace(place->first, &record);
  record.spec = std::move(kept.spec);
  record.state = kept.state;
  record.epoch = kept.epoch;
  record.revision = revision_;
  record.session_id = std::move(kept.session_id);
  record.producer_identity = std::move(kept.producer_identity);
  record.register_time = kept.register_time;
  record.close_reason = kept.close_reason;
  record.predecessor_segment_id = std::move(kept.predecessor_segment_id);
  if (record.state == ChannelState::kClosing) SetForgetTime(record, now + closing_ttl_);
  return record;
}

void ChannelTable::RestoreConsumer(Record& record, ConsumerRecord kept) {
  record.consumers.emplace(ConsumerKey{kept.session_id, kept.consumer.spec.consumer_id},
                           std::move(kept.consumer));
}

ChannelView ChannelTable::ViewOf(const Record& record) {
  return {.spec = record.spec,
          .state = record.state,
          .epoch = record.epoch,
          .consumer_count = static_cast<uint32_t>(record.consumers.size()),
          .revision = record.revision,
          .producer_identity = record.producer_identity,
          .register_time = record.register_time,
          .close_reason = record.close_reason,
          .predecessor_segment_id = record.predecessor_segment_id};
}

std::vector<Event> ChannelTable::TakeEvents() { return std::exchange(events_, {}); }

std::vector<Change> ChannelTable::TakeChanges() { return std::exchange(changes_, {}); }

// A consumer that comes or goes leaves the channel's own record as it is, which may be large: revisions are not kept.
void ChannelTable::Keep(const Record& record) {
  changes_.push_back({ChannelKeyOf(record.spec->name),
                      ChannelRecord{.spec = record.spec,
                                    .state = record.state,
                                    .epoch = record.epoch,
                                    .session_id = record.session_id,
                                    .producer_identity = record.producer_identity,
                                    .register_time = record.register_time,
                                    .close_reason = record.close_reason,
                                    .predecessor_segment_id = record.predecessor_segment_id}});
}

void ChannelTable::Emit(EventKind kind, Record& record, absl::Time now, const ConsumerView* consumer) {
  record.revision = ++revision_;
  Event& event = events_.emplace_back(
      Event{.kind = kind, .revision = revision_, .time = now, .channel = ViewOf(record)});
  if (consumer != nullptr) event.consumer = std::make_shared<const ConsumerView>(*consumer);
}

void ChannelTable::SetForgetTime(Record& record, absl::Time time) {
  by_forget_time_.erase({record.forget_time, record.spec->name});
  record.forget_time = time;
  if (time != absl::InfiniteFuture()) by_forget_time_.emplace(time, record.spec->name);
}

}  // namespace pylabhub::broker
