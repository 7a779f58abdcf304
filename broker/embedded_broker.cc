#include "broker/embedded_broker.h"

#include <arpa/inet.h>
#include <grpcpp/ext/proto_server_reflection_plugin.h>
#include <grpcpp/resource_quota.h>
#include <grpcpp/security/server_credentials.h>
#include <grpcpp/server.h>
#include <grpcpp/server_builder.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <mutex>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "broker/broker_info.h"
#include "broker/broker_service.h"
#include "broker/call_desk.h"
#include "broker/directory.h"
#include "broker/health_service.h"
#include "broker/metrics.h"
#include "broker/unimplemented_services.h"
#include "proto/tls/identity.h"
#include "proto/tls/issue.h"

namespace pylabhub::broker {
namespace {

constexpr int kMaxRequestBytes = 4 << 20;
constexpr int kMaxMetadataBytes = 16 << 10;
constexpr int kMaxStreamsPerConnection = 128;
constexpr size_t kMemoryQuotaBytes = size_t{256} << 20;
constexpr absl::Duration kHandshakeTimeout = absl::Seconds(5);
constexpr absl::Duration kKeepaliveTime = absl::Seconds(30);
constexpr absl::Duration kKeepaliveTimeout = absl::Seconds(10);
// What a client's own keepalive may not go below.
constexpr absl::Duration kMinClientPingInterval = absl::Seconds(5);

// For answers that are on their way when the last call has been served, and for clients to say goodbye.
constexpr absl::Duration kFlushTime = absl::Milliseconds(250);

int Millis(absl::Duration duration) { return static_cast<int>(absl::ToInt64Milliseconds(duration)); }

bool IsIpv6(const std::string& address) { return absl::StrContains(address, ':'); }

std::string HostPort(const std::string& address, int port) {
  return IsIpv6(address) ? absl::StrCat("[", address, "]:", port) : absl::StrCat(address, ":", port);
}

absl::Status Check(const BrokerOptions& options) {
  unsigned char bytes[sizeof(in6_addr)];
  const int family = IsIpv6(options.address) ? AF_INET6 : AF_INET;
  if (inet_pton(family, options.address.c_str(), bytes) != 1) {
    return absl::InvalidArgumentError(absl::StrCat(
        "address \"", options.address, "\" is no IP address; use for instance 127.0.0.1, 0.0.0.0 or ::"));
  }
  if (options.port < 0 || options.port > 65535) {
    return absl::InvalidArgumentError(absl::StrCat("port ", options.port, " is not 0 to 65535"));
  }
  if (options.registry.lease_ttl < absl::Milliseconds(100) || options.registry.lease_ttl > absl::Hours(24)) {
    return absl::InvalidArgumentError(absl::StrCat(
        "lease time ", absl::FormatDuration(options.registry.lease_ttl), " is not 100 ms to 24 h"));
  }
  if (options.max_threads < 2) return absl::InvalidArgumentError("max_threads is less than 2");
  if (options.tls.ca_certificate_pem.empty() || options.tls.certificate_pem.empty() ||
      options.tls.key_pem.empty()) {
    return absl::InvalidArgumentError("a broker needs a server certificate, its key, and a CA certificate");
  }
  // gRPC would start with a key that does not belong, and then refuse every client without saying why.
  const absl::Status key = tls::CheckKeyBelongs(options.tls.certificate_pem, options.tls.key_pem);
  if (!key.ok())
    return absl::FailedPreconditionError(absl::StrCat("the server's certificate: ", key.message()));
  const auto authority = tls::Summarize(options.tls.ca_certificate_pem);
  if (!authority.ok()) {
    return absl::FailedPreconditionError(absl::StrCat("the CA certificate: ", authority.status().message()));
  }
  return absl::OkStatus();
}

// Asks the kernel why `address` cannot be bound, since gRPC does not tell. The code of errors is that of
// StartBroker.
absl::Status WhyNotBound(const std::string& address, int port) {
  sockaddr_storage storage = {};
  socklen_t length = 0;
  if (IsIpv6(address)) {
    auto& in6 = reinterpret_cast<sockaddr_in6&>(storage);
    in6.sin6_family = AF_INET6;
    in6.sin6_port = htons(static_cast<uint16_t>(port));
    inet_pton(AF_INET6, address.c_str(), &in6.sin6_addr);
    length = sizeof(in6);
  } else {
    auto& in4 = reinterpret_cast<sockaddr_in&>(storage);
    in4.sin_family = AF_INET;
    in4.sin_port = htons(static_cast<uint16_t>(port));
    inet_pton(AF_INET, address.c_str(), &in4.sin_addr);
    length = sizeof(in4);
  }
  const int probe = socket(storage.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const int on = 1;
  setsockopt(probe, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
  int error = bind(probe, reinterpret_cast<const sockaddr*>(&storage), length) == 0 ? 0 : errno;
  if (error == 0 && listen(probe, 1) != 0) error = errno;
  close(probe);
  const std::string where = HostPort(address, port);
  if (error == EADDRINUSE) {
    return absl::AlreadyExistsError(
        absl::StrCat("cannot listen on ", where,
                     ": the port is taken, perhaps by another broker; stop it, or choose "
                     "another port (0 takes any that is free)"));
  }
  if (error == EACCES) {
    return absl::PermissionDeniedError(absl::StrCat(
        "cannot listen on ", where, ": this user may not bind the port; choose one from 1024 up"));
  }
  return absl::UnavailableError(
      absl::StrCat("cannot listen on ", where, ": ",
                   error == 0 ? "gRPC refused, its log says why" : std::strerror(error)));
}

std::shared_ptr<grpc::ServerCredentials> CredentialsOf(const tls::TlsFiles& tls) {
  // TLS 1.2 is gRPC's minimum.
  grpc::SslServerCredentialsOptions options(GRPC_SSL_REQUEST_AND_REQUIRE_CLIENT_CERTIFICATE_AND_VERIFY);
  options.pem_root_certs = tls.ca_certificate_pem;
  options.pem_key_cert_pairs.push_back({tls.key_pem, tls.certificate_pem});
  return grpc::SslServerCredentials(options);
}

void SetLimits(const BrokerOptions& options, grpc::ServerBuilder& builder) {
  // On by default: two brokers on one port would both start, and share the clients between them.
  builder.AddChannelArgument(GRPC_ARG_ALLOW_REUSEPORT, 0);
  builder.AddChannelArgument(GRPC_ARG_SERVER_HANDSHAKE_TIMEOUT_MS, Millis(kHandshakeTimeout));
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIME_MS, Millis(kKeepaliveTime));
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, Millis(kKeepaliveTimeout));
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 1);
  builder.AddChannelArgument(GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS,
                             Millis(kMinClientPingInterval));
  builder.AddChannelArgument(GRPC_ARG_MAX_CONCURRENT_STREAMS, kMaxStreamsPerConnection);
  builder.AddChannelArgument(GRPC_ARG_MAX_METADATA_SIZE, kMaxMetadataBytes);
  builder.SetMaxReceiveMessageSize(kMaxRequestBytes);
  grpc::ResourceQuota quota("pylabhub-broker");
  quota.Resize(kMemoryQuotaBytes);
  quota.SetMaxThreads(options.max_threads);
  builder.SetResourceQuota(quota);
}

// Above every epoch of a broker that ran here before, as long as none grants a million channels a second.
uint64_t FirstEpoch() { return static_cast<uint64_t>(absl::ToUnixMicros(absl::Now())); }

class GrpcBroker final : public EmbeddedBroker {
 public:
  explicit GrpcBroker(BrokerOptions options)
      : options_(std::move(options)),
        directory_(options_.registry, options_.log),
        desk_(metrics_, options_.registry.limits, options_.log),
        service_(directory_, desk_, DescribeThisBroker()),
        health_({v1::Broker::service_full_name(), v1::SchemaRegistry::service_full_name(),
                 v1::Admin::service_full_name()}) {}

