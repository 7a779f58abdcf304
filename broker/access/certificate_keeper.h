// Keeps the broker's certificates and revocations as the files have them, while it runs.
//
// Files are looked at once in a while, and read when anything about them has changed, so that it does not matter how they
// are replaced: by a rename, by a link that is turned (as orchestrators do), or in place. What they hold together is checked before any of it is
// published; until it is good, what was published before stands, and the log and the metrics say why. A fault that is
// gone by the next look, as between two files that are written one after the other, is not worth a word.
//
// It also says in good time that certificates end: its own, the CA's, and those of clients.
//
// Thread safety: thread-safe.
#ifndef PYLABHUB_BROKER_ACCESS_CERTIFICATE_KEEPER_H_
#define PYLABHUB_BROKER_ACCESS_CERTIFICATE_KEEPER_H_

#include <atomic>
#include <condition_variable>
#include <functional>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "broker/access/certificate_standing.h"
#include "broker/access/expiry_watch.h"
#include "broker/access/published_tls.h"
#include "broker/access/tls_material.h"
#include "broker/log_hook.h"
#include "broker/metrics.h"

namespace pylabhub::broker {

class CertificateKeeper {
 public:
  struct Options {
    // Without paths nothing is looked at but dates.
    CertificateFiles files = {};
    absl::Duration look_interval = absl::Seconds(1);
    LogHook log = nullptr;
    // Called when a list that is not empty was published, and once more with the next look, for calls that were on their
    // way in. By one thread at a time.
    std::function<void(const tls::RevocationList&)> on_revoked = nullptr;
    // The clients' certificates that were seen, for their dates.
    std::function<std::vector<CertificateInUse>()> clients = nullptr;
  };

  // Publishes `first`, which stands for `texts`. What is referred to outlives the keeper, and the keeper whoever
  // scrapes `metrics`.
  CertificateKeeper(Options options, const TlsTexts& texts, TlsMaterial first, PublishedTls& published,
                    CertificateStanding& standing, Metrics& metrics);
  ~CertificateKeeper();

  CertificateKeeper(const CertificateKeeper&) = delete;
  CertificateKeeper& operator=(const CertificateKeeper&) = delete;

  // Begins to look by itself, and tells of the revocations that there are. Once.
  void Start();

  // Looks by itself no more. Idempotent; the destructor does it too.
  void Stop();

  // Looks now. When it returns OK, what the files hold is published.
  //
  // Errors: why it is not, as in tls_material.h; what was published before stands.
  absl::Status Reload();

 private:
  struct Gauges {
    std::atomic<double> server_expire_unix_seconds = 0;
    std::atomic<double> ca_expire_unix_seconds = 0;
    std::atomic<double> client_expire_unix_seconds = 0;
    std::atomic<double> revocations = 0;
    std::atomic<double> files_refused = 0;
  };

  // All but the constructor's under look_mutex_.
  bool MayHaveChanged();
  absl::Status Look(bool asked);
  absl::StatusOr<TlsMaterial> Read(TlsTexts& texts) const;
  void Publish(const TlsTexts& texts, TlsMaterial material);
  void NoteRefusal(const absl::Status& status, bool asked);
  void LogPublished(const TlsTexts& texts) const;
  void TellRevocations();
  void LookAtDates();
  void AddMetrics(Metrics& metrics);
  void RunUntilStopped();

  const Options options_;
  PublishedTls& published_;
  CertificateStanding& standing_;
  prometheus::Counter& published_count_;
  prometheus::Counter& refused_count_;
  Gauges gauges_;

  std::mutex look_mutex_;
  TlsTexts texts_;
  FileStamps stamps_;
  // Whether the files had been left alone for a while when stamps_ were taken, so that the same stamps mean the same files.
  bool stamps_are_settled_ = false;
  CertificateInUse server_;
  CertificateInUse ca_;
  ExpiryWatch expiry_watch_;
  // What is wrong with the files; empty if they are as published. Told once.
  std::string refusal_;
  bool refusal_is_told_ = false;
  int tellings_left_ = 0;

  std::mutex stop_mutex_;
  std::condition_variable stopping_;
  bool stopped_ = false;  // under stop_mutex_
  std::thread thread_;
};

}  // namespace pylabhub::broker

#endif  // PYLABHUB_BROKER_ACCESS_CERTIFICATE_KEEPER_H_
