// pylabhub-broker, as it is shipped.
#pragma once

#include <atomic>
#include <memory>
#include <string>

#include "proto/pylabhub/v1/broker.grpc.pb.h"
#include "tests/bench/control/subject.h"

namespace pylabhub::bench {

class BrokerSubject final : public DirectorySubject {
 public:
  // Starts `program` with its state in `state_folder`, and fills it with `channels` channels, each of a session of its own.
  // A failure ends the program.
  BrokerSubject(const std::string& program, const std::string& certificates_folder,
                const std::string& state_folder, int channels);

  std::string name() const override;
  const ServerProcess& server() const override { return server_; }
  absl::Status Lookup(uint64_t index) override;
  bool HasBatches() const override { return true; }
  absl::Status LookupBatch(uint64_t first, int count) override;
  bool CanPut() const override { return true; }
  // Registers a channel.
  absl::Status Put(const std::string& name) override;

  // Renews the leases of the `count` sessions from `first` on in one call.
  absl::Status Heartbeat(uint64_t first, int count);
  // What the broker's memory grew by while it was filled, in bytes.
  double bytes_for_channels() const { return bytes_for_channels_; }

 private:
  absl::Status Register(const std::string& session_id, const std::string& name);

  ServerProcess server_;
  std::unique_ptr<v1::Broker::Stub> stub_;
  double bytes_for_channels_ = 0;
  std::atomic<uint32_t> segments_ = 0;
};

}  // namespace pylabhub::bench
