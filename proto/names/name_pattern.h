// Names of channels, and patterns: a text, where `*` stands for any run of characters, also an empty one, and `?` for one
// character. There is no way to mean a `*` or `?` itself: neither stands in a name, nor in an identity that anybody should be
// given.
//
// Thread safety: free functions with no shared state.
#ifndef PYLABHUB_PROTO_NAMES_NAME_PATTERN_H_
#define PYLABHUB_PROTO_NAMES_NAME_PATTERN_H_

#include <cstddef>

#include "absl/strings/string_view.h"

namespace pylabhub::names {

constexpr size_t kMaxNameBytes = 128;

// [a-z0-9._-]{1,128}
bool IsChannelName(absl::string_view text);

// [a-z0-9._*?-]{1,128}
bool IsNamePattern(absl::string_view text);

// Whether `pattern` is a plain text, which only that text matches.
bool IsExactPattern(absl::string_view pattern);

// Any text, not only names.
//
// Time: at most the product of both lengths.
bool Matches(absl::string_view pattern, absl::string_view text);

// Whether it can be shown, sign by sign, that `wider` matches whatever `narrower` does. True is always right; false may
// mean that it takes more thought than that ("?*" covers "*a", and this does not see it).
//
// Time: as Matches.
bool Covers(absl::string_view wider, absl::string_view narrower);

}  // namespace pylabhub::names

#endif  // PYLABHUB_PROTO_NAMES_NAME_PATTERN_H_
