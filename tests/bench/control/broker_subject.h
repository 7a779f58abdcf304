// pylabhub-broker, as it is shipped.
#pragma once

#include <optional>
#include <string>

#include "tests/bench/control/broker_client.h"
#include "tests/bench/control/broker_process.h"
#include "tests/bench/control/subject.h"

namespace pylabhub::bench {

class BrokerSubject final : public DirectorySubject {
 public:
  // Starts `program` with its state in `state_folder`, and fills it with `channels` channels, each of a session of its own.
  // A failure ends the program.
  BrokerSubject(const std::string& program, const std::string& certificates_folder,
                const std::string& state_folder, int channels);

  std::string name() const override;
  const ServerProcess& server() const override { return process_.server(); }
  const std::string& target() const { return process_.target(); }
  absl::Status Lookup(uint64_t index) override;
  bool HasBatches() const override { return true; }
  absl::Status LookupBatch(uint64_t first, int count) override;
  bool CanPut() const override { return true; }
  // Registers a channel.
  absl::Status Put(const std::string& name) override;
  std::optional<WatchedName> Watched() override;

  // Renews the leases of the `count` sessions from `first` on in one call.
  absl::Status Heartbeat(uint64_t first, int count);
  // What the broker's memory grew by while it was filled, in bytes.
  double bytes_for_channels() const { return bytes_for_channels_; }

 private:
  BrokerProcess process_;
  BrokerClient client_;
  double bytes_for_channels_ = 0;
};

}  // namespace pylabhub::bench
