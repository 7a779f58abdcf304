// What a broker starts from: the store that it keeps, and what was kept there before.
#ifndef PYLABHUB_BROKER_OPEN_KEEP_H_
#define PYLABHUB_BROKER_OPEN_KEEP_H_

#include <string>

#include "absl/status/statusor.h"
#include "broker/channel_registry.h"
#include "broker/directory.h"
#include "broker/log_hook.h"

namespace pylabhub::broker {

// Opens the store in `folder`, or makes one; an empty `folder` stands for none: nothing is kept. Sets in `options` from
// where epochs and revisions go on. A store that is damaged, or on a full disk, opens too, to be read only; the log says so.
//
// Errors: those of OpenSqliteStore.
absl::StatusOr<DirectoryKeep> OpenKeep(const std::string& folder, const LogHook& log,
                                       RegistryOptions& options);

}  // namespace pylabhub::broker

#endif  // PYLABHUB_BROKER_OPEN_KEEP_H_
