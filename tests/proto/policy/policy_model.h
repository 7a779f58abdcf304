// What a policy decides, worked out the obvious way, with a matcher of its own; and policies at random.
#ifndef PYLABHUB_TESTS_PROTO_POLICY_POLICY_MODEL_H_
#define PYLABHUB_TESTS_PROTO_POLICY_POLICY_MODEL_H_

#include <random>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "proto/policy/rule.h"

namespace pylabhub::testing {

bool ModelMatches(absl::string_view pattern, absl::string_view text);

// The rule that decides; null if none matches.
const policy::Rule* ModelDecides(const std::vector<policy::Rule>& rules, absl::string_view identity,
                                 policy::Action action, absl::string_view channel);
bool ModelAllows(const std::vector<policy::Rule>& rules, absl::string_view identity, policy::Action action,
                 absl::string_view channel);

// Rules over a few identities and channels, so that many match.
std::vector<policy::Rule> RandomRules(std::mt19937_64& random, size_t count);
std::string RandomIdentity(std::mt19937_64& random);
std::string RandomChannel(std::mt19937_64& random);

// As a file has them.
std::string ToText(const std::vector<policy::Rule>& rules);

}  // namespace pylabhub::testing

#endif  // PYLABHUB_TESTS_PROTO_POLICY_POLICY_MODEL_H_
