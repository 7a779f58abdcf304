#include "broker/access/certificate_keeper.h"

#include <algorithm>
#include <chrono>
#include <memory>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/time/clock.h"

namespace pylabhub::broker {
namespace {

// At the publication, and once more for calls that passed the check just before.
constexpr int kTellings = 2;
// Dates change slowly.
constexpr int kLooksPerLookAtDates = 30;

// More than a tick of any file system's clock.
constexpr absl::Duration kSettleTime = absl::Seconds(2);

constexpr char kReloads[] = "pylabhub_broker_certificate_reloads_total";
constexpr char kReloadsHelp[] = "Files of certificates and revocations that changed: published, or refused.";

double UnixSeconds(absl::Time time) { return absl::ToDoubleSeconds(time - absl::UnixEpoch()); }

}  // namespace

CertificateKeeper::CertificateKeeper(Options options, const TlsTexts& texts, TlsMaterial first,
                                     PublishedTls& published, CertificateStanding& standing, Metrics& metrics)
    : options_(std::move(options)),
      published_(published),
      standing_(standing),
      published_count_(metrics.AddCounter(kReloads, kReloadsHelp, {{"result", "published"}})),
      refused_count_(metrics.AddCounter(kReloads, kReloadsHelp, {{"result", "refused"}})),
      expiry_watch_(options_.log) {
  AddMetrics(metrics);
  Publish(texts, std::move(first));
}

CertificateKeeper::~CertificateKeeper() { Stop(); }

void CertificateKeeper::Stop() {
  {
    const std::lock_guard<std::mutex> lock(stop_mutex_);
    stopped_ = true;
  }
  stopping_.notify_all();
  if (thread_.joinable()) thread_.join();
}

void CertificateKeeper::Start() {
  const std::lock_guard<std::mutex> lock(look_mutex_);
  TellRevocations();
  LookAtDates();
  thread_ = std::thread([this] { RunUntilStopped(); });
}

absl::Status CertificateKeeper::Reload() {
  const std::lock_guard<std::mutex> lock(look_mutex_);
  absl::Status status = Look(/*asked=*/true);
  LookAtDates();
  return status;
}

void CertificateKeeper::RunUntilStopped() {
  int looks = 0;
  while (true) {
    {
      std::unique_lock<std::mutex> lock(stop_mutex_);
      stopping_.wait_for(lock, absl::ToChronoNanoseconds(options_.look_interval),
                         [this] { return stopped_; });
      if (stopped_) return;
    }
    const std::lock_guard<std::mutex> lock(look_mutex_);
    if (tellings_left_ > 0) TellRevocations();
    // Why not is told by NoteRefusal.
    if (MayHaveChanged()) Look(/*asked=*/false).IgnoreError();
    if (++looks % kLooksPerLookAtDates == 0) LookAtDates();
  }
}

bool CertificateKeeper::MayHaveChanged() {
  FileStamps stamps = StampsOf(options_.files);
  // What was refused may become good by the time alone.
  const bool same = refusal_.empty() && stamps_are_settled_ && stamps == stamps_;
  stamps_are_settled_ = absl::Now() - stamps.last_change > kSettleTime;
  stamps_ = std::move(stamps);
  return !same;
}

absl::Status CertificateKeeper::Look(bool asked) {
  if (options_.files.paths.certificate.empty()) return absl::OkStatus();
  TlsTexts texts;
  absl::StatusOr<TlsMaterial> material = Read(texts);
  if (!material.ok()) {
    NoteRefusal(material.status(), asked);
    return material.status();
  }
  refusal_.clear();
  gauges_.files_refused = 0;
  if (texts == texts_) return absl::OkStatus();
  LogPublished(texts);
  Publish(texts, *std::move(material));
  published_count_.Increment();
  TellRevocations();
  return absl::OkStatus();
}

absl::StatusOr<TlsMaterial> CertificateKeeper::Read(TlsTexts& texts) const {
  auto read = ReadTlsTexts(options_.files);
  if (!read.ok()) return read.status();
  texts = *std::move(read);
  // As it was published, however its dates are by now.
  if (texts == texts_) return TlsMaterial{};
  if (texts_.has_revocations && !texts.has_revocations) {
    return absl::NotFoundError(absl::StrCat(
        options_.files.revocations, ": was there and is gone; put it back (an empty file revokes nobody)"));
  }
  auto material = ReadTlsMaterial(texts, options_.files);
  if (!material.ok()) return material;
  if (absl::Status status = CheckDates(*material, absl::Now()); !status.ok()) return status;
  return material;
}

void CertificateKeeper::Publish(const TlsTexts& texts, TlsMaterial material) {
  texts_ = texts;
  server_ = {.role = "server",
             .serial = material.server_serial,
             .not_before = material.server_not_before,
             .expire_time = material.server_expire_time};
  ca_ = {.role = "ca", .not_before = material.ca_not_before, .expire_time = material.ca_expire_time};
  gauges_.server_expire_unix_seconds = UnixSeconds(server_.expire_time);
  gauges_.ca_expire_unix_seconds = UnixSeconds(ca_.expire_time);
  gauges_.revocations = static_cast<double>(material.revocations.size());
  tellings_left_ = material.revocations.empty() ? 0 : kTellings;
  // First who may not come any more, then the edition whose tickets are new.
  standing_.Publish(std::make_shared<const tls::RevocationList>(std::move(material.revocations)));
  published_.Publish(std::move(material.files));
}

void CertificateKeeper::NoteRefusal(const absl::Status& status, bool asked) {
  const std::string message(status.message());
  if (refusal_ != message) {
    refusal_ = message;
    refusal_is_told_ = false;
    if (!asked) return;
  }
  if (refusal_is_told_) return;
  refusal_is_told_ = true;
  gauges_.files_refused = 1;
  refused_count_.Increment();
  if (!options_.log) return;
  options_.log({LogLevel::kError,
                "certificates_refused",
                {{"message", message}, {"still_used", absl::StrCat("server certificate ", server_.serial)}}});
}

void CertificateKeeper::LogPublished(const TlsTexts& texts) const {
  if (!options_.log) return;
  std::vector<std::string> changed;
  if (texts.files.certificate_pem != texts_.files.certificate_pem) changed.emplace_back("server certificate");
  if (texts.files.key_pem != texts_.files.key_pem) changed.emplace_back("server key");
  if (texts.files.ca_certificate_pem != texts_.files.ca_certificate_pem) changed.emplace_back("CA");
  if (texts.revocations != texts_.revocations) changed.emplace_back("revocations");
  if (texts.crl != texts_.crl) changed.emplace_back("CRL");
  options_.log({LogLevel::kInfo, "certificates_reloaded", {{"changed", absl::StrJoin(changed, ", ")}}});
}

void CertificateKeeper::TellRevocations() {
  if (tellings_left_ == 0) return;
  --tellings_left_;
  if (options_.on_revoked) options_.on_revoked(*standing_.revocations());
}

void CertificateKeeper::LookAtDates() {
  const absl::Time now = absl::Now();
  expiry_watch_.Look(server_, now);
  expiry_watch_.Look(ca_, now);
  if (!options_.clients) return;
  absl::Time first = absl::InfiniteFuture();
  for (const CertificateInUse& client : options_.clients()) {
    expiry_watch_.Look(client, now);
    if (client.expire_time > now) first = std::min(first, client.expire_time);
  }
  gauges_.client_expire_unix_seconds = first == absl::InfiniteFuture() ? 0 : UnixSeconds(first);
}

void CertificateKeeper::AddMetrics(Metrics& metrics) {
  constexpr char kExpiry[] = "pylabhub_broker_certificate_expire_timestamp_seconds";
  constexpr char kExpiryHelp[] =
      "When a certificate ends: the server's, that of the CA that is good for longest, and the first to end "
      "of those that "
      "clients showed (0: none).";
  const auto read = [](const std::atomic<double>& value) { return [&value] { return value.load(); }; };
  metrics.ReadGauge(kExpiry, kExpiryHelp, {{"certificate", "server"}},
                    read(gauges_.server_expire_unix_seconds));
  metrics.ReadGauge(kExpiry, kExpiryHelp, {{"certificate", "ca"}}, read(gauges_.ca_expire_unix_seconds));
  metrics.ReadGauge(kExpiry, kExpiryHelp, {{"certificate", "client"}},
                    read(gauges_.client_expire_unix_seconds));
  metrics.ReadGauge("pylabhub_broker_revocations", "Serials and identities that are revoked.", {},
                    read(gauges_.revocations));
  metrics.ReadGauge(
      "pylabhub_broker_certificate_files_refused",
      "1 while the files of certificates and revocations are not those in use, since they are no good.", {},
      read(gauges_.files_refused));
}

}  // namespace pylabhub::broker
