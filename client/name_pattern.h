// Patterns of channel names: `*` stands for any run of characters, `?` for one.
//
// Thread safety: free functions with no shared state.
#ifndef PYLABHUB_CLIENT_NAME_PATTERN_H_
#define PYLABHUB_CLIENT_NAME_PATTERN_H_

#include <cstddef>
#include <set>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"

namespace pylabhub {

// Whether a channel may have that name: 1 to 128 of [a-z0-9._-]. Whether it is a pattern of such names: also * and ?.
bool IsChannelName(absl::string_view text);
bool IsNamePattern(absl::string_view text);

// In time O(name x pattern) at worst.
bool NameMatches(absl::string_view name, absl::string_view pattern);

// Whether one of the patterns matches; none match everything, as in a WatchRequest.
bool NameMatchesAny(absl::string_view name, const std::vector<std::string>& patterns);

// At most `limit` (1 or more) patterns that match all of `names`: the names themselves if they are few enough, else the
// beginnings that some of them share. Those that share most are put together first, so that as little else as possible is
// matched too.
std::vector<std::string> PatternsFor(const std::set<std::string>& names, size_t limit);

}  // namespace pylabhub

#endif  // PYLABHUB_CLIENT_NAME_PATTERN_H_
