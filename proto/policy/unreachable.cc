#include "proto/policy/unreachable.h"

#include <algorithm>
#include <set>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "proto/names/name_pattern.h"

namespace pylabhub::policy {
namespace {

bool CoversAny(const std::vector<std::string>& wider, const std::string& narrower) {
  return std::any_of(wider.begin(), wider.end(),
                     [&](const std::string& pattern) { return names::Covers(pattern, narrower); });
}

bool Has(const Rule& rule, Action action) {
  return std::find(rule.actions.begin(), rule.actions.end(), action) != rule.actions.end();
}

// The first of `earlier` that covers the principal, the action and the channel; null if none does alone.
const Rule* FindCover(const std::vector<const Rule*>& earlier, Action action, const std::string& channel) {
  const auto found = std::find_if(earlier.begin(), earlier.end(), [&](const Rule* rule) {
    return Has(*rule, action) && CoversAny(rule->channels, channel);
  });
  return found == earlier.end() ? nullptr : *found;
}

// The rules that cover every part of the rule at `index`; none if a part is left.
std::set<std::string> CoversOf(const std::vector<Rule>& rules, size_t index) {
  const Rule& rule = rules[index];
  std::set<std::string> covers;
  for (const std::string& principal : rule.principals) {
    std::vector<const Rule*> earlier;
    for (size_t i = 0; i < index; ++i) {
      if (CoversAny(rules[i].principals, principal)) earlier.push_back(&rules[i]);
    }
    for (const Action action : rule.actions) {
      for (const std::string& channel : rule.channels) {
        const Rule* const cover = FindCover(earlier, action, channel);
        if (cover == nullptr) return {};
        covers.insert(absl::StrCat("\"", cover->name, "\" (line ", cover->line, ")"));
      }
    }
  }
  return covers;
}

}  // namespace

std::vector<Problem> FindUnreachable(const Policy& policy) {
  std::vector<Problem> problems;
  for (size_t i = 0; i < policy.rules().size(); ++i) {
    const std::set<std::string> covers = CoversOf(policy.rules(), i);
    if (covers.empty()) continue;
    const Rule& rule = policy.rules()[i];
    problems.push_back({.line = rule.line,
                        .column = 1,
                        .is_warning = true,
                        .message = absl::StrCat("rule \"", rule.name,
                                                "\" never decides anything: what it matches is decided by ",
                                                absl::StrJoin(covers, ", "))});
  }
  return problems;
}

}  // namespace pylabhub::policy
