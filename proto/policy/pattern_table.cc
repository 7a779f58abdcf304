#include "proto/policy/pattern_table.h"

#include <algorithm>

#include "proto/names/name_pattern.h"

namespace pylabhub::policy {

void PatternTable::ByAffix::Add(absl::string_view affix, absl::string_view pattern, uint32_t rule) {
  if (std::find(sizes.begin(), sizes.end(), affix.size()) == sizes.end()) sizes.push_back(affix.size());
  lists[affix].push_back({std::string(pattern), rule});
}

void PatternTable::Add(absl::string_view pattern, uint32_t rule) {
  constexpr absl::string_view kWildcards = "*?";
  const size_t head_bytes = pattern.find_first_of(kWildcards);
  if (head_bytes == absl::string_view::npos) {
    exact_.emplace(pattern, rule);
    return;
  }
  const absl::string_view tail = pattern.substr(pattern.find_last_of(kWildcards) + 1);
  if (head_bytes > 0) {
    by_head_.Add(pattern.substr(0, head_bytes), pattern, rule);
  } else if (!tail.empty()) {
    by_tail_.Add(tail, pattern, rule);
  } else {
    others_.push_back({std::string(pattern), rule});
  }
}

uint32_t PatternTable::FirstIn(const std::vector<Entry>& entries, absl::string_view text, uint32_t best) {
  for (const Entry& entry : entries) {
    if (entry.rule >= best) return best;
    if (names::Matches(entry.pattern, text)) return entry.rule;
  }
  return best;
}

uint32_t PatternTable::FirstMatch(absl::string_view text) const {
  const auto whole = exact_.find(text);
  uint32_t best = FirstIn(others_, text, whole == exact_.end() ? kNone : whole->second);
  for (const size_t size : by_head_.sizes) {
    if (size > text.size()) continue;
    const auto found = by_head_.lists.find(text.substr(0, size));
    if (found != by_head_.lists.end()) best = FirstIn(found->second, text, best);
  }
  for (const size_t size : by_tail_.sizes) {
    if (size > text.size()) continue;
    const auto found = by_tail_.lists.find(text.substr(text.size() - size));
    if (found != by_tail_.lists.end()) best = FirstIn(found->second, text, best);
  }
  return best;
}

}  // namespace pylabhub::policy
