#include "tests/bench/runner.h"

#include <regex.h>

#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "tests/bench/machine.h"
#include "tests/bench/report.h"
#include "tests/bench/target.h"

namespace pylabhub::bench {
namespace {

// A machine of which others take less than this share of the time has nothing else to do.
constexpr double kQuietShare = 0.02;

bool TakesPart(const Subject& subject, const Bench& bench) {
  return subject.measures(bench) && (!bench.ours_alone || subject.name == kOurs);
}

// Benches that are measured in the same rounds, and every subject's samples of each.
struct Family {
  struct Member {
    Bench bench;
    std::vector<Series> all;
  };
  std::vector<Member> members;
};

std::vector<Family> FamiliesOf(const std::vector<Bench>& benches, const std::vector<Subject>& subjects) {
  std::vector<Family> families;
  std::string last_name;
  for (const Bench& bench : benches) {
    if (bench.family.empty() || bench.family != last_name) families.emplace_back();
    last_name = bench.family;
    Family::Member member = {.bench = bench, .all = {}};
    for (const Subject& subject : subjects) member.all.push_back({.subject = subject.name, .samples = {}});
    families.back().members.push_back(std::move(member));
  }
  return families;
}

// Measures each subject once; returns how many failed.
int RunRound(int round, const RunOptions& options, const std::vector<Subject>& subjects,
             Family::Member& member, std::ostream& errors) {
  int failed = 0;
  for (size_t i = 0; i < subjects.size(); ++i) {
    if (!TakesPart(subjects[i], member.bench)) continue;
    const absl::StatusOr<Sample> sample = subjects[i].measure(member.bench, options.trial);
    if (sample.ok()) {
      member.all[i].samples.push_back(*sample);
    } else {
      ++failed;
      errors << "error: " << member.bench.name << " " << subjects[i].name << " round " << round + 1 << ": "
             << sample.status().message() << std::endl;
    }
  }
  return failed;
}

RunResult RunFamily(Family family, const RunOptions& options, const std::vector<Subject>& subjects,
                    const Outputs& outputs) {
  RunResult result;
  const ProcessorTime processors;
  for (int round = 0; round < options.rounds; ++round) {
    for (Family::Member& member : family.members)
      result.failed_trials += RunRound(round, options, subjects, member, outputs.errors);
  }
  const bool quiet = processors.StolenShare() + processors.OthersShare() < kQuietShare;

  std::vector<Figure> figures;
  for (const Family::Member& member : family.members) {
    for (Figure& figure : Summarise(member.bench, member.all)) figures.push_back(std::move(figure));
  }
  PrintTable(figures, outputs.table);
  result.missed_targets = PrintVerdicts(AllTargets(), figures, quiet, outputs.table);
  if (outputs.json != nullptr) {
    for (const Figure& figure : figures) PrintJsonLine(figure, *outputs.json);
  }
  return result;
}

absl::StatusOr<std::vector<Bench>> Selected(const std::string& suite, const std::string& only) {
  regex_t pattern;
  if (regcomp(&pattern, only.c_str(), REG_EXTENDED | REG_NOSUB) != 0) {
    return absl::InvalidArgumentError(absl::StrCat("--only is no regular expression: ", only));
  }
  std::vector<Bench> selected;
  for (const Bench& bench : AllBenches()) {
    if (bench.suite == suite && regexec(&pattern, bench.name.c_str(), 0, nullptr, 0) == 0)
      selected.push_back(bench);
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

absl::StatusOr<RunResult> RunBenches(const RunOptions& options, const std::vector<Subject>& subjects,
                                     const Outputs& outputs) {
  const absl::StatusOr<std::vector<Bench>> selected = Selected(options.suite, options.only);
  if (!selected.ok()) return selected.status();
  if (selected->empty()) {
    return absl::InvalidArgumentError(
        absl::StrCat("no bench of suite '", options.suite, "' is selected; there are: ", NamesOfBenches()));
  }
  RunResult result;
  for (Family& family : FamiliesOf(*selected, subjects)) {
    const RunResult its = RunFamily(std::move(family), options, subjects, outputs);
    result.failed_trials += its.failed_trials;
    result.missed_targets += its.missed_targets;
  }
  return result;
}

}  // namespace pylabhub::bench
