// Patterns, each with the number of the rule that it stands in, arranged so that the first rule that matches a text is found
// without looking at most of them: by the whole text, by how it begins, by how it ends; and only then one after the other.
//
// Thread safety: thread-compatible.
// Time:          FirstMatch takes a look-up for each length that a pattern's beginning or end has, and time for those patterns
//                whose beginning or end is the text's; for patterns as "camera.*" and "*.raw" it does not grow with their number.
#ifndef PYLABHUB_PROTO_POLICY_PATTERN_TABLE_H_
#define PYLABHUB_PROTO_POLICY_PATTERN_TABLE_H_

#include <cstddef>
#include <cstdint>
#include <limits>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/string_view.h"

namespace pylabhub::policy {

class PatternTable {
 public:
  static constexpr uint32_t kNone = std::numeric_limits<uint32_t>::max();

  // `rule` is not below that of the pattern before.
  void Add(absl::string_view pattern, uint32_t rule);

  // The least rule with a pattern that matches; kNone if there is none.
  uint32_t FirstMatch(absl::string_view text) const;

 private:
  struct Entry {
    std::string pattern;
    uint32_t rule;
  };
  // By what all of them begin with, or end with; each list in the order of rules.
  struct ByAffix {
    absl::flat_hash_map<std::string, std::vector<Entry>> lists;
    std::vector<size_t> sizes;  // of the keys, each once

    void Add(absl::string_view affix, absl::string_view pattern, uint32_t rule);
  };

  static uint32_t FirstIn(const std::vector<Entry>& entries, absl::string_view text, uint32_t best);

  absl::flat_hash_map<std::string, uint32_t> exact_;
  ByAffix by_head_;
  ByAffix by_tail_;
  std::vector<Entry> others_;
};

}  // namespace pylabhub::policy

#endif  // PYLABHUB_PROTO_POLICY_PATTERN_TABLE_H_
