#include "proto/policy/policy.h"

#include <algorithm>
#include <mutex>
#include <utility>

#include "proto/names/name_pattern.h"

namespace pylabhub::policy {
namespace {

// Beyond, those that were met are forgotten and worked out anew: an authority that gives out many short-lived names must not
// make the broker grow.
constexpr size_t kMaxIdentitiesMet = 4096;

// FNV-1a: the same in every process, which absl::Hash is not.
constexpr uint64_t kFingerprintStart = 14695981039346656037ULL;

void Mix(uint64_t& fingerprint, absl::string_view bytes) {
  constexpr uint64_t kPrime = 1099511628211ULL;
  for (const char c : bytes) fingerprint = (fingerprint ^ static_cast<unsigned char>(c)) * kPrime;
  fingerprint = (fingerprint ^ 0x100) * kPrime;
}

bool MatchesAny(const std::vector<std::string>& patterns, absl::string_view text) {
  return std::any_of(patterns.begin(), patterns.end(),
                     [&](const std::string& pattern) { return names::Matches(pattern, text); });
}

}  // namespace

Rights::Rights(RulesPtr rules, absl::string_view identity) : rules_(std::move(rules)) {
  for (OfAction& of_action : of_action_) of_action.fingerprint = kFingerprintStart;
  for (uint32_t i = 0; i < rules_->size(); ++i) {
    const Rule& rule = (*rules_)[i];
    if (!MatchesAny(rule.principals, identity)) continue;
    for (const Action action : rule.actions) {
      OfAction& of_action = of_action_[static_cast<size_t>(action)];
      of_action.may_any = of_action.may_any || rule.allows;
      Mix(of_action.fingerprint, rule.allows ? "allow" : "deny");
      for (const std::string& channel : rule.channels) {
        of_action.channels.Add(channel, i);
        Mix(of_action.fingerprint, channel);
      }
    }
  }
}

Decision Rights::Decide(Action action, absl::string_view channel) const {
  const uint32_t first = Of(action).channels.FirstMatch(channel);
  if (first == PatternTable::kNone) return {};
  const Rule& rule = (*rules_)[first];
  return {.allowed = rule.allows, .rule = &rule};
}

std::shared_ptr<const Rights> Policy::RightsOf(absl::string_view identity) const {
  {
    const std::shared_lock lock(mutex_);
    if (const auto found = met_.find(identity); found != met_.end()) return found->second;
  }
  // With no lock held: it takes a while.
  auto rights = std::make_shared<const Rights>(rules_, identity);
  const std::unique_lock lock(mutex_);
  if (met_.size() >= kMaxIdentitiesMet) met_.clear();
  return met_.emplace(identity, std::move(rights)).first->second;
}

}  // namespace pylabhub::policy
