#include "client/cli/rate_meter.h"

#include <algorithm>
#include <utility>

namespace pylabhub::cli {

void RateMeter::Add(uint64_t payload_bytes, uint64_t missed_slots) {
  ++taken_.slots;
  taken_.payload_bytes += payload_bytes;
  taken_.missed_slots += missed_slots;
}

absl::Duration RateMeter::Left(absl::Duration now) const {
  return std::max(begin_ + interval_ - now, absl::ZeroDuration());
}

std::optional<IntakeRate> RateMeter::Take(absl::Duration now) {
  if (Left(now) > absl::ZeroDuration()) return std::nullopt;
  IntakeRate rate = std::exchange(taken_, {});
  rate.interval = now - begin_;
  begin_ = now;
  const double seconds = absl::ToDoubleSeconds(rate.interval);
  if (seconds <= 0) return rate;
  rate.slots_per_second = static_cast<double>(rate.slots) / seconds;
  rate.bytes_per_second = static_cast<double>(rate.payload_bytes) / seconds;
  rate.missed_slots_per_second = static_cast<double>(rate.missed_slots) / seconds;
  return rate;
}

}  // namespace pylabhub::cli
