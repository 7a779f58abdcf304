#include "tests/shm/reference_channel.h"

#include <algorithm>

#include "shm/segment/layout.h"

namespace pylabhub::shm {

ReferenceChannel::ReferenceChannel(const ChannelConfig& config)
    : lossless_(IsLossless(config.policy)),
      large_(config.slot_bytes > kMaxInlineBytes),
      capacity_(config.capacity_slots),
      group_count_(config.policy == Policy::kPipeline ? std::max<size_t>(config.groups.size(), 1) : 0) {}

uint64_t ReferenceChannel::RoomIf(const std::function<bool(const Consumer&)>& waits_for) const {
  if (!lossless_) return capacity_;
  uint64_t needed_from = head_;
  for (const auto& consumer : consumers_) {
    if (group_count_ != 0 || consumer->order == ReadOrder::kLatest || !waits_for(*consumer)) continue;
    needed_from = std::min(needed_from, std::max(consumer->cursor, consumer->waited_from));
  }
  for (size_t group = 0; group < group_count_; ++group)
    needed_from = std::min(needed_from, done_below_[group]);
  return needed_from + capacity_ - std::min(head_, needed_from + capacity_);
}

ReferenceChannel::Room ReferenceChannel::room() const {
  // Whoever is still to come is waited for, however impatient its producer may be with it later.
  const auto must_wait = [](const Consumer& c) { return !c.gone && (!c.impatient || c.to_come); };
  return {.least = RoomIf([](const Consumer& c) { return !c.cut_off; }),
          .patient = RoomIf(must_wait),
          .most = RoomIf([=](const Consumer& c) { return must_wait(c) && c.known; })};
}

bool ReferenceChannel::HoldsUpNextSlot(const Consumer& consumer) const {
  return std::max(consumer.cursor, consumer.waited_from) + capacity_ <= head_;
}

void ReferenceChannel::Prepare(uint64_t slots) {
  const uint64_t taken = head_ + std::min(slots, capacity_) - 1;
  if (!lossless_ && large_ && taken > capacity_)
    withdrawn_below_ = std::max(withdrawn_below_, taken - capacity_);
}

void ReferenceChannel::Commit(Payload payload) {
  ++head_;
  committed_bytes_ += payload.size();
  slots_.push_back({.payload = payload});
  if (slots_.size() > capacity_) slots_.pop_front();
  for (const auto& consumer : consumers_) consumer->known = true;
}

bool ReferenceChannel::MayBeGone(uint64_t sequence) const {
  // Only the chunks of large slots are worth taking back early. The newest slot stays for who reads the latest.
  if (!large_ || sequence + 1 == head_) return false;
  if (!lossless_) return sequence < withdrawn_below_;
  if (group_count_ != 0) {
    return std::all_of(done_below_.begin(), done_below_.begin() + static_cast<ptrdiff_t>(group_count_),
                       [=](uint64_t done) { return sequence < done; });
  }
  return std::all_of(consumers_.begin(), consumers_.end(), [=](const auto& consumer) {
    if (consumer->order == ReadOrder::kLatest || consumer->gone || consumer->cut_off) return true;
    return sequence < std::max({consumer->cursor, consumer->next, consumer->waited_from});
  });
}

bool ReferenceChannel::IsUntouched(uint64_t sequence) const {
  const Slot& slot = at(sequence);
  if (slot.corrupt) return false;
  if (std::any_of(slot.shares.begin(), slot.shares.end(),
                  [](const Share& share) { return share.holder != nullptr || share.was_lost; }))
    return false;
  return std::none_of(consumers_.begin(), consumers_.end(), [=](const auto& consumer) {
    return std::find(consumer->held.begin(), consumer->held.end(), sequence) != consumer->held.end();
  });
}

std::shared_ptr<ReferenceConsumer> ReferenceChannel::Join(ReadOrder order, JoinPoint start, bool impatient) {
  auto consumer = std::make_shared<Consumer>(Consumer{.order = order, .impatient = impatient});
  consumers_.push_back(consumer);
  if (order == ReadOrder::kLatest) {
    // The newest slot that there is counts as news.
    consumer->next = head_ > 0 ? head_ - 1 : 0;
    return consumer;
  }
  uint64_t first = oldest();
  while (first < head_ && !IsThere(first)) ++first;
  switch (start.at) {
    case JoinPoint::At::kNewest:
      first = head_;
      break;
    case JoinPoint::At::kOldest:
      break;
    case JoinPoint::At::kSequence:
      consumer->missed = first - std::min(first, start.sequence);
      first = std::max(first, start.sequence);
      break;
  }
  consumer->next = consumer->cursor = first;
  // Who begins behind is waited for once the producer has seen it.
  consumer->known = first == head_;
  consumer->in_place = lossless_ && group_count_ == 0 && !impatient && first == head_;
  return consumer;
}

std::shared_ptr<ReferenceConsumer> ReferenceChannel::JoinGroup(size_t group) {
  return consumers_.emplace_back(std::make_shared<Consumer>(Consumer{.group = group, .in_place = true}));
}

std::shared_ptr<ReferenceConsumer> ReferenceChannel::KeepPlace(const Consumer& heir) {
  return consumers_.emplace_back(std::make_shared<Consumer>(Consumer{.order = heir.order,
                                                                     .group = heir.group,
                                                                     .impatient = heir.impatient,
                                                                     .has_kept_place = true,
                                                                     .to_come = true}));
}

void ReferenceChannel::Arrive(Consumer& heir) const {
  heir.to_come = false;
  heir.in_place = lossless_ && heir.order == ReadOrder::kNext && !heir.impatient;
  if (heir.order == ReadOrder::kLatest) heir.next = head_ > 0 ? head_ - 1 : 0;
}

void ReferenceChannel::Leave(const std::shared_ptr<Consumer>& consumer) {
  if (!consumer->has_kept_place || !lossless_ || consumer->order == ReadOrder::kLatest) {
    kept_and_left_ += consumer->has_kept_place ? 1 : 0;
    std::erase(consumers_, consumer);
    return;
  }
  // If the producer has not seen that it came, the place is kept until the producer has seen that it is gone.
  consumer->gone = consumer->to_come = true;
  consumer->cursor = consumer->waited_from = 0;
}

void ReferenceChannel::Die(const std::shared_ptr<Consumer>& consumer) {
  consumer->gone = true;
  consumer->held.clear();
  if (!consumer->group.has_value()) return;
  for (Slot& slot : slots_) {
    Share& share = slot.shares[*consumer->group];
    if (share.holder != consumer.get()) continue;
    share.holder = nullptr;
    share.was_lost = true;
  }
}

void ReferenceChannel::ForgetGone() {
  if (!lossless_ || group_count_ != 0) return;
  std::erase_if(consumers_, [this](const auto& consumer) {
    const bool found = consumer->gone && consumer->known && consumer->order == ReadOrder::kNext;
    if (!found || !HoldsUpNextSlot(*consumer)) return false;
    kept_and_left_ += consumer->to_come ? 1 : 0;
    return true;
  });
}

uint64_t ReferenceChannel::places_in_vain() const {
  const auto never_came = std::count_if(consumers_.begin(), consumers_.end(), [](const auto& consumer) {
    return consumer->to_come && consumer->gone;
  });
  return kept_and_left_ + static_cast<uint64_t>(never_came);
}

// Its next slot is not there any more.
void ReferenceChannel::Skip(Consumer& consumer) const {
  uint64_t next = consumer.next + 1;
  if (head_ >= consumer.next + capacity_) {
    // Not the very oldest of a channel that waits for nobody: it would be gone before it is read.
    next = std::max(next, head_ - capacity_ + (consumer.in_place ? 0 : capacity_ / 4));
  }
  while (next < head_ && !IsThere(next)) ++next;
  consumer.missed += next - consumer.next;
  consumer.next = next;
}

ReferenceChannel::Answer ReferenceChannel::Take(Consumer& consumer, bool first) {
  const bool waited_for = lossless_ && consumer.order == ReadOrder::kNext && !consumer.impatient;
  if (first && waited_for && !consumer.in_place && consumer.known) {
    consumer.in_place = true;
    if (consumer.next < head_ && !IsThere(consumer.next)) Skip(consumer);
    consumer.cursor = consumer.next;
  }
  if (first && consumer.cut_off) return {.result = SlotResult::kCutOff};
  if (first && consumer.corrupt_untold) {
    consumer.corrupt_untold = false;
    return {.result = SlotResult::kCorrupt};
  }
  if (consumer.next >= head_) return {.result = SlotResult::kTimeout};
  uint64_t sequence = consumer.order == ReadOrder::kLatest ? head_ - 1 : consumer.next;
  if (!IsThere(sequence)) {
    if (first) Skip(consumer);
    if (!first || consumer.next == head_) return {.result = SlotResult::kTimeout};
    sequence = consumer.next;
  }
  consumer.missed += sequence - consumer.next;
  consumer.next = sequence + 1;
  if (at(sequence).corrupt) {
    ++consumer.corrupt_slots;
    ++consumer.missed;
    if (consumer.held.empty()) consumer.cursor = consumer.next;
    return {.result = SlotResult::kCorrupt};
  }
  const Answer answer = {
      .sequence = sequence, .missed_slots = consumer.missed, .payload = at(sequence).payload};
  consumer.missed_slots += consumer.missed;
  consumer.missed = 0;
  ++consumer.received_slots;
  consumer.received_bytes += answer.payload.size();
  consumer.held.push_back(sequence);
  return answer;
}

void ReferenceChannel::Release(Consumer& consumer) {
  if (consumer.group.has_value()) {
    for (const uint64_t sequence : consumer.held) MarkDone(*consumer.group, sequence);
  } else {
    consumer.cursor = consumer.next;
  }
  consumer.held.clear();
}

bool ReferenceChannel::IsDrained(const Consumer& consumer) const {
  if (consumer.corrupt_untold) return false;
  return consumer.group.has_value() ? AllDone(*consumer.group) : consumer.next >= head_;
}

std::optional<uint64_t> ReferenceChannel::FindFresh(size_t group) const {
  for (uint64_t sequence = done_below_[group]; sequence < head_; ++sequence) {
    const Share& share = at(sequence).shares[group];
    if (!share.done && share.holder == nullptr && !share.was_lost) return sequence;
  }
  return std::nullopt;
}

bool ReferenceChannel::IsAbandoned(size_t group, uint64_t sequence) const {
  if (sequence < done_below_[group] || sequence >= head_) return false;
  const Share& share = at(sequence).shares[group];
  return share.was_lost && share.holder == nullptr && !share.done;
}

bool ReferenceChannel::AnyAbandoned(size_t group) const {
  for (uint64_t sequence = done_below_[group]; sequence < head_; ++sequence) {
    if (IsAbandoned(group, sequence)) return true;
  }
  return false;
}

bool ReferenceChannel::AnyCorruptToCome(size_t group) const {
  for (uint64_t sequence = done_below_[group]; sequence < head_; ++sequence) {
    if (at(sequence).corrupt && !at(sequence).shares[group].done) return true;
  }
  return false;
}

ReferenceChannel::Answer ReferenceChannel::Claim(Consumer& consumer, uint64_t sequence) {
  Slot& slot = at(sequence);
  Share& share = slot.shares[*consumer.group];
  if (slot.corrupt) {
    ++consumer.corrupt_slots;
    ++consumer.missed;
    MarkDone(*consumer.group, sequence);
    return {.result = SlotResult::kCorrupt};
  }
  share.holder = &consumer;
  consumer.held.push_back(sequence);
  const Answer answer = {.sequence = sequence,
                         .missed_slots = consumer.missed,
                         .redelivered = share.was_lost,
                         .payload = slot.payload};
  consumer.missed_slots += consumer.missed;
  consumer.missed = 0;
  ++consumer.received_slots;
  consumer.received_bytes += slot.payload.size();
  consumer.redelivered_slots += share.was_lost ? 1 : 0;
  return answer;
}

void ReferenceChannel::MarkDone(size_t group, uint64_t sequence) {
  Share& share = at(sequence).shares[group];
  share = {.holder = nullptr, .was_lost = share.was_lost, .done = true};
  uint64_t& done_below = done_below_[group];
  while (done_below < head_ && at(done_below).shares[group].done) ++done_below;
}

}  // namespace pylabhub::shm
