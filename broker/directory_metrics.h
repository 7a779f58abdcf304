// What a directory and its store count, read at each scrape.
#ifndef PYLABHUB_BROKER_DIRECTORY_METRICS_H_
#define PYLABHUB_BROKER_DIRECTORY_METRICS_H_

#include "broker/directory.h"
#include "broker/metrics.h"

namespace pylabhub::broker {

// `directory` outlives whoever scrapes `metrics`.
void ReadDirectory(Directory& directory, Metrics& metrics);

}  // namespace pylabhub::broker

#endif  // PYLABHUB_BROKER_DIRECTORY_METRICS_H_
