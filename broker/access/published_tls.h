// The certificates that the listener uses from now on, for connections that come; those that stand go on with theirs.
//
// Thread safety: thread-safe.
#ifndef PYLABHUB_BROKER_ACCESS_PUBLISHED_TLS_H_
#define PYLABHUB_BROKER_ACCESS_PUBLISHED_TLS_H_

#include <cstdint>
#include <memory>
#include <mutex>
#include <utility>

#include "proto/tls/certificate_set.h"

namespace pylabhub::broker {

class PublishedTls {
 public:
  struct Edition {
    std::shared_ptr<const tls::TlsFiles> files = nullptr;
    uint64_t number = 0;  // of what was published, from 1; 0: nothing yet
  };

  // A new edition, also of the same files: tickets of the editions before resume no connection.
  void Publish(tls::TlsFiles files) {
    auto shared = std::make_shared<const tls::TlsFiles>(std::move(files));
    const std::lock_guard<std::mutex> lock(mutex_);
    edition_ = {.files = std::move(shared), .number = edition_.number + 1};
  }

  Edition edition() const {
    const std::lock_guard<std::mutex> lock(mutex_);
    return edition_;
  }

 private:
  // Not absl::Mutex: Debian's is not built for ThreadSanitizer, which then sees races where there are none.
  mutable std::mutex mutex_;
  Edition edition_;
};

}  // namespace pylabhub::broker

#endif  // PYLABHUB_BROKER_ACCESS_PUBLISHED_TLS_H_
