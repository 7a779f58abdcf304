#include "tests/chaos/stage.h"

#include <signal.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <utility>

#include "absl/strings/str_cat.h"
#include "shm/os/futex.h"

namespace pylabhub::chaos {
namespace {

constexpr int kProducersOfAChannel = 2;
constexpr int kNiceOfParts = 5;
// How long the end of the run may take: far more than anybody needs.
constexpr std::chrono::seconds kEndPatience{20};

}  // namespace

std::string Part::name() const {
  if (is_janitor()) return "janitor";
  return absl::StrCat(channel->plan.config.channel, is_producer() ? ": producer " : ": consumer ", index);
}

Stage::Stage(const std::string& directory, uint64_t seed) : directory_(directory), seed_(seed) {
  const auto add = [this](Channel* channel, const ConsumerPlan* consumer) {
    parts_.push_back(std::make_unique<Part>());
    parts_.back()->index = parts_.size() - 1;
    parts_.back()->channel = channel;
    parts_.back()->consumer = consumer;
  };
  for (ChannelPlan& plan : AllChannels(directory)) {
    channels_.push_back(std::make_unique<Channel>());
    Channel& channel = *channels_.back();
    channel.plan = std::move(plan);
    for (int i = 0; i < kProducersOfAChannel; ++i) add(&channel, nullptr);
    for (const ConsumerPlan& consumer : channel.plan.consumers) add(&channel, &consumer);
  }
  add(nullptr, nullptr);
}

void Stage::StartAll() {
  for (const auto& part : parts_) Start(*part);
}

void Stage::Start(Part& part) {
  const Dice dice(seed_, {part.index, ++part.incarnation});
  part.continue_ns = 0;
  part.post->generation.store(0);
  part.post->consumer.store(0);
  part.post->progress_ns.store(NowNanos());
  children_.Start(static_cast<int>(part.index), [&, dice] {
    // The one who kills and measures is not kept waiting by its victims.
    setpriority(PRIO_PROCESS, 0, kNiceOfParts);
    if (part.is_janitor()) return LiveAsJanitor(directory_, *part.post);
    Channel& channel = *part.channel;
    if (part.is_producer()) return LiveAsProducer(channel.plan, *channel.ledger, *part.post, dice);
    return LiveAsConsumer(channel.plan, *part.consumer, *channel.ledger, *part.post, dice);
  });
}

std::optional<LifeLock> Stage::LockOf(const Part& part) const {
  if (part.is_janitor()) return std::nullopt;
  const shm::ChannelConfig& config = part.channel->plan.config;
  if (part.has_channel()) {
    const ProducerRecord& record = part.channel->ledger->of_generation(part.post->generation.load());
    return LifeLock::OfProducer(config, record.segment_id.load());
  }
  const ConsumerRecord* record = part.record();
  if (record == nullptr) return std::nullopt;
  return LifeLock::OfConsumer(config, record->segment_id.load(), children_.pid(static_cast<int>(part.index)));
}

std::optional<int64_t> Stage::Kill(Part& part) {
  const std::optional<LifeLock> lock = LockOf(part);
  kill(children_.pid(static_cast<int>(part.index)), SIGKILL);
  const std::optional<int64_t> release_ns = lock.has_value() ? lock->WaitForRelease() : std::nullopt;
  if (part.is_producer()) AnnounceVacancy(*part.channel);
  return release_ns;
}

void Stage::Stop(Part& part, int64_t continue_ns) {
  part.continue_ns = continue_ns;
  kill(children_.pid(static_cast<int>(part.index)), SIGSTOP);
}

void Stage::ContinueThoseDue(int64_t now_ns) {
  for (const auto& part : parts_) {
    if (!part->stopped() || part->continue_ns > now_ns) continue;
    part->continue_ns = 0;
    kill(children_.pid(static_cast<int>(part->index)), SIGCONT);
  }
}

// As a supervisor would that sees a producer end.
void Stage::AnnounceVacancy(Channel& channel) {
  channel.ledger->vacancies.add(1);
  shm::FutexWakeAll(channel.ledger->vacancies.address());
}

void Stage::Restart(std::chrono::steady_clock::time_point deadline) {
  while (const std::optional<Children::End> end = children_.WaitForOne(deadline)) {
    Judge(*end);
    Part& part = *parts_[end->name];
    if (part.is_producer()) AnnounceVacancy(*part.channel);
    Start(part);
    deadline = std::chrono::steady_clock::now();
  }
}

void Stage::Judge(const Children::End& end) {
  if (end.exit_code == 0 || end.signal == SIGKILL) return;
  faults_.push_back(
      absl::StrCat(parts_[end.name]->name(), " ended with ", end.exit_code, ", signal ", end.signal));
}

int Stage::End() {
  ContinueThoseDue(INT64_MAX);
  const auto deadline = std::chrono::steady_clock::now() + kEndPatience;
  for (const auto& part : parts_) part->post->stop.store(1);
  const auto producers_run = [this] {
    return std::any_of(parts_.begin(), parts_.end(), [this](const std::unique_ptr<Part>& part) {
      return part->is_producer() && children_.Runs(static_cast<int>(part->index));
    });
  };
  // First those who write, then those who read what they left.
  for (bool over = false; !children_.empty();) {
    if (!over && !producers_run()) {
      over = true;
      for (const auto& channel : channels_) channel->ledger->no_more_producers.store(1);
    }
    const std::optional<Children::End> end = children_.WaitForOne(deadline);
    if (!end.has_value()) break;
    Judge(*end);
  }
  int stuck = 0;
  for (const auto& part : parts_) {
    if (!children_.Runs(static_cast<int>(part->index))) continue;
    ++stuck;
    faults_.push_back(absl::StrCat(part->name(), " does not come to its end"));
  }
  children_.KillAll();
  return stuck;
}

bool Stage::AnyStopped(const Channel& channel) const {
  return std::any_of(parts_.begin(), parts_.end(), [&](const std::unique_ptr<Part>& part) {
    return (part->channel == &channel || part->is_janitor()) && part->stopped();
  });
}

Part* Stage::ProducerOf(const Channel& channel) const {
  for (const auto& part : parts_) {
    if (part->channel == &channel && part->has_channel()) return part.get();
  }
  return nullptr;
}

}  // namespace pylabhub::chaos
