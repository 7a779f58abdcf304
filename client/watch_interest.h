// What a process wants to follow, and the patterns of the Watch stream that tells of it: patterns, the names
// of channels that it consumes, and those that it asked for last.
//
// A stream carries few patterns. Where there are more names, they are followed by the beginnings that they share, so that a
// process that wants a thousand channels of a hundred thousand is told of its own corner, not of everything.
//
// Thread safety: thread-compatible; ChannelWatcher serialises its calls.
#ifndef PYLABHUB_CLIENT_WATCH_INTEREST_H_
#define PYLABHUB_CLIENT_WATCH_INTEREST_H_

#include <cstddef>
#include <deque>
#include <set>
#include <string>
#include <vector>

namespace pylabhub {

class WatchInterest {
 public:
  static constexpr size_t kMaxPatterns = 100;  // of a stream
  static constexpr size_t kMaxAskedNames = 1'000;

  void AddPattern(const std::string& pattern);
  // The one that was asked for first goes when there are too many.
  void Ask(const std::string& name);

  // For the next stream: at most kMaxPatterns that match all of that, and `consumed_names`. None only if there is nothing.
  std::vector<std::string> Patterns(const std::vector<std::string>& consumed_names) const;

 private:
  std::set<std::string> patterns_;
  std::set<std::string> asked_;
  std::deque<std::string> asked_in_order_;
};

}  // namespace pylabhub

#endif  // PYLABHUB_CLIENT_WATCH_INTEREST_H_
