// Mutual TLS for the listener, with certificates that can change while it listens.
//
// gRPC asks for the certificates before each handshake and takes a new edition in one step; a connection that stands keeps
// those that it began with. Each edition has keys of its own for session tickets, so that nobody resumes a session that
// began under an earlier one. TLS 1.2 is the minimum, and a client without a certificate from the CA does not come in.
//
// Thread safety: thread-safe.
// Ownership:     what is returned, and what it refers to, outlive the server.
#ifndef PYLABHUB_BROKER_ACCESS_SERVER_CREDENTIALS_H_
#define PYLABHUB_BROKER_ACCESS_SERVER_CREDENTIALS_H_

#include <grpcpp/security/server_credentials.h>

#include <functional>
#include <memory>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "broker/access/published_tls.h"

namespace pylabhub::broker {

// Says whether a client with this certificate (PEM) may call the method of that path, "/SERVICE/METHOD".
using CallCheck = std::function<absl::Status(absl::string_view certificate_pem, absl::string_view path)>;

// `check` is asked for every call of a service that is not pylabhub's own (reflection, health, channelz), which nothing of
// ours would ask otherwise. `published` has an edition.
std::shared_ptr<grpc::ServerCredentials> MakeServerCredentials(const PublishedTls& published,
                                                               CallCheck check);

}  // namespace pylabhub::broker

#endif  // PYLABHUB_BROKER_ACCESS_SERVER_CREDENTIALS_H_
