#include "broker/metrics.h"

#include <prometheus/collectable.h>
#include <prometheus/family.h>
#include <prometheus/registry.h>
#include <prometheus/text_serializer.h>

#include <mutex>
#include <sstream>
#include <utility>
#include <vector>

namespace pylabhub::broker {

using prometheus::ClientMetric;
using prometheus::MetricFamily;
using prometheus::MetricType;

// The values that are read.
class Metrics::Readings final : public prometheus::Collectable {
 public:
  void Add(MetricType type, const std::string& name, const std::string& help, const Labels& labels,
           std::function<double()> read) {
    const std::lock_guard<std::mutex> lock(mutex_);
    Family& family = families_[name];
    family.type = type;
    family.help = help;
    family.values.push_back({labels, std::move(read)});
  }

  std::vector<MetricFamily> Collect() const override {
    const std::lock_guard<std::mutex> lock(mutex_);
    std::vector<MetricFamily> collected;
    for (const auto& [name, family] : families_) {
      MetricFamily out = {.name = name, .help = family.help, .type = family.type, .metric = {}};
      for (const Value& value : family.values) out.metric.push_back(Read(family.type, value));
      collected.push_back(std::move(out));
    }
    return collected;
  }

 private:
  struct Value {
    Labels labels;
    std::function<double()> read;
  };
  struct Family {
    MetricType type = MetricType::Untyped;
    std::string help = {};
    std::vector<Value> values = {};
  };

  static ClientMetric Read(MetricType type, const Value& value) {
    ClientMetric metric;
    for (const auto& [name, text] : value.labels) metric.label.push_back({name, text});
    (type == MetricType::Counter ? metric.counter.value : metric.gauge.value) = value.read();
    return metric;
  }

  mutable std::mutex mutex_;
  std::map<std::string, Family> families_;  // by name; under mutex_
};

Metrics::Metrics()
    : registry_(std::make_shared<prometheus::Registry>()), readings_(std::make_shared<Readings>()) {}

Metrics::~Metrics() = default;

prometheus::Counter& Metrics::AddCounter(const std::string& name, const std::string& help,
                                         const Labels& labels) {
  return prometheus::BuildCounter().Name(name).Help(help).Register(*registry_).Add(labels);
}

prometheus::Histogram& Metrics::AddHistogram(const std::string& name, const std::string& help,
                                             const Labels& labels,
                                             const prometheus::Histogram::BucketBoundaries& bounds) {
  return prometheus::BuildHistogram().Name(name).Help(help).Register(*registry_).Add(labels, bounds);
}

void Metrics::ReadGauge(const std::string& name, const std::string& help, const Labels& labels,
                        std::function<double()> read) {
  readings_->Add(MetricType::Gauge, name, help, labels, std::move(read));
}

void Metrics::ReadCounter(const std::string& name, const std::string& help, const Labels& labels,
                          std::function<double()> read) {
  readings_->Add(MetricType::Counter, name, help, labels, std::move(read));
}

std::shared_ptr<prometheus::Collectable> Metrics::counted() const { return registry_; }
std::shared_ptr<prometheus::Collectable> Metrics::read() const { return readings_; }

std::string Metrics::Text() const {
  std::vector<MetricFamily> families = registry_->Collect();
  for (MetricFamily& family : readings_->Collect()) families.push_back(std::move(family));
  std::ostringstream text;
  prometheus::TextSerializer().Serialize(text, families);
  return text.str();
}

prometheus::Histogram::BucketBoundaries Metrics::LatencyBounds() {
  return {0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01,
          0.025,   0.05,   0.1,     0.25,   0.5,   1,      2.5,   10};
}

}  // namespace pylabhub::broker
