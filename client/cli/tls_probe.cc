#include "client/cli/tls_probe.h"

#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <signal.h>

#include <array>
#include <cerrno>
#include <memory>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/string_view.h"
#include "absl/time/clock.h"
#include "client/cli/tls_dial.h"
#include "client/error_reason.h"
#include "client/grpc_broker_connection.h"
#include "proto/tls/certificate_set.h"
#include "proto/tls/identity.h"
#include "proto/tls/openssl_pointers.h"

namespace pylabhub::cli {
namespace {

// In the form of the TLS extension: each name after its length.
constexpr std::array<unsigned char, 3> kHttp2Protocol = {2, 'h', '2'};
// What a client says first: the preface, and SETTINGS with nothing in it.
constexpr absl::string_view kHttp2Hello("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0", 33);
constexpr int kFrameHeaderBytes = 9;
constexpr unsigned char kSettingsFrame = 4;
constexpr size_t kFrameTypeAt = 3;
// A broker's reason (errors.proto) that is about the certificate.
constexpr absl::string_view kCertificateRevoked = "CERTIFICATE_REVOKED";

using SslContextPtr = std::unique_ptr<SSL_CTX, tls::FreeWith<SSL_CTX_free>>;
using SslPtr = std::unique_ptr<SSL, tls::FreeWith<SSL_free>>;
using StorePtr = std::unique_ptr<X509_STORE, tls::FreeWith<X509_STORE_free>>;
using StoreContextPtr = std::unique_ptr<X509_STORE_CTX, tls::FreeWith<X509_STORE_CTX_free>>;

std::string Date(absl::Time time) {
  return absl::FormatTime("%Y-%m-%d %H:%M:%S UTC", time, absl::UTCTimeZone());
}

// The alert that the other side sent last; 0 if the error is none.
int AlertIn(unsigned long error) {
  const int reason = ERR_GET_REASON(error);
  return ERR_GET_LIB(error) == ERR_LIB_SSL && reason >= SSL_AD_REASON_OFFSET ? reason - SSL_AD_REASON_OFFSET
                                                                             : 0;
}

std::string PemOf(X509* certificate) {
  const tls::BioPtr writer(BIO_new(BIO_s_mem()));
  PEM_write_bio_X509(writer.get(), certificate);
  char* data = nullptr;
  const long size = BIO_get_mem_data(writer.get(), &data);
  return {data, static_cast<size_t>(size)};
}

// Why OpenSSL does not trust the certificate; X509_V_OK if it does.
int Verify(X509* certificate, STACK_OF(X509) * chain, const std::string& ca_pem, int purpose) {
  const StorePtr store(X509_STORE_new());
  const tls::BioPtr reader = tls::ReaderOf(ca_pem);
  while (const tls::X509Ptr authority =
             tls::X509Ptr(PEM_read_bio_X509(reader.get(), nullptr, nullptr, nullptr))) {
    X509_STORE_add_cert(store.get(), authority.get());
  }
  ERR_clear_error();
  const StoreContextPtr context(X509_STORE_CTX_new());
  X509_STORE_CTX_init(context.get(), store.get(), certificate, chain);
  X509_STORE_CTX_set_purpose(context.get(), purpose);
  return X509_verify_cert(context.get()) == 1 ? X509_V_OK : X509_STORE_CTX_get_error(context.get());
}

// One look; each step adds what it found, and answers whether to go on.
class Probe {
 public:
  explicit Probe(const TlsProbeOptions& options)
      : options_(options), place_(PlaceOf(options.address, options.server_name)) {}

  std::vector<TlsFinding> Run() {
    if (LoadOwnFiles() && Connect() && Handshake() && CheckServer() && SpeakHttp2()) Call();
    return std::move(findings_);
  }

 private:
  bool Good(const std::string& step, const std::string& message) {
    findings_.push_back({.step = step, .fault = {}, .message = message, .mend = {}});
    return true;
  }
  bool Bad(const std::string& step, ExitCode code, const std::string& fault, const std::string& message,
           const std::string& mend) {
    findings_.push_back({.step = step, .fault = fault, .message = message, .mend = mend, .exit_code = code});
    return false;
  }

