// How often each identity may call: a bucket of tokens for each, which fills at a steady rate up to a burst. An
// identity that is greedy empties its own bucket and nobody else's.
//
// Thread safety: thread-compatible.
// Time:          every call is told `now`; it may be a little earlier than the call before.
// Memory:        an identity's bucket is forgotten once it is full again.
#ifndef PYLABHUB_BROKER_RATE_LIMITER_H_
#define PYLABHUB_BROKER_RATE_LIMITER_H_

#include <algorithm>
#include <string>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"

namespace pylabhub::broker {

class RateLimiter {
 public:
  // `calls_per_second` 0: no limit. `burst_calls` is at least 1.
  RateLimiter(double calls_per_second, double burst_calls)
      : calls_per_second_(calls_per_second), burst_calls_(std::max(burst_calls, 1.0)) {}

  // Takes one token of `identity`'s. Zero: it may go on. Else nothing was taken, and a token will be there after this
  // time, if nobody else of that identity takes it.
  absl::Duration Take(absl::string_view identity, absl::Time now) {
    if (calls_per_second_ <= 0) return absl::ZeroDuration();
    if (buckets_.size() >= forget_at_) ForgetTheFull(now);
    auto found = buckets_.find(identity);
    if (found == buckets_.end()) {
      found = buckets_.emplace(std::string(identity), Bucket{burst_calls_, now}).first;
    }
    Bucket& bucket = found->second;
    bucket.tokens = TokensAt(bucket, now);
    bucket.time = std::max(bucket.time, now);
    if (bucket.tokens < kWhole) return absl::Seconds((1 - bucket.tokens) / calls_per_second_);
    bucket.tokens -= 1;
    return absl::ZeroDuration();
  }

  size_t remembered() const { return buckets_.size(); }

 private:
  struct Bucket {
    double tokens;
    absl::Time time;  // when it held so many
  };

  double TokensAt(const Bucket& bucket, absl::Time now) const {
    const double gained =
        absl::ToDoubleSeconds(std::max(now - bucket.time, absl::ZeroDuration())) * calls_per_second_;
    return std::min(burst_calls_, bucket.tokens + gained);
  }

  // Costs a look at each bucket, so it is done only when there are twice as many as the last one left.
  void ForgetTheFull(absl::Time now) {
    absl::erase_if(buckets_, [&](const auto& entry) { return TokensAt(entry.second, now) >= burst_calls_; });
    forget_at_ = std::max<size_t>(kMinForgetAt, 2 * buckets_.size());
  }

  static constexpr size_t kMinForgetAt = 1024;
  // As good as a whole token: what rounding may have taken from it would be waited for in no time at all.
  static constexpr double kWhole = 1 - 1e-6;

  const double calls_per_second_;
  const double burst_calls_;
  size_t forget_at_ = kMinForgetAt;
  absl::flat_hash_map<std::string, Bucket> buckets_;
};

}  // namespace pylabhub::broker

#endif  // PYLABHUB_BROKER_RATE_LIMITER_H_
