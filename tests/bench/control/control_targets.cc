#include "tests/bench/control/control_targets.h"

#include <algorithm>
#include <string>

#include "absl/strings/str_format.h"
#include "tests/bench/target.h"

namespace pylabhub::bench {
namespace {

constexpr double kUs = 1e3;
constexpr double kMs = 1e6;

const std::vector<Target>& Targets() {
  using enum Target::Bound;
  static const auto& targets = *new std::vector<Target>{
      {"discover.cold", kAtMost, 1.15, "echo"},
      {"discover.cold.p99", kAtMost, 1.3, "echo"},
      {"discover.cold.cpu", kAtMost, 1.15, "echo"},
      {"discover.cold", kAtMost, 0.45, "etcd"},
      {"discover.batch64", kAtLeast, 1, "zeromq"},
      {"discover.idle.max", kAtMost, 5 * kMs, "", "", true},
      {"register.durable", kAtMost, 1, "echo + 1.5 fdatasync"},
      {"register.durable", kAtMost, 0.7, "etcd"},
      {"register.durable64", kAtLeast, 2, "etcd"},
      {"discover.warm", kAtMost, 1 * kUs},
      {"watch.1000", kAtMost, 0.9, "etcd"},
      {"closing.notice", kAtMost, 50 * kMs},
      // Of two clients, each may have half of the broker; one that is held to 500 calls a second has a tenth or less of it.
      {"fairness", kAtMost, 2, "alone"},
      {"fairness.limited", kAtMost, 1.25, "alone"},
      {"restart.100k", kAtMost, 1000 * kMs},
      {"storm.1000", kAtMost, 1.3, "handshakes"},
  };
  return targets;
}

// Absolute bounds that are not times.
int PrintOwnVerdicts(const std::vector<Figure>& figures, std::ostream& out) {
  int missed = 0;
  const auto judge = [&](const char* bench, double most, const char* unit) {
    for (const Figure& figure : figures) {
      if (figure.bench != bench || figure.subject != "pylabhub") continue;
      const bool ok = figure.value <= most;
      missed += ok ? 0 : 1;
      out << absl::StrFormat("  target %s <= %g %s: %.3g %s\n", bench, most, unit, figure.value,
                             ok ? "ok" : "MISSED");
    }
  };
  judge("heartbeat.10k", 0.05, "cores");
  judge("memory.channel", 1024, "bytes");
  judge("memory.connection", 115'000, "bytes");
  judge("storm.1000.lost", 0, "channels");
  return missed;
}

}  // namespace

void AddBounds(std::vector<Figure>& figures) {
  const auto find = [&](const std::string& bench, const std::string& subject) -> const Figure* {
    for (const Figure& figure : figures) {
      if (figure.bench == bench && figure.subject == subject) return &figure;
    }
    return nullptr;
  };
  const Figure* const echo = find("discover.cold", "echo");
  const Figure* const sync = find("register.durable", "fdatasync");
  if (echo == nullptr || sync == nullptr) return;
  Figure bound = *sync;
  bound.subject = "echo + 1.5 fdatasync";
  for (size_t round = 0; round < std::min(bound.rounds.size(), echo->rounds.size()); ++round)
    bound.rounds[round] = echo->rounds[round] + 1.5 * sync->rounds[round];
  bound.value = Median(bound.rounds);
  figures.push_back(bound);
}

int PrintControlVerdicts(const std::vector<Figure>& figures, bool quiet, std::ostream& out) {
  return PrintVerdicts(Targets(), figures, quiet, out) + PrintOwnVerdicts(figures, out);
}

}  // namespace pylabhub::bench
