// A chaos run: kills, stops and restarts producers and consumers under load, and judges what those who live get.
#ifndef PYLABHUB_TESTS_CHAOS_CHAOS_RUN_H_
#define PYLABHUB_TESTS_CHAOS_CHAOS_RUN_H_

#include <cstdint>
#include <string>
#include <vector>

namespace pylabhub::chaos {

struct ChaosOptions {
  double seconds = 10;
  uint64_t seed = 0;
  int64_t longest_stop_ms = 2'000;
};

struct ChaosResult {
  int kills = 0;
  int stops = 0;
  uint64_t delivered = 0;
  uint64_t lost = 0;
  uint64_t torn = 0;
  uint64_t duplicated = 0;
  int stuck = 0;
  std::vector<double> recovery_after_producers_ms;
  std::vector<double> recovery_after_consumers_ms;
  std::vector<std::string> faults;  // in words; whatever else must not happen is here too
};

ChaosResult RunChaos(const ChaosOptions& options);

// The least value that `fraction` of all do not exceed; 0 of none.
double Quantile(std::vector<double> values, double fraction);

}  // namespace pylabhub::chaos

#endif  // PYLABHUB_TESTS_CHAOS_CHAOS_RUN_H_
