// What the broker counts, for Prometheus to fetch.
//
// A part with a hot path counts into a Counter or a Histogram that it gets here once, by reference. A part that keeps
// its own numbers (the registry, anything pure) is read at each scrape instead, so that it need not know Prometheus.
// Names follow Prometheus's conventions: they begin with "pylabhub_broker_", say their unit last ("_seconds", "_bytes"),
// and end in "_total" where they only grow. docs/broker.md lists every one; a test compares the two.
//
// Thread safety: thread-safe.
// Ownership:     references are good for as long as the Metrics are; what `read` refers to must outlive the Metrics, or
//                whoever scrapes them.
#ifndef PYLABHUB_BROKER_METRICS_H_
#define PYLABHUB_BROKER_METRICS_H_

#include <prometheus/counter.h>
#include <prometheus/histogram.h>

#include <functional>
#include <map>
#include <memory>
#include <string>

namespace prometheus {
class Collectable;
class Registry;
}  // namespace prometheus

namespace pylabhub::broker {

class Metrics {
 public:
  using Labels = std::map<std::string, std::string>;

  Metrics();
  ~Metrics();
  Metrics(const Metrics&) = delete;
  Metrics& operator=(const Metrics&) = delete;

  // A number that only grows. The same name may be added with other labels.
  prometheus::Counter& AddCounter(const std::string& name, const std::string& help,
                                  const Labels& labels = {});

  // How often values fell at or below each of `bounds` (ascending).
  prometheus::Histogram& AddHistogram(const std::string& name, const std::string& help, const Labels& labels,
                                      const prometheus::Histogram::BucketBoundaries& bounds);

  // A value that `read` tells at each scrape, called from the scraper's thread: one that goes up and down, or one that
  // only grows.
  void ReadGauge(const std::string& name, const std::string& help, const Labels& labels,
                 std::function<double()> read);
  void ReadCounter(const std::string& name, const std::string& help, const Labels& labels,
                   std::function<double()> read);

  // Everything, to be handed to whoever answers scrapes.
  std::shared_ptr<prometheus::Collectable> counted() const;
  std::shared_ptr<prometheus::Collectable> read() const;

  // Everything as a scraper sees it, in Prometheus's text format.
  std::string Text() const;

  // From 50 us to 10 s: for calls and commits.
  static prometheus::Histogram::BucketBoundaries LatencyBounds();

 private:
  class Readings;

  const std::shared_ptr<prometheus::Registry> registry_;
  const std::shared_ptr<Readings> readings_;
};

}  // namespace pylabhub::broker

#endif  // PYLABHUB_BROKER_METRICS_H_
