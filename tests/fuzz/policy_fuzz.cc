// Reads arbitrary text as a policy file: what is wrong is named with its place, and what is accepted decides as an evaluator
// does that tries rule by rule.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>

#include "absl/strings/string_view.h"
#include "proto/policy/policy_file.h"
#include "proto/policy/unreachable.h"
#include "tests/fuzz/require.h"
#include "tests/proto/policy/policy_model.h"

namespace pylabhub::policy {
namespace {

// The model's time grows without bound with the stars of a pattern.
constexpr size_t kMaxStars = 6;

bool IsSmall(const Policy& policy) {
  size_t stars = 0;
  for (const Rule& rule : policy.rules()) {
    for (const auto* patterns : {&rule.principals, &rule.channels}) {
      for (const std::string& pattern : *patterns) {
        stars = std::max<size_t>(stars, std::count(pattern.begin(), pattern.end(), '*'));
      }
    }
  }
  return stars <= kMaxStars && policy.rules().size() <= 100;
}

void CheckDecisions(const Policy& policy) {
  for (const absl::string_view identity : {"spiffe://lab/camera/1", "robot", ""}) {
    for (const absl::string_view channel : {"camera.left", "sensor", ""}) {
      for (size_t action = 0; action < kActionCount; ++action) {
        const auto asked = static_cast<Action>(action);
        fuzz::Require(policy.Decide(identity, asked, channel).allowed ==
                          testing::ModelAllows(policy.rules(), identity, asked, channel),
                      "a decision is the model's");
        fuzz::Require(policy.RightsOf(identity)->MayAny(asked) ||
                          !testing::ModelAllows(policy.rules(), identity, asked, channel),
                      "nothing is allowed where nothing may be");
      }
    }
  }
  for (const Problem& problem : FindUnreachable(policy)) {
    fuzz::Require(problem.is_warning && !problem.message.empty(), "a warning says what it is about");
  }
}

void Check(absl::string_view text) {
  const PolicyReport report = ReadPolicy(text);
  bool is_refused = false;
  for (const Problem& problem : report.problems) {
    fuzz::Require(!problem.message.empty(), "a problem says what is wrong");
    is_refused = is_refused || !problem.is_warning;
  }
  fuzz::Require(is_refused == (report.policy == nullptr), "a policy is refused for a reason, or it is there");
  if (is_refused) return;
  fuzz::Require(!report.policy->rules().empty(), "a policy has a rule");
  if (IsSmall(*report.policy)) CheckDecisions(*report.policy);
}

}  // namespace
}  // namespace pylabhub::policy

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t bytes) {
  pylabhub::policy::Check({reinterpret_cast<const char*>(data), bytes});
  return 0;
}