  bool LoadOwnFiles();
  bool Connect();
  bool Handshake();
  bool HandshakeFailed(int result);
  bool CheckServer();
  bool CheckServerDates(const tls::CertificateSummary& server);
  bool SpeakHttp2();
  bool ReadFailed(int result);
  bool OwnCertificateRefused(int alert);
  bool Call();

  const TlsProbeOptions options_;
  const Place place_;
  std::optional<tls::TlsFiles> files_;
  Socket socket_;
  SslContextPtr context_;
  SslPtr ssl_;
  std::vector<TlsFinding> findings_;
};

bool Probe::LoadOwnFiles() {
  constexpr char kStep[] = "own files";
  if (options_.certificates_folder.empty()) return true;
  auto files = tls::LoadTlsFiles(tls::ClientPathsIn(options_.certificates_folder));
  if (!files.ok()) {
    return Bad(kStep, kOwnCertificateBad, "own_files", std::string(files.status().message()),
               "a client needs ca.pem, client.pem and client.key; `pylabhub certs issue` makes them");
  }
  const auto own = tls::Summarize(files->certificate_pem);
  const absl::Time now = absl::Now();
  if (now >= own->expire_time) {
    return Bad(kStep, kOwnCertificateBad, "own_expired",
               absl::StrCat("the client's certificate expired at ", Date(own->expire_time)),
               "`pylabhub certs renew`, or get a new one from your authority");
  }
  if (now < own->not_before) {
    return Bad(kStep, kOwnCertificateBad, "own_not_yet_valid",
               absl::StrCat("the client's certificate is not valid before ", Date(own->not_before)),
               absl::StrCat("set this host's clock (it says ", Date(now), "), or wait"));
  }
  files_ = *std::move(files);
  return Good(kStep, absl::StrCat("identity ", own->identity, ", serial ", own->serial, ", good until ",
                                  Date(own->expire_time)));
}

bool Probe::Connect() {
  Dialled dialled = Dial(place_, options_.timeout);
  if (!dialled.message.empty()) {
    return Bad("connect", kNobodyListens, "nobody_listens", dialled.message, dialled.mend);
  }
  socket_ = std::move(dialled.socket);
  return Good("connect", "somebody listens at " + place_.text());
}

bool Probe::Handshake() {
  context_.reset(SSL_CTX_new(TLS_client_method()));
  SSL_CTX_set_min_proto_version(context_.get(), TLS1_2_VERSION);
  SSL_CTX_set_alpn_protos(context_.get(), kHttp2Protocol.data(), kHttp2Protocol.size());
  if (files_.has_value()) {
    const tls::X509Ptr certificate(
        PEM_read_bio_X509(tls::ReaderOf(files_->certificate_pem).get(), nullptr, nullptr, nullptr));
    const tls::KeyPtr key(
        PEM_read_bio_PrivateKey(tls::ReaderOf(files_->key_pem).get(), nullptr, nullptr, nullptr));
    SSL_CTX_use_certificate(context_.get(), certificate.get());
    SSL_CTX_use_PrivateKey(context_.get(), key.get());
  }
  ssl_.reset(SSL_new(context_.get()));
  SSL_set_fd(ssl_.get(), socket_.descriptor());
  if (!IsAddress(place_.name)) SSL_set_tlsext_host_name(ssl_.get(), place_.name.c_str());
  ERR_clear_error();
  const int result = SSL_connect(ssl_.get());
  if (result != 1) return HandshakeFailed(result);
  return Good("tls", absl::StrCat(SSL_get_version(ssl_.get()), ", ", SSL_get_cipher_name(ssl_.get())));
}

bool Probe::HandshakeFailed(int result) {
  constexpr char kStep[] = "tls";
  const int kind = SSL_get_error(ssl_.get(), result);
  const unsigned long error = ERR_peek_error();
  if (const int alert = AlertIn(error); alert != 0) {
    if (alert == SSL_AD_NO_APPLICATION_PROTOCOL) {
      return Bad(kStep, kNoHttp2, "no_alpn", "who listens refuses HTTP/2 (ALPN h2)",
                 "this is no gRPC server");
    }
    if (alert == SSL_AD_PROTOCOL_VERSION) {
      return Bad(kStep, kNoTls, "tls_version", "no version of TLS in common",
                 "the broker needs TLS 1.2 or later");
    }
    return OwnCertificateRefused(alert);
  }
  if (kind == SSL_ERROR_WANT_READ || kind == SSL_ERROR_WANT_WRITE) {
    return Bad(kStep, kNoTls, "no_answer", "who listens does not answer to TLS in time",
               "this is perhaps no broker; else it is out of threads or stopped");
  }
  if (kind == SSL_ERROR_SSL && ERR_GET_REASON(error) != SSL_R_UNEXPECTED_EOF_WHILE_READING) {
    return Bad(kStep, kNoTls, "no_tls",
               absl::StrCat("who listens does not speak TLS: ", tls::LastOpensslError()),
               "check the port: this is another program's, or the broker's metrics");
  }
  return Bad(
      kStep, kNoTls, "closed", "who listens closes the connection before TLS begins",
      "this is perhaps no broker; a broker does so when it has as many connections as it may (see its log)");
}

bool Probe::CheckServer() {
  constexpr char kStep[] = "server certificate";
  const tls::X509Ptr certificate(SSL_get1_peer_certificate(ssl_.get()));
  const auto server = tls::Summarize(PemOf(certificate.get()));
  if (!server.ok()) {
    return Bad(kStep, kServerNotTrusted, "bad_certificate", std::string(server.status().message()),
               "issue another one");
  }
  if (!CheckServerDates(*server)) return false;
  if (files_.has_value()) {
    const int error = Verify(certificate.get(), SSL_get_peer_cert_chain(ssl_.get()),
                             files_->ca_certificate_pem, X509_PURPOSE_SSL_SERVER);
    if (error != X509_V_OK) {
      return Bad(
          kStep, kServerNotTrusted, "wrong_ca",
          absl::StrCat("the broker's certificate (\"", server->subject, "\", issued by \"", server->issuer,
                       "\") does not come from the CA in ca.pem: ", X509_verify_cert_error_string(error)),
          "copy the ca.pem that the broker's certificate was issued with, or check that this is your broker");
    }
  }
  const bool named = IsAddress(place_.name)
                         ? X509_check_ip_asc(certificate.get(), place_.name.c_str(), 0) == 1
                         : X509_check_host(certificate.get(), place_.name.c_str(), 0, 0, nullptr) == 1;
  if (!named) {
    return Bad(kStep, kServerNotTrusted, "name_mismatch",
               absl::StrCat("the broker's certificate is not for \"", place_.name, "\" but for ",
                            absl::StrJoin(server->alternative_names, ", ")),
               "dial one of these names, state one with --server-name, or issue a certificate for this one");
  }
  return Good(kStep,
              absl::StrCat("\"", server->subject, "\", serial ", server->serial, ", good until ",
                           Date(server->expire_time),
                           files_.has_value() ? "" : "; whether its CA is yours takes --certs to tell"));
}

bool Probe::CheckServerDates(const tls::CertificateSummary& server) {
  const absl::Time now = absl::Now();
  if (now >= server.expire_time) {
    return Bad("server certificate", kServerNotTrusted, "expired",
               absl::StrCat("the broker's certificate expired at ", Date(server.expire_time)),
               absl::StrCat("`pylabhub certs renew DIR --name server` at the broker (this host's clock says ",
                            Date(now), ")"));
  }
  if (now < server.not_before) {
    return Bad("server certificate", kServerNotTrusted, "not_yet_valid",
               absl::StrCat("the broker's certificate is not valid before ", Date(server.not_before)),
               absl::StrCat("set this host's clock (it says ", Date(now), "), or wait"));
  }
  return true;
}

bool Probe::SpeakHttp2() {
  constexpr char kStep[] = "http2";
  const unsigned char* protocol = nullptr;
  unsigned int size = 0;
  SSL_get0_alpn_selected(ssl_.get(), &protocol, &size);
  if (size == 0) {
    return Bad(kStep, kNoHttp2, "no_alpn", "TLS works, but no protocol was agreed on (ALPN)",
               "this is no gRPC server, or a proxy in between drops ALPN");
  }
  ERR_clear_error();
  SSL_write(ssl_.get(), kHttp2Hello.data(), static_cast<int>(kHttp2Hello.size()));
  // What the broker thinks of the client's certificate comes now: with TLS 1.3 the client's handshake is over before.
  std::array<unsigned char, kFrameHeaderBytes> header = {};
  const int result = SSL_read(ssl_.get(), header.data(), static_cast<int>(header.size()));
  if (result <= 0) return ReadFailed(result);
  if (header[kFrameTypeAt] != kSettingsFrame) {
    return Bad(kStep, kNoHttp2, "no_http2", "what answers does not speak HTTP/2", "this is no gRPC server");
  }
  return Good(kStep, "HTTP/2");
}

bool Probe::ReadFailed(int result) {
  const int kind = SSL_get_error(ssl_.get(), result);
  if (const int alert = AlertIn(ERR_peek_error()); alert != 0) return OwnCertificateRefused(alert);
  if (kind == SSL_ERROR_WANT_READ) {
    return Bad("http2", kNoHttp2, "no_answer", "TLS works, but nothing comes after it",
               "this is no gRPC server");
  }
  if (!files_.has_value()) return OwnCertificateRefused(SSL_AD_CERTIFICATE_REQUIRED);
  // A gRPC server closes without an alert; with one CA for both sides, as here, the client can find out by itself.
  const tls::X509Ptr own(SSL_get_certificate(ssl_.get()));
  X509_up_ref(own.get());
  if (Verify(own.get(), nullptr, files_->ca_certificate_pem, X509_PURPOSE_SSL_CLIENT) != X509_V_OK) {
    return OwnCertificateRefused(SSL_AD_UNKNOWN_CA);
  }
  return Bad("client certificate", kOwnCertificateBad, "closed",
             "the broker closes the connection after the handshake, without a word",
             "it does not trust the client's certificate, or is shutting down: see its log");
}

bool Probe::OwnCertificateRefused(int alert) {
  constexpr char kStep[] = "client certificate";
  if (!files_.has_value()) {
    return Bad(kStep, kOwnCertificateBad, "no_client_certificate",
               "the broker demands a client certificate, and none was shown",
               "say where one is: --certs DIR, with ca.pem, client.pem and client.key");
  }
  const std::string said = SSL_alert_desc_string_long(alert);
  switch (alert) {
    case SSL_AD_UNKNOWN_CA:
      return Bad(kStep, kOwnCertificateBad, "unknown_ca",
                 absl::StrCat("the broker does not know the CA of the client's certificate (", said, ")"),
                 "use a certificate that the broker's CA issued, or add its CA to the broker's ca.pem");
    case SSL_AD_CERTIFICATE_EXPIRED:
      return Bad(kStep, kOwnCertificateBad, "own_expired",
                 absl::StrCat("the broker says that the client's certificate has expired (", said, ")"),
                 "renew it, or set the broker's clock");
    case SSL_AD_CERTIFICATE_REVOKED:
      return Bad(kStep, kOwnCertificateBad, "revoked", "the client's certificate is revoked",
                 "get a new one");
    default:
      return Bad(kStep, kOwnCertificateBad, "own_refused",
                 absl::StrCat("the broker refuses the client's certificate: ", said),
                 "check its dates, that it is a client's, and the broker's log and clock");
  }
}

bool Probe::Call() {
  constexpr char kStep[] = "call";
  if (!files_.has_value()) return Good(kStep, "not tried without a client certificate");
  const std::string target = place_.host.empty() ? "unix:" + place_.path : place_.text();
  const auto connection = NewGrpcBrokerConnection(target, options_.server_name, *files_);
  const absl::Time start = absl::Now();
  const auto info = connection->GetBrokerInfo(options_.timeout);
  if (info.ok()) {
    return Good(
        kStep,
        absl::StrCat("broker ", info->version, " takes this client for ", info->caller_identity, " (",
                     absl::FormatDuration(absl::Trunc(absl::Now() - start, absl::Microseconds(100))), ")"));
  }
  const std::string message(info.status().message());
  const std::string reason(ReasonOf(info.status()));
  if (reason == kCertificateRevoked) {
    return Bad("client certificate", kOwnCertificateBad, "revoked", message,
               "get a certificate with a new serial number, or have the revocation taken back");
  }
  return Bad(kStep, kBrokerRefuses, reason.empty() ? "call_failed" : reason, message,
             reason.empty() ? "see the broker's log" : "the message says what the broker wants");
}

}  // namespace

std::vector<TlsFinding> ProbeTls(const TlsProbeOptions& options) {
  // Who closes while something is still to be said does not end the program.
  signal(SIGPIPE, SIG_IGN);
  return Probe(options).Run();
}

}  // namespace pylabhub::cli
