// What a directory, its store and its watchers count: read at each scrape, but for how long commits take.
#ifndef PYLABHUB_BROKER_DIRECTORY_METRICS_H_
#define PYLABHUB_BROKER_DIRECTORY_METRICS_H_

#include <memory>

#include "broker/directory.h"
#include "broker/metrics.h"
#include "broker/store/store.h"
#include "broker/watch_feed.h"

namespace pylabhub::broker {

// `directory` outlives whoever scrapes `metrics`.
void ReadDirectory(Directory& directory, Metrics& metrics);

// Likewise.
void ReadFeed(const WatchFeed& feed, Metrics& metrics);

// `store`, each of whose commits that succeed is timed. Null stays null. `metrics` outlives it.
std::unique_ptr<Store> TimeCommits(std::unique_ptr<Store> store, Metrics& metrics);

}  // namespace pylabhub::broker

#endif  // PYLABHUB_BROKER_DIRECTORY_METRICS_H_
