#include "tests/bench/runner.h"

#include <string>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "tests/bench/report.h"

namespace pylabhub::bench {
namespace {

int RunBench(const Bench& bench, const RunOptions& options, const std::vector<Subject>& subjects,
             const Outputs& outputs) {
  int failed = 0;
  std::vector<Series> all;
  for (const Subject& subject : subjects) all.push_back({.subject = subject.name, .samples = {}});
  for (int round = 0; round < options.rounds; ++round) {
    for (size_t i = 0; i < subjects.size(); ++i) {
      if (!subjects[i].measures(bench)) continue;
      const absl::StatusOr<Sample> sample = subjects[i].measure(bench, options.trial);
      if (sample.ok()) {
        all[i].samples.push_back(*sample);
      } else {
        ++failed;
        outputs.errors << "error: " << bench.name << " " << subjects[i].name << " round " << round + 1 << ": "
                       << sample.status().message() << std::endl;
      }
    }
  }
  const std::vector<Figure> figures = Summarise(bench, all);
  PrintTable(figures, outputs.table);
  if (outputs.json != nullptr) {
    for (const Figure& figure : figures) PrintJsonLine(figure, *outputs.json);
  }
  return failed;
}

std::string NamesOfBenches() {
  std::string names;
  for (const Bench& bench : AllBenches()) absl::StrAppend(&names, names.empty() ? "" : ", ", bench.name);
  return names;
}

}  // namespace

absl::StatusOr<int> RunBenches(const RunOptions& options, const std::vector<Subject>& subjects,
                               const Outputs& outputs) {
  int selected = 0;
  int failed = 0;
  for (const Bench& bench : AllBenches()) {
    if (!std::regex_search(bench.name, options.only)) continue;
    ++selected;
    failed += RunBench(bench, options, subjects, outputs);
  }
  if (selected == 0) {
    return absl::InvalidArgumentError(absl::StrCat("--only selects no bench; there are: ", NamesOfBenches()));
  }
  return failed;
}

}  // namespace pylabhub::bench
