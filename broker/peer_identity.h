// Who calls: the identity that the client's verified certificate proves (the rule is in
// proto/tls/identity.h).
#ifndef PYLABHUB_BROKER_PEER_IDENTITY_H_
#define PYLABHUB_BROKER_PEER_IDENTITY_H_

#include <grpcpp/security/auth_context.h>

#include <memory>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"

namespace pylabhub::broker {

struct PeerIdentity {
  std::string name;
  absl::Time certificate_not_before;
  absl::Time certificate_expire_time;
  std::string certificate_serial = {};  // as in proto/tls/identity.h
};

// Reads certificates, and remembers what it read: a connection makes many calls with one certificate.
//
// Thread safety: thread-safe.
class PeerIdentifier {
 public:
  // Errors:
  //   NO_IDENTITY  no certificate, or one that names nobody
  absl::StatusOr<std::shared_ptr<const PeerIdentity>> Identify(const grpc::AuthContext& context);
  absl::StatusOr<std::shared_ptr<const PeerIdentity>> Identify(absl::string_view certificate_pem);

  // Those that it remembers.
  std::vector<std::shared_ptr<const PeerIdentity>> Seen();

 private:
  absl::Mutex mutex_;
  // By the certificate's PEM text.
  absl::flat_hash_map<std::string, std::shared_ptr<const PeerIdentity>> known_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace pylabhub::broker

#endif  // PYLABHUB_BROKER_PEER_IDENTITY_H_
