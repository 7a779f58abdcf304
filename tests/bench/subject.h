// Who is measured.
#pragma once

#include <functional>
#include <string>

#include "absl/status/statusor.h"
#include "tests/bench/bench.h"
#include "tests/bench/trial.h"

namespace pylabhub::bench {

// The two directions of a round trip. A stream uses kThere alone.
enum class Lane { kThere, kBack };

// The name of the subject that all this is about.
inline constexpr char kOurs[] = "pylabhub";

// The machine's own limit (`limit`), a transport of ours, or a peer.
struct Subject {
  std::string name;
  // Whether the subject takes part in a bench.
  std::function<bool(const Bench&)> measures;
  // One trial. Errors: what went wrong, in words for the person who ran the bench.
  std::function<absl::StatusOr<Sample>(const Bench&, const TrialSettings&)> measure;
};

}  // namespace pylabhub::bench
