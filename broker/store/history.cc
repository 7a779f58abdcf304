#include "broker/store/history.h"

#include <algorithm>

namespace pylabhub::broker {

NumbersAtStart StartNumbers(const std::optional<HistoryRecord>& kept, const std::string& new_history_id,
                            uint64_t least_epoch) {
  NumbersAtStart numbers;
  numbers.history.history_id = kept.has_value() ? kept->history_id : new_history_id;
  numbers.first_epoch = kept.has_value() ? kept->epoch_limit + 1 : std::max<uint64_t>(least_epoch, 1);
  numbers.first_revision = kept.has_value() ? kept->revision_limit + 1 : 1;
  numbers.history.epoch_limit = numbers.first_epoch - 1 + kReservedNumbers;
  numbers.history.revision_limit = numbers.first_revision - 1 + kReservedNumbers;
  return numbers;
}

bool ReserveNumbers(HistoryRecord& history, uint64_t last_epoch, uint64_t last_revision) {
  const bool enough = last_epoch + kReservedNumbers / 2 <= history.epoch_limit &&
                      last_revision + kReservedNumbers / 2 <= history.revision_limit;
  if (enough) return false;
  history.epoch_limit = std::max(history.epoch_limit, last_epoch + kReservedNumbers);
  history.revision_limit = std::max(history.revision_limit, last_revision + kReservedNumbers);
  return true;
}

}  // namespace pylabhub::broker
