#include "broker/name_pattern.h"

#include <algorithm>

#include "absl/strings/ascii.h"
#include "broker/validate.h"

namespace pylabhub::broker {

bool IsNamePattern(absl::string_view text) {
  return !text.empty() && text.size() <= kMaxNameBytes && std::all_of(text.begin(), text.end(), [](char c) {
    return absl::ascii_islower(c) || absl::ascii_isdigit(c) || c == '.' || c == '_' || c == '-' || c == '*' ||
           c == '?';
  });
}

bool IsExactPattern(absl::string_view pattern) { return pattern.find_first_of("*?") == pattern.npos; }

bool MatchesPattern(absl::string_view pattern, absl::string_view name) {
  size_t p = 0;
  size_t n = 0;
  // Where to go on when a later part does not match: after the last `*`, with one more character given to it.
  size_t after_star = pattern.npos;
  size_t retry_at = 0;
  while (n < name.size()) {
    if (p < pattern.size() && pattern[p] == '*') {
      after_star = ++p;
      retry_at = n;
    } else if (p < pattern.size() && (pattern[p] == '?' || pattern[p] == name[n])) {
      ++p;
      ++n;
    } else if (after_star != pattern.npos) {
      p = after_star;
      n = ++retry_at;
    } else {
      return false;
    }
  }
  return pattern.find_first_not_of('*', p) == pattern.npos;
}

}  // namespace pylabhub::broker
