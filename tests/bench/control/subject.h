// One directory service under measurement, from a client's side, over mutual TLS or what its protocol has instead.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "tests/bench/control/server_process.h"
#include "tests/bench/control/watched_name.h"

namespace pylabhub::bench {

// Thread safety: Lookup and Put may be called from several threads at once where MayBeCalledAtOnce; the rest from one.
class DirectorySubject {
 public:
  virtual ~DirectorySubject() = default;

  virtual std::string name() const = 0;
  virtual const ServerProcess& server() const = 0;

  // Looks up the name `index`, which is there, and checks the answer.
  virtual absl::Status Lookup(uint64_t index) = 0;

  virtual bool MayBeCalledAtOnce() const { return true; }

  // Looks up `count` names from `first` on, as fast as the protocol can: in one call, or many at once.
  virtual bool HasBatches() const { return false; }
  virtual absl::Status LookupBatch(uint64_t /*first*/, int /*count*/) {
    return absl::UnimplementedError("no batches");
  }

  // Stores a name that is new, so that it survives the server's end.
  virtual bool CanPut() const { return false; }
  virtual absl::Status Put(const std::string& /*name*/) { return absl::UnimplementedError("no writes"); }

  // Nothing if it cannot be watched. Uses the subject, which must live meanwhile.
  virtual std::optional<WatchedName> Watched() { return std::nullopt; }
};

}  // namespace pylabhub::bench
