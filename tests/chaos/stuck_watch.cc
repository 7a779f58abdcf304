#include "tests/chaos/stuck_watch.h"

#include <algorithm>

#include "absl/strings/str_cat.h"

namespace pylabhub::chaos {
namespace {

constexpr int64_t kPatienceNs = 5'000'000'000;
constexpr int64_t kGapNs = 500'000'000;

std::string Describe(const Part& part, const Part* producer) {
  std::string text = absl::StrCat(part.name(), " makes no progress");
  if (part.is_producer()) {
    const uint32_t generation = part.post->generation.load();
    if (generation == 0) return absl::StrCat(text, "; nobody has the channel");
    return absl::StrCat(text, " at slot ", part.channel->ledger->of_generation(generation).confirmed.load(),
                        " of generation ", generation);
  }
  const ConsumerRecord* record = part.is_janitor() ? nullptr : part.record();
  if (record == nullptr) return text;
  return absl::StrCat(text, " at slot ", record->position.load(), " of generation ",
                      record->generation.load(), "; generation ",
                      producer == nullptr ? 0 : producer->post->generation.load(), " has the channel");
}

}  // namespace

StuckWatch::StuckWatch(Stage& stage) : stage_(stage), since_(stage.parts().size()), looked_ns_(NowNanos()) {}

bool StuckWatch::ShouldGetOn(const Part& part) const {
  if (part.is_janitor()) return !part.stopped();
  if (stage_.AnyStopped(*part.channel)) return false;
  const Part* producer = stage_.ProducerOf(*part.channel);
  return part.is_producer() ? producer == nullptr || producer == &part : producer != nullptr;
}

int64_t StuckWatch::ProgressOf(const Part& part) const {
  // Trying is no progress, getting is.
  if (part.is_producer() && !part.has_channel()) return static_cast<int64_t>(part.incarnation);
  return part.post->progress_ns.load();
}

void StuckWatch::Look() {
  const int64_t now_ns = NowNanos();
  const bool gap = now_ns - looked_ns_ > kGapNs;
  looked_ns_ = now_ns;
  for (const std::unique_ptr<Part>& part : stage_.parts()) {
    Since& since = since_[part->index];
    const int64_t progress = ProgressOf(*part);
    if (gap || progress != since.progress || !ShouldGetOn(*part))
      since = {.progress = progress, .since_ns = now_ns};
    if (now_ns - since.since_ns < kPatienceNs) continue;
    stuck_.push_back(Describe(*part, part->is_janitor() ? nullptr : stage_.ProducerOf(*part->channel)));
    stage_.Kill(*part);
    since.since_ns = now_ns;
  }
}

}  // namespace pylabhub::chaos
