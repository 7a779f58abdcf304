// Deposits memory with the broker, inherits and collects it, over the broker's Unix socket.
//
// Thread safety: free functions with no shared state.
// Time:          each ends after `timeout` at the latest.
// Errors:        what the broker refuses carries its reason (error_reason.h); kNotFound and kPermissionDenied without one: the
//                socket cannot be reached from here; kUnavailable: the connection broke.
#ifndef PYLABHUB_CLIENT_HAND_OVER_EXCHANGE_H_
#define PYLABHUB_CLIENT_HAND_OVER_EXCHANGE_H_

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "client/broker_types.h"
#include "client/handed_memory.h"

namespace pylabhub {

absl::Status DepositMemory(const HandOver& hand_over, const Deposit& deposit, absl::Duration timeout);

// With the ticket to deposit, before that is used.
absl::StatusOr<InheritedMemory> InheritMemory(const HandOver& hand_over, absl::Duration timeout);

absl::StatusOr<CollectedMemory> CollectMemory(const HandOver& hand_over, const CollectWish& wish,
                                              absl::Duration timeout);

}  // namespace pylabhub

#endif  // PYLABHUB_CLIENT_HAND_OVER_EXCHANGE_H_
