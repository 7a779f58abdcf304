// A name that can be watched at a directory service, over gRPC streams.
#pragma once

#include <grpcpp/channel.h>

#include <functional>
#include <memory>
#include <string>

#include "absl/status/status.h"

namespace pylabhub::bench {

inline constexpr char kWatchedName[] = "bench.watched";

struct WatchedName {
  // A connection of its own.
  std::function<std::shared_ptr<grpc::Channel>()> connect;
  // The method that streams, "/package.Service/Method", and its one request, encoded. Each stream answers once when it begins.
  std::string method;
  std::string request;
  // Changes the name so that each stream is told of it in one message, in which the 16 bytes of `mark` stand.
  std::function<absl::Status(const std::string& mark)> publish;
};

}  // namespace pylabhub::bench
