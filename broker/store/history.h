// Numbers that are never given out twice: epochs and revisions, over every end and start of a broker, whatever the
// clock says. Blocks of them are reserved in the store ahead of use.
//
// Thread safety: free functions with no shared state.
#ifndef PYLABHUB_BROKER_STORE_HISTORY_H_
#define PYLABHUB_BROKER_STORE_HISTORY_H_

#include <cstdint>
#include <optional>
#include <string>

#include "broker/registry_state.h"

namespace pylabhub::broker {

// Of each kind. Half of it is more than can be used up while one commit is on its way, or while a store cannot be
// written: then only what there is can still end.
constexpr uint64_t kReservedNumbers = uint64_t{1} << 24;

// Where a broker that starts goes on.
struct NumbersAtStart {
  uint64_t first_epoch = 1;
  uint64_t first_revision = 1;
  // To be durable before the first of them is used.
  HistoryRecord history = {};
};

// Above everything that `kept` says. Without it, in a store that is new: a history called `new_history_id`, whose epochs
// start at `least_epoch`.
NumbersAtStart StartNumbers(const std::optional<HistoryRecord>& kept, const std::string& new_history_id,
                            uint64_t least_epoch);

// Reserves more if half of them are used: true if `history` has changed, and is to be made durable.
bool ReserveNumbers(HistoryRecord& history, uint64_t last_epoch, uint64_t last_revision);

}  // namespace pylabhub::broker

#endif  // PYLABHUB_BROKER_STORE_HISTORY_H_
