#include "shm/ring/consumer_roster.h"

#include <algorithm>
#include <limits>
#include <utility>

#include "shm/read_order.h"

namespace pylabhub::shm {

ConsumerRoster::ConsumerRoster(const ControlView& control, uint32_t max_pins, LivenessProbe is_alive)
    : control_(control),
      max_pins_(max_pins),
      is_alive_(std::move(is_alive)),
      dead_states_(control.max_consumers(), 0),
      reserved_tokens_(control.max_consumers(), 0) {
  active_.reserve(control.max_consumers());
  sleepers_.reserve(control.max_consumers());
  for (uint32_t group = 0; group < control_.shape.group_count; ++group) groups_.emplace_back(control_, group);
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

void ConsumerRoster::ReadEntries(uint64_t changes, uint64_t head) {
  seen_changes_ = changes;
  const std::vector<Place> known = std::move(active_);
  // Both are in the order of places.
  auto same = known.begin();
  active_.clear();
  active_.reserve(control_.max_consumers());
  for (uint32_t i = 0; i < control_.max_consumers(); ++i) {
    // Acquire: pairs with the joiner's release of kActive, and brings the rest of its entry.
    const uint64_t state = control_.entry(i).state.load(std::memory_order_acquire);
    if (PhaseOf(state) != Phase::kActive || state == dead_states_[i]) continue;
    while (same != known.end() && same->index < i) ++same;
    const bool is_known = same != known.end() && same->index == i && same->state == state;
    active_.push_back(is_known ? *same : MakePlace(i, state, head));
  }
}

ConsumerRoster::Place ConsumerRoster::MakePlace(uint32_t index, uint64_t state, uint64_t head) {
  const ConsumerEntry& entry = control_.entry(index);
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
  place.group = group <= groups_.size() ? group : 0;
  const uint32_t order = entry.order.load(std::memory_order_relaxed);
  const bool reads_next = order == static_cast<uint32_t>(ReadOrder::kNext);
  // Where there are groups, they are waited for, and not their members.
  place.waited_for = groups_.empty() && reads_next;
  const bool sensible = pins <= kPinsPerConsumer && group <= groups_.size() &&
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
  return std::erase_if(active_, dead) != 0;
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
