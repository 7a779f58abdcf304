// Who may do what: rules, read from top to bottom, of which the first that matches decides; whatever no rule matches is denied.
//
// Thread safety: thread-safe; a Policy never changes. It remembers what it worked out for identities that it has met.
// Time:          a decision takes well below 2 us with 1,000 rules (tests/bench/access); the first one for an identity takes
//                time for all rules, once.
// Ownership:     Rights share the rules, so they, and the Rule that a Decision names, outlive the Policy they came from.
#ifndef PYLABHUB_PROTO_POLICY_POLICY_H_
#define PYLABHUB_PROTO_POLICY_POLICY_H_

#include <array>
#include <cstdint>
#include <memory>
#include <shared_mutex>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/string_view.h"
#include "proto/policy/pattern_table.h"
#include "proto/policy/rule.h"

namespace pylabhub::policy {

struct Decision {
  bool allowed = false;
  // Which decided; null: none matches.
  const Rule* rule = nullptr;
};

using RulesPtr = std::shared_ptr<const std::vector<Rule>>;

// What one identity may do.
//
// Thread safety: thread-safe; it never changes.
class Rights {
 public:
  Rights(RulesPtr rules, absl::string_view identity);

  // `channel` is a channel's name, or empty for what is about the whole broker.
  Decision Decide(Action action, absl::string_view channel) const;
  bool May(Action action, absl::string_view channel) const { return Decide(action, channel).allowed; }

  // Whether there may be a channel for which the action is allowed. False is certain.
  bool MayAny(Action action) const { return Of(action).may_any; }

  // Equal for equal answers, whatever name the channel has, as far as the rules for this identity are the same; from one
  // process to the next, too.
  uint64_t Fingerprint(Action action) const { return Of(action).fingerprint; }

 private:
  struct OfAction {
    PatternTable channels = {};
    bool may_any = false;
    uint64_t fingerprint = 0;
  };

  const OfAction& Of(Action action) const { return of_action_[static_cast<size_t>(action)]; }

  const RulesPtr rules_;
  std::array<OfAction, kActionCount> of_action_;
};

class Policy {
 public:
  // The rules are well formed, as policy_file.h checks them.
  explicit Policy(std::vector<Rule> rules)
      : rules_(std::make_shared<const std::vector<Rule>>(std::move(rules))) {}

  Policy(const Policy&) = delete;
  Policy& operator=(const Policy&) = delete;

  const std::vector<Rule>& rules() const { return *rules_; }

  // For several decisions about one identity: a list, a batch.
  std::shared_ptr<const Rights> RightsOf(absl::string_view identity) const;

  // The rule stays good as long as the policy.
  Decision Decide(absl::string_view identity, Action action, absl::string_view channel) const {
    return RightsOf(identity)->Decide(action, channel);
  }

 private:
  const RulesPtr rules_;
  // Not absl::Mutex: Debian's is not built for ThreadSanitizer, which then sees races where there are none.
  mutable std::shared_mutex mutex_;
  mutable absl::flat_hash_map<std::string, std::shared_ptr<const Rights>> met_;  // under mutex_
};

}  // namespace pylabhub::policy

#endif  // PYLABHUB_PROTO_POLICY_POLICY_H_
