// Patterns of channel names: a name, where `*` stands for any run of characters, also an empty one, and `?` for
// one character.
//
// Thread safety: free functions with no shared state.
#ifndef PYLABHUB_BROKER_NAME_PATTERN_H_
#define PYLABHUB_BROKER_NAME_PATTERN_H_

#include "absl/strings/string_view.h"

namespace pylabhub::broker {

// [a-z0-9._*?-]{1,128}
bool IsNamePattern(absl::string_view text);

// Whether `pattern` is a plain name, which only that name matches.
bool IsExactPattern(absl::string_view pattern);

// Time: at most the product of both lengths.
bool MatchesPattern(absl::string_view pattern, absl::string_view name);

}  // namespace pylabhub::broker

#endif  // PYLABHUB_BROKER_NAME_PATTERN_H_
