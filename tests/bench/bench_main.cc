#include "tests/bench/bench_main.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <fstream>
#include <iostream>
#include <string>

#include "absl/strings/str_format.h"
#include "tests/bench/machine.h"
#include "tests/bench/runner.h"

namespace pylabhub::bench {
namespace {

std::vector<Subject> Selected(const std::vector<Subject>& subjects, const std::vector<std::string>& names) {
  if (names.empty()) return subjects;
  std::vector<Subject> selected;
  for (const Subject& subject : subjects) {
    if (std::find(names.begin(), names.end(), subject.name) != names.end()) selected.push_back(subject);
  }
  return selected;
}

}  // namespace

int BenchMain(int argc, char** argv, const std::vector<Subject>& subjects) {
  std::vector<std::string> all_names;
  for (const Subject& subject : subjects) all_names.push_back(subject.name);

  CLI::App app{
      "Measures channels between two processes on two cores, all subjects interleaved in each round.\n"
      "Prints, for each bench and subject: the ratio to the machine's limit, the median over the rounds, and "
      "the\n"
      "lowest and highest round; below, what pylabhub has to reach, and whether it did."};
  std::string json_path;
  std::string suite = "data";
  std::string only;
  std::vector<std::string> names;
  int rounds = 7;
  double seconds = 0.3;
  app.add_option("--json", json_path, "also write one JSON object a figure to this file");
  bool check = false;
  app.add_option("--suite", suite, "run the benches of this suite")
      ->check(CLI::IsMember(AllSuites()))
      ->capture_default_str();
  app.add_option("--only", only, "run the benches in whose name this regular expression is found");
  app.add_option("--subjects", names, "run these subjects only")
      ->delimiter(',')
      ->check(CLI::IsMember(all_names));
  app.add_option("--rounds", rounds, "how often each subject is measured; the median counts")
      ->check(CLI::Range(1, 1000))
      ->capture_default_str();
  app.add_option("--seconds", seconds, "how long one subject is measured in one round")
      ->check(CLI::Range(0.001, 60.0))
      ->capture_default_str();
  app.add_flag("--check", check, "exit with 1 if a target is missed");
  CLI11_PARSE(app, argc, argv);

  const auto fail = [](const std::string& message) {
    std::cerr << "error: " << message << std::endl;
    return 2;
  };
  const absl::StatusOr<Cores> cores = FirstTwoCores();
  if (!cores.ok()) return fail(std::string(cores.status().message()));
  std::ofstream json;
  if (!json_path.empty()) {
    json.open(json_path);
    if (!json) return fail("cannot write " + json_path);
  }

  // After the JSON file is open, which may be in /tmp.
  if (absl::Status status = HidePublicFolders(); !status.ok()) {
    std::cerr << "note: " << status.message() << std::endl;
  }
  const ProcessorTime processors;
  std::cout << absl::StrFormat("%-24s %-10s %10s %17s  %s\n", "bench", "subject", "to limit", "median",
                               "lowest .. highest round");
  const absl::StatusOr<RunResult> result = RunBenches(
      {.suite = suite, .only = only, .rounds = rounds, .trial = {.cores = *cores, .seconds = seconds}},
      Selected(subjects, names),
      {.table = std::cout, .json = json.is_open() ? &json : nullptr, .errors = std::cerr});
  if (!result.ok()) return fail(std::string(result.status().message()));
  std::cout << absl::StrFormat(
      "%d rounds of %g s. Of the processors' time the host took %.1f%%, other processes %.1f%%.\n", rounds,
      seconds, 100 * processors.StolenShare(), 100 * processors.OthersShare());
  if (result->missed_targets != 0) std::cout << result->missed_targets << " targets were missed.\n";
  return result->failed_trials == 0 && !(check && result->missed_targets != 0) ? 0 : 1;
}

}  // namespace pylabhub::bench
