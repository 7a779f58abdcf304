// Which denials are worth a line of the log: of one identity the first, and then one a second at most.
#ifndef PYLABHUB_BROKER_DENIAL_THROTTLE_H_
#define PYLABHUB_BROKER_DENIAL_THROTTLE_H_

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>

#include "absl/container/flat_hash_map.h"
#include "absl/time/time.h"

namespace pylabhub::broker {

// Thread safety: thread-compatible.
// Time:          `now` never decreases from one call to the next.
class DenialThrottle {
 public:
  // Notices a denial. If it is to be logged: how many were not, of that identity, since the last that was.
  std::optional<uint64_t> Take(const std::string& identity, absl::Time now) {
    // Who has been forgotten may be logged once too often.
    if (last_.size() >= kMaxIdentities && !last_.contains(identity)) last_.clear();
    const auto [place, is_new] = last_.try_emplace(identity);
    Last& last = place->second;
    if (!is_new && now < last.log_time + kInterval) {
      ++last.left_out;
      return std::nullopt;
    }
    const uint64_t left_out = last.left_out;
    last = {.log_time = now};
    return left_out;
  }

 private:
  static constexpr size_t kMaxIdentities = 4096;
  static constexpr absl::Duration kInterval = absl::Seconds(1);

  struct Last {
    absl::Time log_time = absl::InfinitePast();
    uint64_t left_out = 0;
  };

  absl::flat_hash_map<std::string, Last> last_;
};

}  // namespace pylabhub::broker

#endif  // PYLABHUB_BROKER_DENIAL_THROTTLE_H_
