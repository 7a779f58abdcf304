// Certificates for every subject that speaks TLS: one authority, a server, a client.
#pragma once

#include <grpcpp/channel.h>

#include <memory>
#include <string>

#include "proto/tls/certificate_set.h"

namespace pylabhub::bench {

// A connection of its own to `target`, with the certificate `identity`.pem of the set in `folder`. Ends the program if the
// certificates cannot be read.
std::shared_ptr<grpc::Channel> ConnectWithCertificates(const std::string& target, const std::string& folder,
                                                       const std::string& identity = "client");

// Reads one side's files; ends the program if they cannot be read.
tls::TlsFiles FilesOrDie(const tls::TlsPaths& paths);

}  // namespace pylabhub::bench
