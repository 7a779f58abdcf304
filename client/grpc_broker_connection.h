// A BrokerConnection over gRPC and mutual TLS: the stub, with its deadlines and retries.
//
// Every call but GetBrokerInfo and Heartbeat is tried again while the broker cannot be reached, after 20 ms
// at first, then ever more slowly, until its timeout. That is safe: each can be sent again (broker.proto).
//
// One gRPC channel of its own, which connects again by itself when the connection broke.
//
// Thread safety, time, errors: as broker_connection.h.
#ifndef PYLABHUB_CLIENT_GRPC_BROKER_CONNECTION_H_
#define PYLABHUB_CLIENT_GRPC_BROKER_CONNECTION_H_

#include <memory>
#include <string>

#include "client/broker_connection.h"
#include "proto/tls/certificate_set.h"

namespace pylabhub {

// Does not connect yet: the first call does. `target` is what gRPC understands ("localhost:5570",
// "unix:/path"); `server_name`, if not empty, is the name that the broker's certificate must be good for.
std::unique_ptr<BrokerConnection> NewGrpcBrokerConnection(const std::string& target,
                                                          const std::string& server_name,
                                                          const tls::TlsFiles& files);

}  // namespace pylabhub

#endif  // PYLABHUB_CLIENT_GRPC_BROKER_CONNECTION_H_
