// What a policy is made of. proto/policy/policy.proto tells what each part means.
#ifndef PYLABHUB_PROTO_POLICY_RULE_H_
#define PYLABHUB_PROTO_POLICY_RULE_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"

namespace pylabhub::policy {

// In the order of policy.proto's.
enum class Action { kRegister, kDiscover, kConsume, kWatch, kSchema, kAdmin, kForce };
inline constexpr size_t kActionCount = 7;

// As in a file: "REGISTER".
absl::string_view NameOf(Action action);
// Of a name in either case; nothing for any other text.
std::optional<Action> ActionOf(absl::string_view name);
// "REGISTER, DISCOVER, ...": every one, for people.
std::string ActionNames();

struct Rule {
  std::string name = {};
  std::vector<std::string> principals = {};
  std::vector<Action> actions = {};
  std::vector<std::string> channels = {};
  bool allows = true;
  // Where it begins in its file, from 1; 0: it comes from no file.
  int line = 0;
};

}  // namespace pylabhub::policy

#endif  // PYLABHUB_PROTO_POLICY_RULE_H_
