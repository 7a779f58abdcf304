// Whether a client's certificate that the handshake let in may go on being used: asked for every call, and for streams
// that stand, since connections outlive certificates, and a resumed one shows none.
//
// Thread safety: thread-safe.
// Time:          a check is two lookups, or none while nobody is revoked.
#ifndef PYLABHUB_BROKER_ACCESS_CERTIFICATE_STANDING_H_
#define PYLABHUB_BROKER_ACCESS_CERTIFICATE_STANDING_H_

#include <memory>
#include <mutex>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "broker/metrics.h"
#include "proto/tls/revocation_list.h"

namespace pylabhub::broker {

class CertificateStanding {
 public:
  // `metrics` outlives this.
  explicit CertificateStanding(Metrics& metrics);

  void Publish(std::shared_ptr<const tls::RevocationList> revocations) {
    const std::lock_guard<std::mutex> lock(mutex_);
    revocations_ = std::move(revocations);
  }

  // Never null.
  std::shared_ptr<const tls::RevocationList> revocations() const {
    const std::lock_guard<std::mutex> lock(mutex_);
    return revocations_;
  }

  // `now` is wall-clock time, which is what certificates are about.
  //
  // Errors:
  //   CERTIFICATE_REVOKED  the certificate or its identity is revoked, or the certificate has expired
  absl::Status Check(absl::string_view identity, absl::string_view serial, absl::Time expire_time,
                     absl::Time now) const;

 private:
  prometheus::Counter& revoked_;
  prometheus::Counter& expired_;

  // Not absl::Mutex: Debian's is not built for ThreadSanitizer, which then sees races where there are none.
  mutable std::mutex mutex_;
  std::shared_ptr<const tls::RevocationList> revocations_ = std::make_shared<const tls::RevocationList>();
};

}  // namespace pylabhub::broker

#endif  // PYLABHUB_BROKER_ACCESS_CERTIFICATE_STANDING_H_
