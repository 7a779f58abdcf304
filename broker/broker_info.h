// What a broker says of itself in GetBrokerInfo, fixed when it starts.
#ifndef PYLABHUB_BROKER_BROKER_INFO_H_
#define PYLABHUB_BROKER_BROKER_INFO_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"

namespace pylabhub::broker {

constexpr char kBrokerVersion[] = "0.1.0";
constexpr uint32_t kMinProtocolVersion = 1;
constexpr uint32_t kMaxProtocolVersion = 1;

struct BrokerInfo {
  // Random; another one after every start.
  std::string broker_id;
  // As old as the store; without one, as this process.
  std::string history_id;
  std::string host;
  std::string boot_id;
  int64_t pid = 0;
  absl::Time start_time;
};

// Of this process, now.
BrokerInfo DescribeThisBroker();

// Full names of the methods that do not answer UNIMPLEMENTED, sorted.
std::vector<std::string> ImplementedMethods();

// Whether a client that speaks [min_version, max_version] can be served; 0 and 0 state nothing.
//
// Errors:
//   INVALID_REQUEST      the range is empty
//   VERSION_UNSUPPORTED  no version in common
absl::Status CheckProtocolVersions(uint32_t min_version, uint32_t max_version);

}  // namespace pylabhub::broker

#endif  // PYLABHUB_BROKER_BROKER_INFO_H_
