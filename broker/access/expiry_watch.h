// Says in good time, and not over and over, that certificates end: when a fifth of a certificate's time is left (30 days at
// most), when a twentieth is (7 days at most), and when it has ended.
//
// Thread safety: thread-compatible.
// Time:          wall-clock time, which may step.
#ifndef PYLABHUB_BROKER_ACCESS_EXPIRY_WATCH_H_
#define PYLABHUB_BROKER_ACCESS_EXPIRY_WATCH_H_

#include <map>
#include <string>

#include "absl/time/time.h"
#include "broker/log_hook.h"

namespace pylabhub::broker {

// A certificate that is in use.
struct CertificateInUse {
  std::string role = {};      // "server", "ca", "client"
  std::string identity = {};  // of a client
  std::string serial = {};
  absl::Time not_before = absl::InfinitePast();
  absl::Time expire_time = absl::InfiniteFuture();
};

class ExpiryWatch {
 public:
  explicit ExpiryWatch(LogHook log) : log_(std::move(log)) {}

  // Logs what there is to say about a certificate that was not said before.
  void Look(const CertificateInUse& certificate, absl::Time now);

 private:
  enum class Stage { kGood, kSoon, kVerySoon, kExpired };

  static Stage StageOf(const CertificateInUse& certificate, absl::Time now);

  const LogHook log_;
  // By role and serial; only what is not good.
  std::map<std::pair<std::string, std::string>, Stage> said_;
};

}  // namespace pylabhub::broker

#endif  // PYLABHUB_BROKER_ACCESS_EXPIRY_WATCH_H_
