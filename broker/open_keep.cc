#include "broker/open_keep.h"

#include <memory>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/time/clock.h"
#include "broker/random_id.h"
#include "broker/store/history.h"
#include "broker/store/records.h"
#include "broker/store/sqlite_store.h"

namespace pylabhub::broker {
namespace {

// Above every epoch of a broker that kept nothing, as long as none granted a million channels a second.
uint64_t EpochOfNow() { return static_cast<uint64_t>(absl::ToUnixMicros(absl::Now())); }

void Tell(const LogHook& log, LogLevel level, const std::string& event, const std::string& message) {
  if (log) log({level, event, {{"message", message}}});
}

// Makes the reserved numbers durable, or says that revisions of now are of no history that was kept.
void KeepHistory(Store& store, const LogHook& log, DirectoryKeep& keep) {
  const absl::Status status = store.Commit({ToRow({kHistoryKey, keep.history})});
  if (status.ok()) return;
  keep.history.history_id = RandomId();
  keep.history_is_kept = false;
  Tell(log, LogLevel::kError, "store_read_only", std::string(status.message()));
}

}  // namespace

absl::StatusOr<DirectoryKeep> OpenKeep(const std::string& folder, const LogHook& log,
                                       RegistryOptions& options) {
  DirectoryKeep keep;
  KeptRecords kept;
  if (!folder.empty()) {
    absl::StatusOr<std::unique_ptr<Store>> store = OpenSqliteStore(folder);
    if (!store.ok()) return store.status();
    absl::StatusOr<StoredRows> stored = (*store)->Load();
    if (!stored.ok()) return stored.status();
    kept = FromRows(std::move(stored->rows));
    keep.store = *std::move(store);
    keep.damage = std::move(stored->damage);
    keep.state = std::move(kept.registry);
    keep.opaque = std::move(kept.opaque);
  }
  NumbersAtStart numbers = StartNumbers(kept.history, RandomId(), EpochOfNow());
  options.first_epoch = numbers.first_epoch;
  options.first_revision = numbers.first_revision;
  keep.history = std::move(numbers.history);
  if (!kept.unreadable_keys.empty()) {
    Tell(log, LogLevel::kError, "records_left_out",
         absl::StrCat("this broker does not understand ", absl::StrJoin(kept.unreadable_keys, ", ")));
  }
  if (!keep.damage.empty()) {
    // What is missing may be anything: nobody is to go on from a revision of before.
    keep.history.history_id = RandomId();
    Tell(log, LogLevel::kError, "store_damaged", keep.damage);
  } else if (keep.store != nullptr) {
    KeepHistory(*keep.store, log, keep);
  }
  return keep;
}

}  // namespace pylabhub::broker
