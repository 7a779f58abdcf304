#include "shm/ring/consumer_roster.h"

#include <algorithm>
#include <limits>
#include <utility>

#include "shm/read_order.h"

namespace pylabhub::shm {

ConsumerRoster::ConsumerRoster(const std::vector<ControlView>& parts, const std::atomic<uint64_t>& bell,
                               uint32_t max_pins, LivenessProbe is_alive)
    // Not as the bell is now: the first look reads every entry.
    : bell_(&bell),
      seen_bell_(UINT64_MAX),
      looks_to_spend_(kMostBellsSaved * parts.size()),
      max_pins_(max_pins),
      is_alive_(std::move(is_alive)),
      dead_states_(parts.back().end_place(), 0),
      reserved_tokens_(parts.back().end_place(), 0) {
  for (const ControlView& part : parts) {
    parts_.push_back({.view = part});
    for (uint32_t group = 0; group < part.shape.group_count; ++group)
      groups_.emplace_back(part, part.shape.first_group + group);
  }
}

void ConsumerRoster::Reserve(uint32_t index, uint64_t token) {
  if (reserved_tokens_[index] == 0) ++reserved_count_;
  reserved_tokens_[index] = token;
}

void ConsumerRoster::ReleaseReservation(uint32_t index) {
  if (reserved_tokens_[index] == 0) return;
  reserved_tokens_[index] = 0;
  --reserved_count_;
}

bool ConsumerRoster::IsReserved(uint32_t index) const { return reserved_tokens_[index] != 0; }

const ControlView& ConsumerRoster::PartOf(uint32_t index) const {
  const auto after =
      std::upper_bound(parts_.begin(), parts_.end(), index,
                       [](uint32_t wanted, const Part& part) { return wanted < part.view.first_place(); });
  return std::prev(after)->view;
}

const ControlView& ConsumerRoster::PartOfGroup(uint32_t group) const {
  return std::find_if(parts_.begin(), parts_.end(),
                      [=](const Part& part) { return part.view.has_group(group); })
      ->view;
}

bool ConsumerRoster::Look(Part& part) {
  // Acquire: as in Refresh.
  const uint64_t changes = part.view.header->membership_changes.load(std::memory_order_acquire);
  if (changes == part.seen_changes) return false;
  part.seen_changes = changes;
  part.unread = true;
  return true;
}

void ConsumerRoster::AnswerBell(uint64_t rung, uint64_t head) {
  if (parts_.size() == 1) {
    seen_bell_ = rung;
    parts_.front().unread = true;
    return ReadUnreadParts(head);
  }
  // Who rings too often is not listened to for a while: the turn comes to every part.
  if (looks_to_spend_ < parts_.size()) return;
  looks_to_spend_ -= parts_.size();
  const bool is_first = seen_bell_ == UINT64_MAX;
  seen_bell_ = rung;
  uint64_t changes = 0;
  for (Part& part : parts_) {
    Look(part);
    changes += part.seen_changes;
  }
  // A consumer counts its change before it rings.
  invalid_values_ += !is_first && static_cast<int64_t>(rung - changes) > 0 ? 1 : 0;
  ReadUnreadParts(head);
}

void ConsumerRoster::LookInTurn(uint64_t head) {
  looks_to_spend_ = std::min(looks_to_spend_ + kLooksPerTurn, kMostBellsSaved * parts_.size());
  turn_ = turn_ + 1 == parts_.size() ? 0 : turn_ + 1;
  if (Look(parts_[turn_])) ReadUnreadParts(head);
}

void ConsumerRoster::LookAtAll(uint64_t head) {
  bool changed = false;
  for (Part& part : parts_) changed = Look(part) || changed;
  if (changed) ReadUnreadParts(head);
}

void ConsumerRoster::ReadUnreadParts(uint64_t head) {
  ++revision_;
  known_before_.swap(active_);
  active_.clear();
  // Both are in the order of places.
  auto known = known_before_.cbegin();
  for (Part& part : parts_) {
    if (std::exchange(part.unread, false)) {
      ReadPart(part.view, known, known_before_.cend(), head);
    } else {
      for (; known != known_before_.cend() && known->index < part.view.end_place(); ++known)
        active_.push_back(*known);
    }
  }
}

void ConsumerRoster::ReadPart(const ControlView& part, std::vector<Place>::const_iterator& known,
                              std::vector<Place>::const_iterator end, uint64_t head) {
  for (uint32_t i = part.first_place(); i < part.end_place(); ++i) {
    // Acquire: pairs with the joiner's release of kActive, and brings the rest of its entry.
    const uint64_t state = part.entry(i).state.load(std::memory_order_acquire);
    if (PhaseOf(state) != Phase::kActive || state == dead_states_[i]) continue;
    // A state of another part would be taken for somebody else's.
    if (RenewalsOf(state) != part.shape.renewals) {
      ++invalid_values_;
      continue;
    }
    while (known != end && known->index < i) ++known;
    const bool is_known = known != end && known->index == i && known->state == state;
    active_.push_back(is_known ? *known : MakePlace(part, i, state, head));
  }
  while (known != end && known->index < part.end_place()) ++known;
}

void ConsumerRoster::Renew(size_t index, const ControlView& fresh, uint64_t head) {
  for (uint32_t i = fresh.first_place(); i < fresh.end_place(); ++i) {
    ReleaseReservation(i);
    evicted_consumers_ += FindPlace(i) != nullptr ? 1 : 0;
  }
  std::erase_if(active_, [&](const Place& place) { return fresh.has_place(place.index); });
  parts_[index] = {.view = fresh};
  Look(parts_[index]);
  parts_[index].unread = true;
  ReadUnreadParts(head);
}

ConsumerRoster::Place ConsumerRoster::MakePlace(const ControlView& part, uint32_t index, uint64_t state,
                                                uint64_t head) {
  const ConsumerEntry& entry = part.entry(index);
  Place place{.entry = &entry,
              .index = index,
              .state = state,
              .highest_cursor = 0,
              .waited_from = 0,
              .told_cursor = kNever,
              .waited_for = false,
              .group = 0,
              .when_slow = WhenSlow::kBlock,
              .patience_ns = 0,
              .pins = 0};
  const uint32_t pins = entry.pins_declared.load(std::memory_order_relaxed);
  place.pins = std::min(pins, kPinsPerConsumer);
  const uint32_t group = entry.group.load(std::memory_order_relaxed);
  // A group of another part is none of its own.
  const bool known_group = group == 0 || part.has_group(group - 1);
  place.group = known_group ? group : 0;
  const uint32_t order = entry.order.load(std::memory_order_relaxed);
  const bool reads_next = order == static_cast<uint32_t>(ReadOrder::kNext);
  // Where there are groups, they are waited for, and not their members.
  place.waited_for = groups_.empty() && reads_next;
  const bool sensible = pins <= kPinsPerConsumer && known_group &&
                        (reads_next || order == static_cast<uint32_t>(ReadOrder::kLatest));
  invalid_values_ += sensible ? 0 : 1;
  const uint32_t when_slow = entry.when_slow.load(std::memory_order_relaxed);
  const int64_t patience_ns = entry.patience_ns.load(std::memory_order_relaxed);
  if ((when_slow == static_cast<uint32_t>(WhenSlow::kDropBacklog) ||
       when_slow == static_cast<uint32_t>(WhenSlow::kCutOff)) &&
      patience_ns > 0) {
    place.when_slow = static_cast<WhenSlow>(when_slow);
    place.patience_ns = patience_ns;
  }
  const bool takes_reserved_place =
      reserved_tokens_[index] != 0 && entry.token.load(std::memory_order_relaxed) == reserved_tokens_[index];
  if (takes_reserved_place) {
    ReleaseReservation(index);
  } else {
    // Nobody else can come to a place that is taken.
    ReleaseReservation(index);
    // A joiner's first cursor may be old by now; its next one is at most `head`.
    place.highest_cursor = std::min(entry.cursor.load(std::memory_order_relaxed), head);
  }
  return place;
}

uint64_t ConsumerRoster::ReadCursor(Place& place, uint64_t head) {
  // Acquire, edge B: the consumer has finished with every slot below its cursor.
  const uint64_t cursor = place.entry->cursor.load(std::memory_order_acquire);
  if (cursor < place.highest_cursor || cursor > head) {
    ++invalid_values_;
    return place.highest_cursor;
  }
  place.highest_cursor = cursor;
  return cursor;
}

ConsumerRoster::Slowest ConsumerRoster::FindSlowest(uint64_t head) {
  Slowest slowest{std::numeric_limits<uint64_t>::max(), kNobody};
  for (Place& place : active_) {
    if (!place.waited_for) continue;
    const uint64_t cursor = std::max(ReadCursor(place, head), place.waited_from);
    if (cursor < slowest.cursor) slowest = {cursor, place.index};
  }
  for (uint32_t group = 0; group < groups_.size(); ++group) {
    const uint64_t cursor = groups_[group].DoneBelow(head);
    if (cursor < slowest.cursor) slowest = {cursor, group, /*is_group=*/true};
  }
  if (reserved_count_ == 0) return slowest;
  const auto first =
      std::find_if(reserved_tokens_.begin(), reserved_tokens_.end(), [](uint64_t t) { return t != 0; });
  return {0, static_cast<uint32_t>(first - reserved_tokens_.begin())};
}

bool ConsumerRoster::IsSleeping(const Place& place) {
  return place.entry->wait_state.load(std::memory_order_relaxed) == kSleeping;
}

const std::vector<ConsumerRoster::Sleepers>& ConsumerRoster::FindSleepers(uint64_t head) {
  sleepers_.clear();
  for (const Place& place : active_) {
    const uint32_t state = place.entry->wait_state.load(std::memory_order_relaxed);
    if (state != kSleeping) {
      invalid_values_ += state == kAwake || state == kMaySleep || state == kNotYet ? 0 : 1;
      continue;
    }
    // Relaxed: it was stored before the state, and the caller has fenced (edge W).
    const uint64_t cursor = place.entry->cursor.load(std::memory_order_relaxed);
    invalid_values_ += cursor > head ? 1 : 0;
    if (cursor >= head || cursor == place.told_cursor) continue;
    const auto same = std::find_if(sleepers_.begin(), sleepers_.end(),
                                   [=](const Sleepers& sleepers) { return sleepers.cursor == cursor; });
    if (same == sleepers_.end()) {
      sleepers_.push_back({.cursor = cursor, .count = 1});
    } else {
      ++same->count;
    }
  }
  return sleepers_;
}

void ConsumerRoster::NoteWoken(const Sleepers& sleepers) {
  for (Place& place : active_) {
    if (IsSleeping(place) && place.entry->cursor.load(std::memory_order_relaxed) == sleepers.cursor)
      place.told_cursor = sleepers.cursor;
  }
}

int ConsumerRoster::CountSleepersFor(uint64_t cursor) const {
  // Relaxed: the cursor was stored before the state, and the caller has fenced (edge W).
  return static_cast<int>(std::count_if(active_.begin(), active_.end(), [=](const Place& place) {
    return IsSleeping(place) && place.entry->cursor.load(std::memory_order_relaxed) == cursor;
  }));
}

ConsumerRoster::Place* ConsumerRoster::FindPlace(uint32_t index) {
  const auto found =
      std::find_if(active_.begin(), active_.end(), [=](const Place& place) { return place.index == index; });
  return found == active_.end() ? nullptr : &*found;
}

ConsumerRoster::Agreement ConsumerRoster::AgreementOf(uint32_t index) {
  const Place* const place = FindPlace(index);
  if (place == nullptr) return {WhenSlow::kBlock, 0};
  return {place->when_slow, place->patience_ns};
}

uint64_t ConsumerRoster::GiveUpOn(uint32_t index, WhenSlow how, uint64_t head) {
  Place* const place = FindPlace(index);
  if (place == nullptr) return 0;
  if (how == WhenSlow::kCutOff) {
    place->waited_for = false;
  } else {
    place->waited_from = head;
  }
  return place->state;
}

bool ConsumerRoster::MarkPinned(std::vector<bool>& pinned) {
  uint32_t honoured = 0;
  bool all = true;
  uint32_t most_pins = 0;
  for (const Place& place : active_) most_pins = std::max(most_pins, place.pins);
  // Everybody's first pin before anybody's second: a consumer that sets more than it declared takes from no other.
  for (uint32_t i = 0; i < most_pins; ++i) {
    for (const Place& place : active_) {
      if (i >= place.pins) continue;
      // Acquire: pairs with the release that takes a pin away; the consumer has read the chunk by then.
      // Sequentially consistent for edge P.
      const uint64_t value = place.entry->pins[i].load(std::memory_order_seq_cst);
      if (value == 0) continue;
      if (value > pinned.size() || honoured == max_pins_) {
        ++invalid_values_;
        all = all && honoured < max_pins_;
        continue;
      }
      pinned[value - 1] = true;
      ++honoured;
    }
  }
  return all;
}

template <typename Wants>
bool ConsumerRoster::EvictDead(Wants wants) {
  const auto dead = [&](const Place& place) {
    if (!wants(place) || is_alive_(place.index)) return false;
    dead_states_[place.index] = place.state;
    ++evicted_consumers_;
    return true;
  };
  if (std::erase_if(active_, dead) == 0) return false;
  ++revision_;
  return true;
}

bool ConsumerRoster::EvictDeadBelow(uint64_t needed_cursor) {
  return EvictDead([&](const Place& place) {
    if (place.group != 0) return groups_[place.group - 1].done_below() < needed_cursor;
    return place.waited_for && std::max(place.highest_cursor, place.waited_from) < needed_cursor;
  });
}

bool ConsumerRoster::EvictAllDead() {
  return EvictDead([](const Place&) { return true; });
}

bool ConsumerRoster::EvictDeadSleepers() { return EvictDead(&IsSleeping); }

bool ConsumerRoster::EvictDeadPinners() {
  return EvictDead([](const Place& place) {
    return std::any_of(
        std::begin(place.entry->pins), std::end(place.entry->pins),
        [](const std::atomic<uint64_t>& pin) { return pin.load(std::memory_order_relaxed) != 0; });
  });
}

uint64_t ConsumerRoster::invalid_values() const {
  uint64_t count = invalid_values_;
  for (const GroupProgress& group : groups_) count += group.invalid_words();
  return count;
}

}  // namespace pylabhub::shm
