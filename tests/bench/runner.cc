#include "tests/bench/runner.h"

#include <regex.h>

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

absl::StatusOr<std::vector<Bench>> Selected(const std::string& only) {
  regex_t pattern;
  if (regcomp(&pattern, only.c_str(), REG_EXTENDED | REG_NOSUB) != 0) {
    return absl::InvalidArgumentError(absl::StrCat("--only is no regular expression: ", only));
  }
  std::vector<Bench> selected;
  for (const Bench& bench : AllBenches()) {
    if (regexec(&pattern, bench.name.c_str(), 0, nullptr, 0) == 0) selected.push_back(bench);
  }
  regfree(&pattern);
  return selected;
}

std::string NamesOfBenches() {
  std::string names;
  for (const Bench& bench : AllBenches()) absl::StrAppend(&names, names.empty() ? "" : ", ", bench.name);
  return names;
}

}  // namespace

absl::StatusOr<int> RunBenches(const RunOptions& options, const std::vector<Subject>& subjects,
                               const Outputs& outputs) {
  const absl::StatusOr<std::vector<Bench>> selected = Selected(options.only);
  if (!selected.ok()) return selected.status();
  if (selected->empty()) {
    return absl::InvalidArgumentError(absl::StrCat("--only selects no bench; there are: ", NamesOfBenches()));
  }
  int failed = 0;
  for (const Bench& bench : *selected) failed += RunBench(bench, options, subjects, outputs);
  return failed;
}

}  // namespace pylabhub::bench
