// Sets of patterns of channel names, as a watcher has them. What one pattern means: proto/names/name_pattern.h.
//
// Thread safety: free functions with no shared state.
#ifndef PYLABHUB_CLIENT_NAME_PATTERN_H_
#define PYLABHUB_CLIENT_NAME_PATTERN_H_

#include <cstddef>
#include <set>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "proto/names/name_pattern.h"

namespace pylabhub {

using names::IsChannelName;
using names::IsNamePattern;

// Whether one of the patterns matches; none match everything, as in a WatchRequest.
bool NameMatchesAny(absl::string_view name, const std::vector<std::string>& patterns);

// At most `limit` (1 or more) patterns that match all of `names`: the names themselves if they are few enough, else the
// beginnings that some of them share. Those that share most are put together first, so that as little else as possible is
// matched too.
std::vector<std::string> PatternsFor(const std::set<std::string>& names, size_t limit);

}  // namespace pylabhub

#endif  // PYLABHUB_CLIENT_NAME_PATTERN_H_
