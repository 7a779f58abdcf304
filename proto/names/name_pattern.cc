#include "proto/names/name_pattern.h"

#include <algorithm>
#include <string>

#include "absl/strings/ascii.h"

namespace pylabhub::names {
namespace {

bool IsNameCharacter(char c) {
  return absl::ascii_islower(c) || absl::ascii_isdigit(c) || c == '.' || c == '_' || c == '-';
}

bool IsWildcard(char c) { return c == '*' || c == '?'; }

// `fits(sign, c)`: whether a sign of the pattern other than `*`, which takes anything, takes the character `c`.
template <typename Fits>
bool MatchesBy(absl::string_view pattern, absl::string_view text, Fits fits) {
  size_t p = 0;
  size_t t = 0;
  // Where to go on when a later part does not match: after the last `*`, with one more character given to it.
  size_t after_star = absl::string_view::npos;
  size_t retry_at = 0;
  while (t < text.size()) {
    if (p < pattern.size() && pattern[p] == '*') {
      after_star = ++p;
      retry_at = t;
    } else if (p < pattern.size() && fits(pattern[p], text[t])) {
      ++p;
      ++t;
    } else if (after_star != absl::string_view::npos) {
      p = after_star;
      t = ++retry_at;
    } else {
      return false;
    }
  }
  return pattern.find_first_not_of('*', p) == absl::string_view::npos;
}

// With each run of wildcards written in one way, "*?*" as "?*", so that equal patterns are equal signs.
std::string Normalised(absl::string_view pattern) {
  std::string text;
  for (size_t i = 0; i < pattern.size();) {
    if (!IsWildcard(pattern[i])) {
      text += pattern[i++];
      continue;
    }
    bool any_run = false;
    for (; i < pattern.size() && IsWildcard(pattern[i]); ++i) {
      if (pattern[i] == '?') text += '?';
      any_run = any_run || pattern[i] == '*';
    }
    if (any_run) text += '*';
  }
  return text;
}

}  // namespace

bool IsChannelName(absl::string_view text) {
  return !text.empty() && text.size() <= kMaxNameBytes &&
         std::all_of(text.begin(), text.end(), [](char c) { return IsNameCharacter(c); });
}

bool IsNamePattern(absl::string_view text) {
  return !text.empty() && text.size() <= kMaxNameBytes &&
         std::all_of(text.begin(), text.end(), [](char c) { return IsNameCharacter(c) || IsWildcard(c); });
}

bool IsExactPattern(absl::string_view pattern) {
  return std::none_of(pattern.begin(), pattern.end(), [](char c) { return IsWildcard(c); });
}

bool Matches(absl::string_view pattern, absl::string_view text) {
  return MatchesBy(pattern, text, [](char sign, char c) { return sign == '?' || sign == c; });
}

bool Covers(absl::string_view wider, absl::string_view narrower) {
  // The narrower pattern is taken for a text in which '?' stands for a character that nothing but a wildcard takes, and '*' for
  // a run that only '*' does.
  return MatchesBy(Normalised(wider), Normalised(narrower),
                   [](char sign, char c) { return c != '*' && (sign == '?' || (sign == c && c != '?')); });
}

}  // namespace pylabhub::names
