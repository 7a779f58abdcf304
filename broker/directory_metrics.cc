#include "broker/directory_metrics.h"

#include <utility>
#include <vector>

#include "absl/time/time.h"

namespace pylabhub::broker {
namespace {

class TimedStore final : public Store {
 public:
  TimedStore(std::unique_ptr<Store> store, prometheus::Histogram& duration_seconds)
      : store_(std::move(store)), duration_seconds_(duration_seconds) {}

  absl::StatusOr<StoredRows> Load() override { return store_->Load(); }

  absl::Status Commit(const std::vector<Row>& rows) override {
    const absl::Time start_time = SteadyNow();
    absl::Status status = store_->Commit(rows);
    if (status.ok()) duration_seconds_.Observe(absl::ToDoubleSeconds(SteadyNow() - start_time));
    return status;
  }

 private:
  const std::unique_ptr<Store> store_;
  prometheus::Histogram& duration_seconds_;
};

}  // namespace

void ReadDirectory(Directory& directory, Metrics& metrics) {
  const auto of_registry = [&directory](auto number) {
    return [&directory, number] {
      return static_cast<double>(
          directory.Run([number](ChannelRegistry& registry, absl::Time) { return number(registry); }));
    };
  };
  metrics.ReadGauge("pylabhub_broker_channels", "Channels that are registered, pending or ready.", {},
                    of_registry([](const ChannelRegistry& registry) { return registry.usage().channels; }));
  metrics.ReadGauge("pylabhub_broker_consumers", "Consumers that are registered.", {},
                    of_registry([](const ChannelRegistry& registry) { return registry.usage().consumers; }));
  metrics.ReadCounter(
      "pylabhub_broker_lapsed_leases_total", "Sessions whose lease ended.", {},
      of_registry([](const ChannelRegistry& registry) { return registry.lapsed_session_count(); }));
  metrics.ReadGauge("pylabhub_broker_sessions", "Sessions whose lease has not ended.", {},
                    of_registry([](const ChannelRegistry& registry) { return registry.session_count(); }));
  metrics.ReadCounter(
      "pylabhub_broker_sessions_held_total",
      "Sessions held for one lease more, since most sessions were about to end at once.", {},
      of_registry([](const ChannelRegistry& registry) { return registry.held_session_count(); }));
  metrics.ReadGauge("pylabhub_broker_store_read_only", "1 while nothing new can be made durable.", {},
                    [&directory] { return directory.commit().counts().read_only ? 1.0 : 0.0; });
  metrics.ReadGauge(
      "pylabhub_broker_store_pending_changes", "Changes that are not durable yet.", {},
      [&directory] { return static_cast<double>(directory.commit().counts().pending_changes); });
  metrics.ReadCounter("pylabhub_broker_store_commits_total", "Commits, each of one or more changes.", {},
                      [&directory] { return static_cast<double>(directory.commit().counts().commits); });
  metrics.ReadCounter(
      "pylabhub_broker_store_failed_commits_total", "Commits that failed; they are tried again.", {},
      [&directory] { return static_cast<double>(directory.commit().counts().failed_commits); });
}

void ReadFeed(const WatchFeed& feed, Metrics& metrics) {
  metrics.ReadGauge("pylabhub_broker_watchers", "Streams of Watch that are open.", {},
                    [&feed] { return static_cast<double>(feed.watcher_count()); });
  metrics.ReadCounter("pylabhub_broker_watchers_cut_off_total",
                      "Streams of Watch that were ended since their clients did not read in time.", {},
                      [&feed] { return static_cast<double>(feed.cut_off_count()); });
}

std::unique_ptr<Store> TimeCommits(std::unique_ptr<Store> store, Metrics& metrics) {
  // There from the beginning, also with no store.
  prometheus::Histogram& duration_seconds = metrics.AddHistogram(
      "pylabhub_broker_store_commit_duration_seconds",
      "Time that the store took to make a group of changes durable.", {}, Metrics::LatencyBounds());
  if (store == nullptr) return nullptr;
  return std::make_unique<TimedStore>(std::move(store), duration_seconds);
}

}  // namespace pylabhub::broker
