// How much each identity, and all of them together, make the broker hold; and whether more is allowed.
//
// Thread safety: thread-compatible.
// Errors:        LIMIT_EXCEEDED names the limit as GetBrokerInfo does, and its value.
#ifndef PYLABHUB_BROKER_USAGE_BOOK_H_
#define PYLABHUB_BROKER_USAGE_BOOK_H_

#include <cstdint>
#include <map>
#include <string>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "broker/limits.h"

namespace pylabhub::broker {

// What somebody holds, or would hold in addition. Negative where something is given back.
struct Usage {
  int64_t sessions = 0;
  int64_t channels = 0;
  int64_t consumers = 0;
  int64_t spec_bytes = 0;

  Usage& operator+=(const Usage& other);
  Usage operator-() const;
  bool operator==(const Usage&) const = default;
};

class UsageBook {
 public:
  explicit UsageBook(const Limits& limits) : limits_(limits) {}

  // Whether `identity` may hold `more`, once `freed` is taken from `former`. Changes nothing.
  absl::Status Check(absl::string_view identity, const Usage& more, absl::string_view former = "",
                     const Usage& freed = {}) const;

  void Add(absl::string_view identity, const Usage& more);

  const Usage& total() const { return total_; }
  Usage Of(absl::string_view identity) const;

 private:
  const Limits limits_;
  Usage total_;
  absl::flat_hash_map<std::string, Usage> by_identity_;
};

// LIMIT_EXCEEDED for the limit called `name`.
absl::Status RefuseBeyond(absl::string_view name, uint64_t value);

// The limits by the names that callers see.
std::map<std::string, uint64_t> NamedLimits(const Limits& limits);

}  // namespace pylabhub::broker

#endif  // PYLABHUB_BROKER_USAGE_BOOK_H_
