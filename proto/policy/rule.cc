#include "proto/policy/rule.h"

#include <array>

#include "absl/strings/match.h"
#include "absl/strings/str_join.h"

namespace pylabhub::policy {
namespace {

constexpr std::array<absl::string_view, kActionCount> kNames = {"REGISTER", "DISCOVER", "CONSUME", "WATCH",
                                                                "SCHEMA",   "ADMIN",    "FORCE"};

}  // namespace

absl::string_view NameOf(Action action) { return kNames[static_cast<size_t>(action)]; }

std::optional<Action> ActionOf(absl::string_view name) {
  for (size_t i = 0; i < kNames.size(); ++i) {
    if (absl::EqualsIgnoreCase(name, kNames[i])) return static_cast<Action>(i);
  }
  return std::nullopt;
}

std::string ActionNames() { return absl::StrJoin(kNames, ", "); }

}  // namespace pylabhub::policy
