#include "tests/proto/policy/policy_model.h"

#include <algorithm>
#include <array>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

namespace pylabhub::testing {
namespace {

template <typename Choices>
std::string OneOf(std::mt19937_64& random, const Choices& choices) {
  return choices[random() % choices.size()];
}

std::string Quoted(const std::vector<std::string>& texts) {
  return absl::StrJoin(
      texts, ", ", [](std::string* out, const std::string& text) { absl::StrAppend(out, "\"", text, "\""); });
}

}  // namespace

bool ModelMatches(absl::string_view pattern, absl::string_view text) {
  if (pattern.empty()) return text.empty();
  if (pattern[0] == '*') {
    return ModelMatches(pattern.substr(1), text) || (!text.empty() && ModelMatches(pattern, text.substr(1)));
  }
  return !text.empty() && (pattern[0] == '?' || pattern[0] == text[0]) &&
         ModelMatches(pattern.substr(1), text.substr(1));
}

const policy::Rule* ModelDecides(const std::vector<policy::Rule>& rules, absl::string_view identity,
                                 policy::Action action, absl::string_view channel) {
  for (const policy::Rule& rule : rules) {
    for (const std::string& principal : rule.principals) {
      for (const std::string& name : rule.channels) {
        if (ModelMatches(principal, identity) && ModelMatches(name, channel) &&
            std::count(rule.actions.begin(), rule.actions.end(), action) > 0) {
          return &rule;
        }
      }
    }
  }
  return nullptr;
}

bool ModelAllows(const std::vector<policy::Rule>& rules, absl::string_view identity, policy::Action action,
                 absl::string_view channel) {
  const policy::Rule* const rule = ModelDecides(rules, identity, action, channel);
  return rule != nullptr && rule->allows;
}

std::string RandomIdentity(std::mt19937_64& random) {
  static const std::array<std::string, 3> kDomains = {"spiffe://lab/", "spiffe://lab2/", ""};
  static const std::array<std::string, 4> kNames = {"camera", "camera/1", "viewer", "robot"};
  return OneOf(random, kDomains) + OneOf(random, kNames);
}

std::string RandomChannel(std::mt19937_64& random) {
  static const std::array<std::string, 3> kFirst = {"camera.", "sensor.", "c"};
  static const std::array<std::string, 4> kLast = {"left", "right", "left.raw", "1"};
  return random() % 20 == 0 ? "" : OneOf(random, kFirst) + OneOf(random, kLast);
}

std::vector<policy::Rule> RandomRules(std::mt19937_64& random, size_t count) {
  static const std::array<std::string, 8> kPrincipals = {
      "*",   "spiffe://lab/*",   "spiffe://lab/camera", "spiffe://lab?/*", "robot", "*camera*",
      "*/1", "spiffe://*/viewer"};
  static const std::array<std::string, 9> kChannels = {"*",   "camera.*",  "camera.left", "*.raw", "?*.left*",
                                                       "c*1", "sensor.?*", "*e*",         "cleft"};
  std::vector<policy::Rule> rules;
  for (size_t i = 0; i < count; ++i) {
    policy::Rule rule{.name = absl::StrCat("rule", i), .allows = random() % 3 != 0};
    for (uint64_t n = 1 + random() % 2; n > 0; --n) rule.principals.push_back(OneOf(random, kPrincipals));
    for (uint64_t n = 1 + random() % 3; n > 0; --n) rule.channels.push_back(OneOf(random, kChannels));
    for (size_t action = 0; action < policy::kActionCount; ++action) {
      if (random() % 3 == 0) rule.actions.push_back(static_cast<policy::Action>(action));
    }
    if (rule.actions.empty()) rule.actions.push_back(policy::Action::kDiscover);
    rules.push_back(std::move(rule));
  }
  return rules;
}

std::string ToText(const std::vector<policy::Rule>& rules) {
  std::string text;
  for (const policy::Rule& rule : rules) {
    std::vector<std::string> actions;
    for (const policy::Action action : rule.actions) actions.emplace_back(policy::NameOf(action));
    absl::StrAppend(&text, "rules {\n  name: \"", rule.name, "\"\n  principals: [", Quoted(rule.principals),
                    "]\n  actions: [", absl::StrJoin(actions, ", "), "]\n  channels: [",
                    Quoted(rule.channels), "]\n", rule.allows ? "" : "  effect: DENY\n", "}\n");
  }
  return text;
}

}  // namespace pylabhub::testing
