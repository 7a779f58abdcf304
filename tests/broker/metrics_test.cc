#include "broker/metrics.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace pylabhub::broker {
namespace {

using ::testing::HasSubstr;

TEST(MetricsTest, WhatIsCountedAndWhatIsReadStandInOneText) {
  Metrics metrics;
  prometheus::Counter& counter =
      metrics.AddCounter("pylabhub_broker_things_total", "Things.", {{"kind", "x"}});
  double level = 1;
  metrics.ReadGauge("pylabhub_broker_level", "Level.", {}, [&] { return level; });
  metrics.ReadCounter("pylabhub_broker_more_total", "More.", {}, [] { return 7; });
  counter.Increment();
  counter.Increment();
  level = 3;
  const std::string text = metrics.Text();
  EXPECT_THAT(
      text,
      HasSubstr("# HELP pylabhub_broker_things_total Things.\n# TYPE pylabhub_broker_things_total counter\n"
                "pylabhub_broker_things_total{kind=\"x\"} 2\n"));
  EXPECT_THAT(text, HasSubstr("# TYPE pylabhub_broker_level gauge\npylabhub_broker_level 3\n"));
  EXPECT_THAT(text, HasSubstr("# TYPE pylabhub_broker_more_total counter\npylabhub_broker_more_total 7\n"));
}

TEST(MetricsTest, OneNameWithSeveralLabelsIsOneFamily) {
  Metrics metrics;
  metrics.ReadGauge("pylabhub_broker_open", "Open.", {{"kind", "a"}}, [] { return 1; });
  metrics.ReadGauge("pylabhub_broker_open", "Open.", {{"kind", "b"}}, [] { return 2; });
  EXPECT_THAT(metrics.Text(),
              HasSubstr("# TYPE pylabhub_broker_open gauge\npylabhub_broker_open{kind=\"a\"} 1\n"
                        "pylabhub_broker_open{kind=\"b\"} 2\n"));
}

TEST(MetricsTest, AHistogramCountsWhatFallsAtOrBelowEachBound) {
  Metrics metrics;
  prometheus::Histogram& histogram =
      metrics.AddHistogram("pylabhub_broker_wait_seconds", "Waits.", {}, {0.1, 1});
  for (const double value : {0.05, 0.1, 0.5, 2.0}) histogram.Observe(value);
  const std::string text = metrics.Text();
  EXPECT_THAT(text, HasSubstr("pylabhub_broker_wait_seconds_bucket{le=\"0.1\"} 2\n"));
  EXPECT_THAT(text, HasSubstr("pylabhub_broker_wait_seconds_bucket{le=\"1\"} 3\n"));
  EXPECT_THAT(text, HasSubstr("pylabhub_broker_wait_seconds_bucket{le=\"+Inf\"} 4\n"));
}

}  // namespace
}  // namespace pylabhub::broker
