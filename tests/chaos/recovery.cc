#include "tests/chaos/recovery.h"

#include <algorithm>
#include <memory>

namespace pylabhub::chaos {
namespace {

double Milliseconds(int64_t from_ns, int64_t to_ns) {
  return static_cast<double>(std::max<int64_t>(0, to_ns - from_ns)) / 1e6;
}

}  // namespace

void Recovery::Disturb(const Channel& channel) {
  std::erase_if(pending_, [&](const Pending& pending) { return pending.channel == &channel; });
}

bool Recovery::IsMeasuring(const Channel& channel) const {
  return std::any_of(pending_.begin(), pending_.end(),
                     [&](const Pending& pending) { return pending.channel == &channel; });
}

void Recovery::Begin(const Part& part, int64_t release_ns) {
  const Channel& channel = *part.channel;
  if (stage_.AnyStopped(channel)) return;
  Pending pending{.channel = &channel,
                  .release_ns = release_ns,
                  .consumer = nullptr,
                  .producer = nullptr,
                  .generation = 0};
  if (part.is_producer()) {
    pending.generation = part.post->generation.load();
    for (const std::unique_ptr<Part>& other : stage_.parts()) {
      pending.consumer = other->channel == &channel && !other->is_producer() ? other->record() : nullptr;
      // Who has not read from the dead one yet may still be coming.
      if (pending.consumer != nullptr && pending.consumer->generation.load() == pending.generation)
        pending_.push_back(pending);
    }
    return;
  }
  const bool waited_for =
      channel.plan.lossless() && part.consumer->options.when_slow == shm::WhenSlow::kBlock;
  const Part* producer = stage_.ProducerOf(channel);
  const ConsumerRecord* dead = part.record();
  if (!waited_for || producer == nullptr || dead == nullptr) return;
  pending.generation = producer->post->generation.load();
  pending.producer = &channel.ledger->of_generation(pending.generation);
  if (!(dead->segment_id.load() == pending.producer->segment_id.load())) return;
  const uint64_t needed = dead->position.load() + channel.plan.config.capacity_slots + 1;
  pending.producer->watched_begun_ns.store(0);
  pending.producer->watched_done_ns.store(0);
  pending.producer->watched.store(needed);
  // It has passed that slot already: when, nobody noted; now at the latest.
  if (pending.producer->confirmed.load() >= needed && pending.producer->watched_done_ns.load() == 0) {
    after_consumers_.push_back(Milliseconds(release_ns, NowNanos()));
    return;
  }
  pending_.push_back(pending);
}

bool Recovery::Finish(const Pending& pending) {
  if (pending.consumer != nullptr) {
    if (pending.consumer->generation.load() <= pending.generation) return false;
    const int64_t from_ns = std::max(pending.release_ns, pending.consumer->idle_since_ns.load());
    after_producers_.push_back(Milliseconds(from_ns, pending.consumer->entered_ns.load()));
    return true;
  }
  const int64_t done_ns = pending.producer->watched_done_ns.load();
  if (done_ns == 0) return false;
  const int64_t from_ns = std::max(pending.release_ns, pending.producer->watched_begun_ns.load());
  after_consumers_.push_back(Milliseconds(from_ns, done_ns));
  return true;
}

void Recovery::Look() {
  std::vector<const Channel*> recovered_groups;
  std::erase_if(pending_, [&](const Pending& pending) {
    if (!Finish(pending)) return false;
    if (pending.channel->plan.config.policy == shm::Policy::kPipeline)
      recovered_groups.push_back(pending.channel);
    return true;
  });
  for (const Channel* channel : recovered_groups) Disturb(*channel);
}

}  // namespace pylabhub::chaos