  ~GrpcBroker() override { Stop(); }

  absl::Status Start() {
    // The library does this itself when it is loaded; naming it here makes sure that it is.
    grpc::reflection::InitProtoReflectionServerBuilderPlugin();
    grpc::ServerBuilder builder;
    SetLimits(options_, builder);
    builder.AddListeningPort(HostPort(options_.address, options_.port), CredentialsOf(options_.tls), &port_);
    builder.RegisterService(&service_);
    builder.RegisterService(&schema_registry_);
    builder.RegisterService(&admin_);
    builder.RegisterService(&health_);
    server_ = builder.BuildAndStart();
    return server_ != nullptr && port_ != 0 ? absl::OkStatus() : WhyNotBound(options_.address, options_.port);
  }

  int port() const override { return port_; }

  std::string target() const override {
    if (options_.address == "0.0.0.0") return HostPort("127.0.0.1", port_);
    return HostPort(options_.address == "::" ? "::1" : options_.address, port_);
  }

  void Stop() override {
    std::call_once(stopped_, [this] {
      health_.Shutdown();
      if (server_ == nullptr) return;
      desk_.Close(options_.shutdown_grace);
      server_->Shutdown(absl::ToChronoTime(absl::Now() + kFlushTime));
      server_->Wait();
    });
  }

 private:
  const BrokerOptions options_;
  Metrics metrics_;
  Directory directory_;
  CallDesk desk_;
  BrokerService service_;
  UnimplementedSchemaRegistry schema_registry_;
  UnimplementedAdmin admin_;
  HealthService health_;
  int port_ = 0;
  std::once_flag stopped_;
  std::unique_ptr<grpc::Server> server_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<EmbeddedBroker>> StartBroker(BrokerOptions options) {
  if (absl::Status status = Check(options); !status.ok()) return status;
  options.registry.first_epoch = FirstEpoch();
  auto broker = std::make_unique<GrpcBroker>(std::move(options));
  if (absl::Status status = broker->Start(); !status.ok()) return status;
  return broker;
}

}  // namespace pylabhub::broker
