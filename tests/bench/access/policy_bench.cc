// What it costs to ask a policy of 1,000 rules, as the broker does for each call: for an identity that few rules are for, for
// one that all are for, and for rules that no look-up helps with.
#include <benchmark/benchmark.h>

#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "proto/policy/policy.h"

namespace pylabhub::policy {
namespace {

constexpr int kRules = 1000;

// A rule for each of 1,000 processes: "camera.N" by name, by beginning, and by a pattern with a beginning.
std::string ChannelPattern(int i) {
  switch (i % 3) {
    case 0:
      return absl::StrCat("camera.", i);
    case 1:
      return absl::StrCat("camera.", i, ".*");
    default:
      return absl::StrCat("camera.", i, ".*.raw");
  }
}

std::vector<Rule> Rules(const std::string& principal_prefix, bool one_for_each) {
  std::vector<Rule> rules;
  for (int i = 0; i < kRules; ++i) {
    rules.push_back(
        {.name = absl::StrCat("rule", i),
         .principals = {one_for_each ? absl::StrCat(principal_prefix, i) : principal_prefix + "*"},
         .actions = {Action::kRegister, Action::kDiscover, Action::kConsume},
         .channels = {ChannelPattern(i)}});
  }
  return rules;
}

void Ask(benchmark::State& state, const Policy& policy, const std::string& identity) {
  int i = 0;
  int allowed = 0;
  for (auto _ : state) {
    i = (i + 331) % kRules;
    // One in three is allowed by its own rule; the others by none.
    const std::string& channel = [&]() -> const std::string& {
      static const std::vector<std::string>& names = *[] {
        auto* made = new std::vector<std::string>;
        for (int n = 0; n < kRules; ++n)
          made->push_back(absl::StrCat("camera.", n, n % 2 == 0 ? "" : ".left.raw"));
        return made;
      }();
      return names[i];
    }();
    allowed += policy.Decide(identity, Action::kDiscover, channel).allowed ? 1 : 0;
  }
  benchmark::DoNotOptimize(allowed);
}

void DecideWithARuleForEachIdentity(benchmark::State& state) {
  const Policy policy(Rules("spiffe://lab/camera/", /*one_for_each=*/true));
  Ask(state, policy, "spiffe://lab/camera/500");
}

void DecideWithEveryRuleForOneIdentity(benchmark::State& state) {
  const Policy policy(Rules("spiffe://lab/", /*one_for_each=*/false));
  Ask(state, policy, "spiffe://lab/camera/500");
}

// The worst: nothing is known of the name but something in its middle.
void DecideWithPatternsThatNoLookUpHelpsWith(benchmark::State& state) {
  std::vector<Rule> rules;
  for (int i = 0; i < kRules; ++i) {
    rules.push_back({.name = absl::StrCat("rule", i),
                     .principals = {"*"},
                     .actions = {Action::kDiscover},
                     .channels = {absl::StrCat("*x", i, "*")}});
  }
  const Policy policy(std::move(rules));
  Ask(state, policy, "spiffe://lab/camera/500");
}

void MeetAnIdentity(benchmark::State& state) {
  const Policy policy(Rules("spiffe://lab/", /*one_for_each=*/false));
  const auto rules = std::make_shared<const std::vector<Rule>>(policy.rules());
  for (auto _ : state) benchmark::DoNotOptimize(Rights(rules, "spiffe://lab/camera/500"));
}

BENCHMARK(DecideWithARuleForEachIdentity);
BENCHMARK(DecideWithEveryRuleForOneIdentity);
BENCHMARK(DecideWithPatternsThatNoLookUpHelpsWith);
BENCHMARK(MeetAnIdentity);

}  // namespace
}  // namespace pylabhub::policy

BENCHMARK_MAIN();
