// Kills, stops and restarts producers and consumers under load. The last line is JSON; exit status 0 only if nothing was
// lost, torn, duplicated or stuck, nothing was left behind, and there were kills enough.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <random>
#include <vector>

#include "tests/chaos/chaos_run.h"

namespace {

using pylabhub::chaos::ChaosResult;
using pylabhub::chaos::Quantile;

void PrintRecovery(const char* after, const std::vector<double>& values_ms) {
  std::printf("recovery after the death of a %s: %zu measured, p50 %.3f ms, p99 %.3f ms, most %.3f ms\n",
              after, values_ms.size(), Quantile(values_ms, 0.5), Quantile(values_ms, 0.99),
              Quantile(values_ms, 1));
}

}  // namespace

// NOLINTNEXTLINE(bugprone-exception-escape): a wrong definition of a flag, which is ours, may end the program
int main(int argc, char** argv) {
  pylabhub::chaos::ChaosOptions options;
  options.seed = uint64_t{std::random_device()()} << 16 ^ std::random_device()();
  double least_kills_per_second = 10;
  CLI::App app(
      "Kills, stops and restarts producers and consumers under load, and judges what the others get.");
  app.add_option("--seconds", options.seconds, "how long (default 10)")->check(CLI::Range(1.0, 1e6));
  app.add_option("--seed", options.seed,
                 "where every choice comes from; without it a new one, which is printed");
  app.add_option("--longest-stop-ms", options.longest_stop_ms,
                 "how long a process is stopped at most (default 2000)");
  app.add_option("--least-kills-per-second", least_kills_per_second, "fewer are a failure (default 10)");
  CLI11_PARSE(app, argc, argv);

  std::printf("seed %llu\n", static_cast<unsigned long long>(options.seed));
  std::fflush(stdout);
  const ChaosResult result = pylabhub::chaos::RunChaos(options);
  const bool enough = result.kills >= options.seconds * least_kills_per_second;
  for (const std::string& fault : result.faults) std::printf("fault: %s\n", fault.c_str());
  if (!enough) std::printf("fault: %d kills are too few for %.0f s\n", result.kills, options.seconds);
  PrintRecovery("producer", result.recovery_after_producers_ms);
  PrintRecovery("consumer", result.recovery_after_consumers_ms);

  std::vector<double> recovery_ms = result.recovery_after_producers_ms;
  recovery_ms.insert(recovery_ms.end(), result.recovery_after_consumers_ms.begin(),
                     result.recovery_after_consumers_ms.end());
  std::printf(
      "{\"kills\":%d,\"stops\":%d,\"delivered\":%llu,\"lost\":%llu,\"torn\":%llu,\"duplicated\":%llu,"
      "\"stuck\":%d,"
      "\"recovery_ms_p99\":%.3f}\n",
      result.kills, result.stops, static_cast<unsigned long long>(result.delivered),
      static_cast<unsigned long long>(result.lost), static_cast<unsigned long long>(result.torn),
      static_cast<unsigned long long>(result.duplicated), result.stuck, Quantile(recovery_ms, 0.99));
  const bool clean = result.lost == 0 && result.torn == 0 && result.duplicated == 0 && result.stuck == 0;
  return clean && enough && result.faults.empty() ? 0 : 1;
}
