#include "client/watch_interest.h"

#include "client/name_pattern.h"

namespace pylabhub {

void WatchInterest::AddPattern(const std::string& pattern) { patterns_.insert(pattern); }

void WatchInterest::Ask(const std::string& name) {
  if (!asked_.insert(name).second) return;
  asked_in_order_.push_back(name);
  if (asked_in_order_.size() <= kMaxAskedNames) return;
  asked_.erase(asked_in_order_.front());
  asked_in_order_.pop_front();
}

std::vector<std::string> WatchInterest::Patterns(const std::vector<std::string>& consumed_names) const {
  std::vector<std::string> patterns(patterns_.begin(), patterns_.end());
  std::set<std::string> names;
  const auto add = [&](const std::string& name) {
    if (patterns.empty() || !NameMatchesAny(name, patterns)) names.insert(name);
  };
  for (const std::string& name : consumed_names) add(name);
  for (const std::string& name : asked_) add(name);
  if (patterns.size() + (names.empty() ? 0 : 1) > kMaxPatterns) return {"*"};
  if (names.empty()) return patterns;
  const std::vector<std::string> of_names = PatternsFor(names, kMaxPatterns - patterns.size());
  patterns.insert(patterns.end(), of_names.begin(), of_names.end());
  return patterns;
}

}  // namespace pylabhub
