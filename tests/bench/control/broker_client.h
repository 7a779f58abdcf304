// A client of the broker, as the generated stub has it, with a connection of its own.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "proto/pylabhub/v1/broker.grpc.pb.h"

namespace pylabhub::bench {

// "bench-session-7"
std::string SessionOf(uint64_t index);

absl::Status StatusOf(const grpc::Status& status);

// Thread safety: thread-safe.
class BrokerClient {
 public:
  // `identity` is the stem of its files in the folder.
  BrokerClient(const std::string& target, const std::string& certificates_folder,
               const std::string& identity = "client");

  v1::Broker::Stub& stub() { return *stub_; }

  // Registers a channel with a new segment each time: the same one again would be no change. `segment_id`: which, if not empty.
  absl::Status Register(const std::string& session_id, const std::string& name,
                        const std::string& segment_id = {});
  // Renews the leases of sessions, and makes what they hold ready.
  absl::Status Heartbeat(const std::vector<std::string>& session_ids);
  // Asks for a channel that is ready.
  absl::Status Discover(const std::string& name);
  // The epochs of up to 1000 channels; 0 of one that is not there or not ready.
  absl::StatusOr<std::vector<uint64_t>> Epochs(const std::vector<std::string>& names);

 private:
  const std::unique_ptr<v1::Broker::Stub> stub_;
  std::atomic<uint32_t> segments_ = 0;
};

}  // namespace pylabhub::bench
