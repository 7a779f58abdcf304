#include "tests/chaos/chaos_run.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <memory>
#include <utility>

#include "absl/strings/str_cat.h"
#include "shm/data_block_producer.h"
#include "tests/chaos/children.h"
#include "tests/chaos/dice.h"
#include "tests/chaos/recovery.h"
#include "tests/chaos/stage.h"
#include "tests/chaos/stuck_watch.h"

namespace pylabhub::chaos {
namespace {

constexpr std::chrono::milliseconds kTick{2};
// Sixteen kills a second, more or less regularly; a stop or two.
constexpr int64_t kMeanKillIntervalNs = 60'000'000;
constexpr int64_t kMeanStopIntervalNs = 600'000'000;

// A folder of the run's own, gone with it.
class Folder {
 public:
  Folder() {
    std::string name = "/dev/shm/pylabhub-chaos-XXXXXX";
    if (mkdtemp(name.data()) == nullptr) std::abort();
    path_ = name;
  }
  ~Folder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

class ChaosRun {
 public:
  explicit ChaosRun(const ChaosOptions& options)
      : options_(options),
        dice_(options.seed, {0xC4A05}),
        stage_(folder_.path(), options.seed),
        recovery_(stage_),
        stuck_watch_(stage_) {}

  ChaosResult Run() {
    stage_.StartAll();
    const int64_t end_ns = NowNanos() + static_cast<int64_t>(options_.seconds * 1e9);
    int64_t next_kill_ns = NowNanos() + RandomInterval(kMeanKillIntervalNs);
    int64_t next_stop_ns = NowNanos() + RandomInterval(kMeanStopIntervalNs);
    for (int64_t now_ns = NowNanos(); now_ns < end_ns; now_ns = NowNanos()) {
      stage_.ContinueThoseDue(now_ns);
      if (now_ns >= next_kill_ns) {
        next_kill_ns += RandomInterval(kMeanKillIntervalNs);
        KillSomebody();
      }
      if (now_ns >= next_stop_ns) {
        next_stop_ns += RandomInterval(kMeanStopIntervalNs);
        StopSomebody(now_ns, end_ns);
      }
      recovery_.Look();
      stuck_watch_.Look();
      stage_.Restart(std::chrono::steady_clock::now() + kTick);
    }
    result_.stuck = stage_.End();
    Sweep();
    Sum();
    return std::move(result_);
  }

 private:
  int64_t RandomInterval(int64_t mean_ns) {
    return static_cast<int64_t>(dice_.Between(mean_ns / 2, mean_ns * 3 / 2));
  }

  Part& AnyPart() { return *stage_.parts()[dice_.Below(stage_.parts().size())]; }

  void KillSomebody() {
    Part* victim = &AnyPart();
    // Mostly where nobody is recovering, so that there is something to measure; at times where somebody is.
    for (int i = 0; i < 20 && !victim->is_janitor() && recovery_.IsMeasuring(*victim->channel); ++i)
      victim = &AnyPart();
    Disturb(*victim);
    ++result_.kills;
    victim->continue_ns = 0;
    const std::optional<int64_t> release_ns = stage_.Kill(*victim);
    if (release_ns.has_value()) recovery_.Begin(*victim, *release_ns);
    if (dice_.OneIn(8)) KillAnotherOf(*victim);
  }

  // Whoever recovers on its channel; the janitor is at work on all of them.
  void Disturb(const Part& part) {
    for (const auto& channel : stage_.channels()) {
      if (part.is_janitor() || part.channel == channel.get()) recovery_.Disturb(*channel);
    }
  }

  // Two at once.
  void KillAnotherOf(const Part& first) {
    for (const std::unique_ptr<Part>& part : stage_.parts()) {
      if (part->channel != first.channel || part.get() == &first || !dice_.OneIn(2)) continue;
      Disturb(*part);
      ++result_.kills;
      part->continue_ns = 0;
      stage_.Kill(*part);
      return;
    }
  }

