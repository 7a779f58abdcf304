// What a channel must do, as plainly as it can be said: a deque of the slots that are kept, and for each
// consumer the number that it reads next. The fast one is compared with it, step by step.
#ifndef PYLABHUB_TESTS_SHM_REFERENCE_CHANNEL_H_
#define PYLABHUB_TESTS_SHM_REFERENCE_CHANNEL_H_

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "shm/channel_config.h"
#include "shm/read_order.h"

namespace pylabhub::shm {

class ReferenceChannel {
 public:
  using Payload = std::vector<std::byte>;

  struct Consumer {
    ReadOrder order;
    uint64_t next;  // the number that it reads next, at the least
    bool holds = false;
    uint64_t received_slots = 0;
    uint64_t received_bytes = 0;
    uint64_t missed_slots = 0;
  };
  struct Read {
    uint64_t sequence;
    uint64_t missed_slots;
    Payload payload;
  };

  ReferenceChannel(bool lossless, uint64_t capacity_slots) : lossless_(lossless), capacity_(capacity_slots) {}

  uint64_t head() const { return head_; }
  uint64_t committed_bytes() const { return committed_bytes_; }
  const std::vector<std::shared_ptr<Consumer>>& consumers() const { return consumers_; }

  // A reader of every slot begins with the next; a reader of the newest counts the one that there is as news.
  std::shared_ptr<Consumer> Join(ReadOrder order) {
    const uint64_t next = order == ReadOrder::kLatest && head_ > 0 ? head_ - 1 : head_;
    return consumers_.emplace_back(std::make_shared<Consumer>(Consumer{.order = order, .next = next}));
  }
  void Leave(const std::shared_ptr<Consumer>& consumer) { std::erase(consumers_, consumer); }

  // A lossless producer waits for every consumer that reads every slot.
  bool CanWrite() const {
    return !lossless_ || std::all_of(consumers_.begin(), consumers_.end(), [this](const auto& consumer) {
      return consumer->order == ReadOrder::kLatest || head_ < consumer->next + capacity_;
    });
  }
  void Commit(Payload payload) {
    ++head_;
    committed_bytes_ += payload.size();
    kept_.push_back(std::move(payload));
    if (kept_.size() > capacity_) kept_.pop_front();
  }

  std::optional<Read> Acquire(Consumer& consumer) {
    if (consumer.next >= head_) return std::nullopt;
    uint64_t sequence = consumer.next;
    const uint64_t oldest = head_ - kept_.size();
    if (consumer.order == ReadOrder::kLatest) {
      sequence = head_ - 1;
    } else if (sequence < oldest) {
      // Not the very oldest: that would be gone before it is read.
      sequence = std::max(sequence + 1, oldest + capacity_ / 4);
    }
    const uint64_t missed = sequence - consumer.next;
    consumer.next = sequence;
    consumer.holds = true;
    consumer.missed_slots += missed;
    return Read{sequence, missed, kept_[sequence - oldest]};
  }
  void Release(Consumer& consumer, size_t payload_bytes) {
    consumer.holds = false;
    ++consumer.next;
    ++consumer.received_slots;
    consumer.received_bytes += payload_bytes;
  }

 private:
  bool lossless_;
  uint64_t capacity_;
  uint64_t head_ = 0;
  uint64_t committed_bytes_ = 0;
  std::deque<Payload> kept_;
  std::vector<std::shared_ptr<Consumer>> consumers_;
};

}  // namespace pylabhub::shm

#endif  // PYLABHUB_TESTS_SHM_REFERENCE_CHANNEL_H_
