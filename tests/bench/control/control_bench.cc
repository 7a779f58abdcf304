// The control suite: the broker beside an empty gRPC call, etcd, and a ZeroMQ directory with CURVE. What
// `tests/bench/run.sh --suite control` runs.
#include <sys/resource.h>

#include <CLI/CLI.hpp>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <string>
#include <vector>

#include "absl/strings/str_format.h"
#include "tests/bench/control/control_suite.h"
#include "tests/bench/control/control_targets.h"
#include "tests/bench/control/echo_subject.h"
#include "tests/bench/control/zeromq_subject.h"
#include "tests/bench/machine.h"
#include "tests/bench/report.h"

namespace pylabhub::bench {
namespace {

struct Options {
  SuiteOptions suite;
  std::string json;
  bool check = false;
};

// Nobody meets the usual limit of descriptors with a thousand clients in one process.
void RaiseDescriptorLimit() {
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);
}

int RunSuite(const Options& options, const std::string& program) {
  // Not in /tmp, which may be memory: what is durable there tells nothing.
  std::string folder = "/var/tmp/pylabhub-bench.XXXXXX";
  if (mkdtemp(folder.data()) == nullptr) {
    std::cerr << "error: cannot make a folder in /var/tmp" << std::endl;
    return 2;
  }
  const ProcessorTime processors;
  absl::Status status = absl::OkStatus();
  std::vector<Figure> figures;
  {
    ControlSuite suite(options.suite, folder, program);
    status = suite.Run();
    figures = suite.Figures();
  }
  std::filesystem::remove_all(folder);
  if (!status.ok()) {
    std::cerr << "error: " << status << std::endl;
    return 1;
  }
  std::cout << absl::StrFormat("%-24s %-10s %10s %17s  %s\n", "bench", "subject", "to echo", "median",
                               "lowest .. highest round");
  PrintTable(figures, std::cout);
  const bool quiet = processors.OthersShare() < 0.02 && processors.StolenShare() < 0.02;
  const int missed = PrintControlVerdicts(figures, quiet, std::cout);
  if (!options.json.empty()) {
    std::ofstream json(options.json);
    for (const Figure& figure : figures) PrintJsonLine(figure, json);
  }
  std::cout << absl::StrFormat(
      "%d rounds of %g s, %d names. Of the processors' time the host took %.1f%%, other processes %.1f%%.\n",
      options.suite.rounds, options.suite.round.seconds, options.suite.round.names,
      100 * processors.StolenShare(), 100 * processors.OthersShare());
  if (missed != 0) std::cout << missed << " targets were missed.\n";
  return options.check && missed != 0 ? 1 : 0;
}

}  // namespace
}  // namespace pylabhub::bench

// NOLINTNEXTLINE(bugprone-exception-escape): a wrong definition of a flag, which is ours, may end the program
int main(int argc, char** argv) {
  using namespace pylabhub::bench;
  CLI::App app{
      "Measures the broker beside an empty gRPC call, etcd and ZeroMQ with CURVE, interleaved in each "
      "round."};
  Options options;
  std::string suite;
  std::string certificates;
  bool serve_echo = false;
  bool serve_zeromq = false;
  int names = 0;
  app.add_option("--suite", suite, "control")->check(CLI::IsMember({"control"}));
  app.add_option("--broker", options.suite.broker, "the program pylabhub-broker")->check(CLI::ExistingFile);
  app.add_option("--only", options.suite.only,
                 "run the benches in whose name this regular expression is found");
  app.add_option("--json", options.json, "also write one JSON object a figure to this file");
  app.add_option("--rounds", options.suite.rounds, "how often each subject is measured; the median counts")
      ->check(CLI::Range(1, 1000))
      ->capture_default_str();
  app.add_option("--seconds", options.suite.round.seconds, "how long one subject is measured in one round")
      ->check(CLI::Range(0.001, 60.0))
      ->capture_default_str();
  app.add_option("--names", options.suite.round.names, "how many names every subject holds")
      ->check(CLI::Range(1000, 10000))
      ->capture_default_str();
  app.add_option("--idle-calls", options.suite.idle_calls, "calls after a gap of 1 to 2 s, in each round")
      ->check(CLI::Range(1, 1000))
      ->capture_default_str();
  app.add_flag("--check", options.check, "exit with 1 if a target is missed");
  // What this program does when it starts itself as a subject's server.
  app.add_flag("--serve-echo", serve_echo)->group("");
  app.add_flag("--serve-zeromq", serve_zeromq)->group("");
  app.add_option("--certificates", certificates)->group("");
  CLI11_PARSE(app, argc, argv);
  names = options.suite.round.names;
  if (serve_echo) return ServeEcho(certificates);
  if (serve_zeromq) return ServeZeromq(names);
  if (options.suite.broker.empty()) {
    std::cerr << "error: --broker is missing; run tests/bench/run.sh --suite control" << std::endl;
    return 2;
  }
  RaiseDescriptorLimit();
  return RunSuite(options, "/proc/self/exe");
}
