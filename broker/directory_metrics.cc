#include "broker/directory_metrics.h"

namespace pylabhub::broker {

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

}  // namespace pylabhub::broker
