#include "proto/policy/explain.h"

#include <algorithm>

#include "proto/names/name_pattern.h"

namespace pylabhub::policy {
namespace {

// The first of `patterns` that matches; null if none does.
const std::string* FirstMatch(const std::vector<std::string>& patterns, absl::string_view text) {
  const auto found = std::find_if(patterns.begin(), patterns.end(),
                                  [&](const std::string& pattern) { return names::Matches(pattern, text); });
  return found == patterns.end() ? nullptr : &*found;
}

}  // namespace

Explanation Explain(const Policy& policy, absl::string_view identity, Action action,
                    absl::string_view channel) {
  Explanation explanation{.decision = policy.Decide(identity, action, channel)};
  for (const Rule& rule : policy.rules()) {
    const std::string* const principal = FirstMatch(rule.principals, identity);
    const std::string* const name = FirstMatch(rule.channels, channel);
    const bool has_action = std::find(rule.actions.begin(), rule.actions.end(), action) != rule.actions.end();
    if (&rule == explanation.decision.rule) {
      explanation.principal_pattern = *principal;
      explanation.channel_pattern = *name;
      break;
    }
    if ((principal != nullptr) + (name != nullptr) + has_action != 2) continue;
    explanation.near_misses.push_back({.rule = &rule,
                                       .principal_matches = principal != nullptr,
                                       .action_matches = has_action,
                                       .channel_matches = name != nullptr});
  }
  return explanation;
}

}  // namespace pylabhub::policy
