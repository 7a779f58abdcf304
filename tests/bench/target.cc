#include "tests/bench/target.h"

#include <algorithm>
#include <cstddef>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/string_view.h"
#include "tests/bench/subject.h"

namespace pylabhub::bench {
namespace {

constexpr double kUs = 1e3;
constexpr double kMs = 1e6;

const Figure* Find(const std::vector<Figure>& figures, absl::string_view bench, absl::string_view subject) {
  const auto found = std::find_if(figures.begin(), figures.end(), [&](const Figure& figure) {
    return figure.bench == bench && figure.subject == subject;
  });
  return found == figures.end() ? nullptr : &*found;
}

double RatioOf(const Figure& ours, const Figure& other) {
  std::vector<double> ratios;
  const size_t rounds = std::min(ours.rounds.size(), other.rounds.size());
  for (size_t round = 0; round < rounds; ++round) ratios.push_back(ours.rounds[round] / other.rounds[round]);
  return Median(ratios);
}

std::string Duration(double ns) {
  return ns < kMs ? absl::StrFormat("%.3g us", ns / kUs) : absl::StrFormat("%.3g ms", ns / kMs);
}

// What the figure is measured against.
std::string Yardstick(const Target& target) {
  if (target.than_subject.empty()) return Duration(target.factor);
  const bool other_bench = !target.than_figure.empty();
  return absl::StrFormat("%.2f x %s", target.factor, other_bench ? target.than_figure : target.than_subject);
}

}  // namespace

const std::vector<Target>& AllTargets() {
  using enum Target::Bound;
  static const auto& targets = *new std::vector<Target>{
      {"rtt.64B.spin", kAtMost, 1.10, "ring"},
      {"rtt.64B.spin", kAtMost, 1.5, "limit"},
      {"rtt.64B.spin.p99.9", kAtMost, 2 * kUs, "", "", true},
      {"rtt.64B.sleep", kAtMost, 1.10, "limit"},
      {"rtt.64B.adaptive", kAtMost, 1.8, "limit"},
      {"rtt.4KiB.spin", kAtMost, 1.05, "ring"},
      {"checksum.4KiB", kAtMost, 1.5, kOurs, "rtt.4KiB.spin"},
      {"rtt.1MiB.spin", kAtMost, 1, "iceoryx"},
      {"stream.64B", kAtLeast, 0.8, "ring"},
      {"stream.64B", kAtLeast, 30, "iceoryx"},
      {"stream.64B.batch16", kAtLeast, 1.2, kOurs, "stream.64B"},
      {"stream.64KiB", kAtLeast, 1, "iceoryx"},
      {"stream.1MiB", kAtLeast, 1, "iceoryx"},
      {"stream.8MiB", kAtLeast, 1, "iceoryx"},
      {"handoff.1MiB", kAtLeast, 12, "iceoryx"},
      {"fanout2.64B", kAtLeast, 5, "iceoryx"},
      {"fanout4.64B", kAtLeast, 5, "iceoryx"},
      {"fanout4.1MiB", kAtLeast, 1, "iceoryx"},
      {"overwrite.64B", kAtLeast, 0.8, kOurs, "stream.64B"},
      {"create", kAtMost, 1 * kMs},
      {"open", kAtMost, 0.2 * kMs},
      {"death.reader.max", kAtMost, 10 * kMs},
      {"death.writer.max", kAtMost, 50 * kMs},
  };
  return targets;
}

int PrintVerdicts(const std::vector<Target>& targets, const std::vector<Figure>& figures, bool quiet,
                  std::ostream& out) {
  int missed = 0;
  for (const Target& target : targets) {
    const bool absolute = target.than_subject.empty();
    const Figure* const ours = Find(figures, target.figure, kOurs);
    const Figure* const other =
        absolute ? ours
                 : Find(figures, target.than_figure.empty() ? target.figure : target.than_figure,
                        target.than_subject);
    if (ours == nullptr || other == nullptr) continue;

    const double reached = absolute ? ours->value : RatioOf(*ours, *other);
    const bool at_most = target.bound == Target::kAtMost;
    const bool ok = at_most ? reached <= target.factor : reached >= target.factor;
    const bool counts = quiet || !target.wants_quiet_machine;
    if (!ok && counts) ++missed;
    const char* const verdict = ok ? "ok" : counts ? "MISSED" : "not counted: the machine was busy";
    out << absl::StrFormat("  target %s %s %s: %s %s\n", target.figure,
                           at_most ? "<=" : ">=", Yardstick(target),
                           absolute ? Duration(reached) : absl::StrFormat("%.2f", reached), verdict);
  }
  out << std::flush;
  return missed;
}

}  // namespace pylabhub::bench
