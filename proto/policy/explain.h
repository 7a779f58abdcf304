// Why a policy decides as it does, for people.
//
// Thread safety: free functions with no shared state.
// Ownership:     an Explanation points into the policy that it explains.
#ifndef PYLABHUB_PROTO_POLICY_EXPLAIN_H_
#define PYLABHUB_PROTO_POLICY_EXPLAIN_H_

#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "proto/policy/policy.h"

namespace pylabhub::policy {

// A rule that fits in all but one respect.
struct NearMiss {
  const Rule* rule = nullptr;
  bool principal_matches = false;
  bool action_matches = false;
  bool channel_matches = false;
};

struct Explanation {
  Decision decision = {};
  // Of the rule that decided: its patterns that match.
  std::string principal_pattern = {};
  std::string channel_pattern = {};
  // Those before the rule that decided; all, if none did.
  std::vector<NearMiss> near_misses = {};
};

Explanation Explain(const Policy& policy, absl::string_view identity, Action action,
                    absl::string_view channel);

}  // namespace pylabhub::policy

#endif  // PYLABHUB_PROTO_POLICY_EXPLAIN_H_