  void StopSomebody(int64_t now_ns, int64_t end_ns) {
    Part& part = AnyPart();
    if (part.stopped()) return;
    Disturb(part);
    ++result_.stops;
    // Mostly short.
    const uint64_t longest_ms = dice_.OneIn(4) ? options_.longest_stop_ms : 200;
    const auto stop_ns = static_cast<int64_t>(dice_.Between(1, longest_ms) * 1'000'000);
    stage_.Stop(part, std::min(now_ns + stop_ns, end_ns));
  }

  // The next life of each channel removes what the dead have left.
  void Sweep() {
    Children children;
    children.Start(0, [this] {
      for (const auto& channel : stage_.channels()) {
        if (!shm::DataBlockProducer::Create(channel->plan.config).ok()) return 1;
      }
      return 0;
    });
    const auto end = children.WaitForOne(std::chrono::steady_clock::now() + std::chrono::seconds(20));
    if (!end.has_value() || end->exit_code != 0)
      result_.faults.emplace_back("no producer can take over in the end");
    for (const auto& entry : std::filesystem::directory_iterator(folder_.path()))
      result_.faults.push_back(absl::StrCat("left behind: ", entry.path().string()));
  }

  void Sum() {
    result_.stuck += stuck_watch_.stuck();
    result_.recovery_after_producers_ms = recovery_.after_producers();
    result_.recovery_after_consumers_ms = recovery_.after_consumers();
    Add(stuck_watch_.stuck_parts());
    Add(stage_.faults());
    for (const auto& channel : stage_.channels()) {
      Ledger& ledger = *channel->ledger;
      const std::string& name = channel->plan.config.channel;
      if (!ledger.fault.empty()) result_.faults.push_back(absl::StrCat(name, ": ", ledger.fault.str()));
      for (uint32_t i = 0; i < std::min(ledger.producers.load(), Ledger::kRecords); ++i) {
        const ProducerRecord& record = ledger.producer[i];
        result_.duplicated += record.misnumbered.load();
        if (!record.fault.empty())
          result_.faults.push_back(absl::StrCat(name, " producer ", i + 1, ": ", record.fault.str()));
      }
      uint64_t delivered = 0;
      for (uint32_t i = 0; i < std::min(ledger.consumers.load(), Ledger::kRecords); ++i) {
        const ConsumerRecord& record = ledger.consumer[i];
        delivered += record.delivered.load();
        result_.lost += record.lost.load();
        result_.torn += record.torn.load();
        result_.duplicated += record.duplicated.load();
        if (!record.fault.empty())
          result_.faults.push_back(absl::StrCat(name, " consumer ", i, ": ", record.fault.str()));
      }
      if (channel->plan.config.policy == shm::Policy::kPipeline) CountLostByGroup(*channel);
      if (delivered == 0) result_.faults.push_back(absl::StrCat(name, ": nothing was delivered"));
      result_.delivered += delivered;
    }
  }

  void CountLostByGroup(Channel& channel) {
    Ledger& ledger = *channel.ledger;
    uint64_t lost = ledger.never_delivered.load();
    const uint32_t newest = ledger.producers.load();
    const uint32_t kept = std::min(newest, GroupBook::kGenerations);
    for (uint32_t generation = newest - kept + 1; generation <= newest; ++generation)
      lost += CountNeverDelivered(ledger, generation);
    result_.lost += lost;
    if (lost != 0)
      result_.faults.push_back(
          absl::StrCat(channel.plan.config.channel, ": ", lost, " slots went to no member"));
  }

  void Add(const std::vector<std::string>& faults) {
    result_.faults.insert(result_.faults.end(), faults.begin(), faults.end());
  }

  ChaosOptions options_;
  Folder folder_;
  Dice dice_;
  Stage stage_;
  Recovery recovery_;
  StuckWatch stuck_watch_;
  ChaosResult result_;
};

}  // namespace

ChaosResult RunChaos(const ChaosOptions& options) { return ChaosRun(options).Run(); }

double Quantile(std::vector<double> values, double fraction) {
  if (values.empty()) return 0;
  std::sort(values.begin(), values.end());
  const auto rank = static_cast<size_t>(std::ceil(fraction * static_cast<double>(values.size())));
  return values[std::clamp<size_t>(rank, 1, values.size()) - 1];
}

}  // namespace pylabhub::chaos
