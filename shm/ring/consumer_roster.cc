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
  std::vector<Place> known = std::move(active_);
  active_.clear();
  active_.reserve(control_.max_consumers());
  for (uint32_t i = 0; i < control_.max_consumers(); ++i) {
    // Acquire: pairs with the joiner's release of kActive, and brings the rest of its entry.
    const uint64_t state = control_.entry(i).state.load(std::memory_order_acquire);
    if (PhaseOf(state) != Phase::kActive || state == dead_states_[i]) continue;
    const auto same = std::find_if(known.begin(), known.end(), [&](const Place& place) {
      return place.index == i && place.state == state;
    });
    active_.push_back(same != known.end() ? *same : MakePlace(i, state, head));
  }
}

ConsumerRoster::Place ConsumerRoster::MakePlace(uint32_t index, uint64_t state, uint64_t head) {
  const ConsumerEntry& entry = control_.entry(index);
  Place place{.entry = &entry,
              .index = index,
              .state = state,
              .highest_cursor = 0,
              .futile_cursor = kNever,
              .waited_for = false,
              .pins = 0};
  place.pins = std::min(entry.pins_declared.load(std::memory_order_relaxed), kPinsPerConsumer);
  place.waited_for = entry.order.load(std::memory_order_relaxed) == static_cast<uint32_t>(ReadOrder::kNext);
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
    const uint64_t cursor = ReadCursor(place, head);
    if (cursor < slowest.cursor) slowest = {cursor, place.index};
  }
  if (reserved_count_ == 0) return slowest;
  const auto first =
      std::find_if(reserved_tokens_.begin(), reserved_tokens_.end(), [](uint64_t t) { return t != 0; });
  return {0, static_cast<uint32_t>(first - reserved_tokens_.begin())};
}

bool ConsumerRoster::IsSleeping(const Place& place) {
  return place.entry->wait_state.load(std::memory_order_relaxed) == kSleeping;
}

bool ConsumerRoster::AnySleeping() const {
  return std::any_of(active_.begin(), active_.end(), [](const Place& place) {
    return IsSleeping(place) && place.entry->cursor.load(std::memory_order_relaxed) != place.futile_cursor;
  });
}

void ConsumerRoster::NoteFutileWake() {
  for (Place& place : active_) {
    if (IsSleeping(place)) place.futile_cursor = place.entry->cursor.load(std::memory_order_relaxed);
  }
}

bool ConsumerRoster::MarkPinned(std::vector<bool>& pinned) {
  uint32_t honoured = 0;
  bool all = true;
  for (const Place& place : active_) {
    for (uint32_t i = 0; i < place.pins; ++i) {
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
  return EvictDead(
      [=](const Place& place) { return place.waited_for && place.highest_cursor < needed_cursor; });
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

}  // namespace pylabhub::shm
