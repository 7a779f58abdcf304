#include "client/name_pattern.h"

#include <algorithm>

namespace pylabhub {
namespace {

size_t SharedPrefixBytes(absl::string_view a, absl::string_view b) {
  const size_t limit = std::min(a.size(), b.size());
  return static_cast<size_t>(std::mismatch(a.begin(), a.begin() + limit, b.begin()).first - a.begin());
}

// How much neighbours must share to come together, so that there are at most `limit` groups: limit - 1 boundaries remain,
// between the neighbours that share least.
size_t LeastSharedBytes(const std::vector<size_t>& shared_bytes, size_t limit) {
  std::vector<size_t> sorted = shared_bytes;
  std::nth_element(sorted.begin(), sorted.begin() + static_cast<ptrdiff_t>(limit - 1), sorted.end());
  return sorted[limit - 1];
}

}  // namespace

bool NameMatchesAny(absl::string_view name, const std::vector<std::string>& patterns) {
  return patterns.empty() || std::any_of(patterns.begin(), patterns.end(), [&](const std::string& pattern) {
           return names::Matches(pattern, name);
         });
}

std::vector<std::string> PatternsFor(const std::set<std::string>& names, size_t limit) {
  std::vector<std::string> sorted(names.begin(), names.end());
  if (sorted.size() <= limit) return sorted;
  std::vector<size_t> shared_bytes;
  for (size_t i = 1; i < sorted.size(); ++i) {
    shared_bytes.push_back(SharedPrefixBytes(sorted[i - 1], sorted[i]));
  }
  // Ties may make fewer groups than are allowed.
  const size_t least_bytes = LeastSharedBytes(shared_bytes, limit);
  std::vector<std::string> patterns;
  for (size_t begin = 0; begin < sorted.size();) {
    size_t end = begin + 1;
    size_t prefix_bytes = sorted[begin].size();
    while (end < sorted.size() && shared_bytes[end - 1] >= least_bytes) {
      prefix_bytes = std::min(prefix_bytes, shared_bytes[end - 1]);
      ++end;
    }
    patterns.push_back(end == begin + 1 ? sorted[begin] : sorted[begin].substr(0, prefix_bytes) + "*");
    begin = end;
  }
  return patterns;
}

}  // namespace pylabhub
