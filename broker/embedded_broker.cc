#include "broker/embedded_broker.h"

#include <grpcpp/ext/channelz_service_plugin.h>
#include <grpcpp/ext/proto_server_reflection_plugin.h>
#include <grpcpp/resource_quota.h>
#include <grpcpp/server.h>
#include <grpcpp/server_builder.h>
#include <sys/resource.h>

#include <algorithm>
#include <map>
#include <mutex>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "broker/access/access_control.h"
#include "broker/access/certificate_keeper.h"
#include "broker/access/certificate_standing.h"
#include "broker/access/policy_keeper.h"
#include "broker/access/published_tls.h"
#include "broker/access/server_credentials.h"
#include "broker/access/tls_material.h"
#include "broker/admin_service.h"
#include "broker/broker_info.h"
#include "broker/broker_service.h"
#include "broker/call_desk.h"
#include "broker/directory.h"
#include "broker/directory_metrics.h"
#include "broker/handover/hand_over_desk.h"
#include "broker/handover/hand_over_server.h"
#include "broker/health_service.h"
#include "broker/listener.h"
#include "broker/metrics.h"
#include "broker/metrics_server.h"
#include "broker/open_keep.h"
#include "broker/schema_directory.h"
#include "broker/schema_registry_service.h"
#include "broker/watch_feed.h"
#include "broker/watch_server.h"
#include "proto/tls/identity.h"

namespace pylabhub::broker {
namespace {

constexpr char kChannelz[] = "/grpc.channelz.";
constexpr int kMaxRequestBytes = 4 << 20;
constexpr int kMaxMetadataBytes = 16 << 10;
// Threads that wait for calls instead of ending: while a commit is under way a new one would be made for each call that
// comes, and ended after it.
constexpr int kIdleThreads = 16;
constexpr int kMaxStreamsPerConnection = 128;
constexpr size_t kMemoryQuotaBytes = size_t{256} << 20;
constexpr absl::Duration kHandshakeTimeout = absl::Seconds(5);
constexpr absl::Duration kKeepaliveTime = absl::Seconds(30);
constexpr absl::Duration kKeepaliveTimeout = absl::Seconds(10);
// What a client's own keepalive may not go below.
constexpr absl::Duration kMinClientPingInterval = absl::Seconds(5);

// For answers that are on their way when the last call has been served, and for clients to say goodbye.
constexpr absl::Duration kFlushTime = absl::Milliseconds(250);

// For watchers to take what is waiting for them.
constexpr absl::Duration kWatchFlushTime = absl::Seconds(1);

int Millis(absl::Duration duration) { return static_cast<int>(absl::ToInt64Milliseconds(duration)); }

absl::Status Check(const BrokerOptions& options) {
  if (options.registry.lease_ttl < absl::Milliseconds(100) || options.registry.lease_ttl > absl::Hours(24)) {
    return absl::InvalidArgumentError(absl::StrCat(
        "lease time ", absl::FormatDuration(options.registry.lease_ttl), " is not 100 ms to 24 h"));
  }
  if (!options.policy_file.empty() && !options.admins.empty()) {
    return absl::InvalidArgumentError(
        "administrators are named in the policy, by rules with the action ADMIN, once there is one; name "
        "them there, and leave "
        "--admin out");
  }
  if (options.max_threads < 2) return absl::InvalidArgumentError("max_threads is less than 2");
  return absl::OkStatus();
}

// What the broker starts with, also if a date is past or to come: clients say so, and a clock may be set right.
struct FirstTls {
  TlsTexts texts;
  TlsMaterial material;
};

absl::StatusOr<FirstTls> ReadTls(const BrokerOptions& options) {
  CertificateFiles files = options.certificate_files;
  FirstTls first = {.texts = {.files = options.tls}, .material = {}};
  if (!files.paths.certificate.empty()) {
    auto texts = ReadTlsTexts(files);
    if (!texts.ok()) return texts.status();
    first.texts = *std::move(texts);
  } else {
    files.paths = {"the CA certificate", "the server's certificate", "the server's certificate and key"};
  }
  const tls::TlsFiles& tls = first.texts.files;
  if (tls.ca_certificate_pem.empty() || tls.certificate_pem.empty() || tls.key_pem.empty()) {
    return absl::InvalidArgumentError("a broker needs a server certificate, its key, and a CA certificate");
  }
  auto material = ReadTlsMaterial(first.texts, files);
  if (!material.ok()) return absl::FailedPreconditionError(material.status().message());
  first.material = *std::move(material);
  return first;
}

void SetLimits(const BrokerOptions& options, grpc::ServerBuilder& builder) {
  builder.AddChannelArgument(GRPC_ARG_SERVER_HANDSHAKE_TIMEOUT_MS, Millis(kHandshakeTimeout));
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIME_MS, Millis(kKeepaliveTime));
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, Millis(kKeepaliveTimeout));
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 1);
  builder.AddChannelArgument(GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS,
                             Millis(kMinClientPingInterval));
  builder.AddChannelArgument(GRPC_ARG_MAX_CONCURRENT_STREAMS, kMaxStreamsPerConnection);
  builder.AddChannelArgument(GRPC_ARG_MAX_METADATA_SIZE, kMaxMetadataBytes);
  builder.SetMaxReceiveMessageSize(kMaxRequestBytes);
  builder.SetSyncServerOption(grpc::ServerBuilder::MAX_POLLERS, kIdleThreads);
  grpc::ResourceQuota quota("pylabhub-broker");
  quota.Resize(kMemoryQuotaBytes);
  quota.SetMaxThreads(options.max_threads);
  builder.SetResourceQuota(quota);
}

BrokerInfo InfoWith(const std::string& history_id) {
  BrokerInfo info = DescribeThisBroker();
  info.history_id = history_id;
  return info;
}

DirectoryKeep WithTimedStore(DirectoryKeep keep, Metrics& metrics) {
  keep.store = TimeCommits(std::move(keep.store), metrics);
  return keep;
}

// Leaves descriptors for connections and files.
DepositBudget WithinDescriptorLimit(DepositBudget budget) {
  rlimit limit = {};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY) return budget;
  budget.max_descriptors = std::min<size_t>(budget.max_descriptors, limit.rlim_cur / 2);
  return budget;
}

// Ends whatever is held and not allowed.
Revoked RevokeWhatIsDenied(const policy::Policy& policy, ChannelRegistry& registry, absl::Time now) {
  const auto denies = [&policy](policy::Action action) {
    return [&policy, action](absl::string_view identity, absl::string_view channel) {
      return !policy.Decide(identity, action, channel).allowed;
    };
  };
  Revoked revoked = registry.RevokeChannels(denies(policy::Action::kRegister), now);
  revoked.consumers = registry.RevokeConsumers(denies(policy::Action::kConsume), now).consumers;
  return revoked;
}

class GrpcBroker final : public EmbeddedBroker {
 public:
  GrpcBroker(BrokerOptions options, FirstTls tls, DirectoryKeep keep,
             const std::map<std::string, std::string>& opaque_records)
      : options_(std::move(options)),
        standing_(metrics_),
        info_(InfoWith(keep.history.history_id)),
        hand_over_desk_(options_.hand_over.socket.empty() ? nullptr : MakeHandOverDesk()),
        feed_({.revision = options_.registry.first_revision - 1, .history_id = info_.history_id},
              options_.registry.limits),
        directory_(
            options_.registry, options_.log,
            [this](std::vector<Event> events) {
              if (hand_over_desk_ != nullptr) hand_over_desk_->OnEvents(events);
              feed_.Publish(std::move(events));
            },
            WithTimedStore(std::move(keep), metrics_)),
        access_(options_.admins, metrics_),
        desk_(metrics_, options_.registry.limits, standing_, options_.log),
        schemas_(options_.registry.limits, directory_.commit(), opaque_records, options_.log),
        service_(directory_, schemas_, desk_, access_, info_, hand_over_desk_.get()),
        schema_registry_(schemas_, desk_, access_),
        watch_server_(service_, directory_, desk_, access_, feed_, options_.log),
        admin_(directory_, desk_, access_, [this](absl::Duration grace) { Drain(grace); }),
        health_({v1::Broker::service_full_name(), v1::SchemaRegistry::service_full_name(),
                 v1::Admin::service_full_name()}),
        policy_keeper_({.file = options_.policy_file,
                        .look_interval = options_.policy_look_interval,
                        .log = options_.log,
                        .publish = [this](const PolicyKeeper::PolicyPtr& policy) { Enforce(policy); }},
                       metrics_),
        keeper_({.files = options_.certificate_files,
                 .look_interval = options_.certificate_look_interval,
                 .log = options_.log,
                 .on_revoked = [this](const tls::RevocationList& list) { EndRevoked(list); },
                 .clients = [this] { return CertificatesOfClients(); }},
                tls.texts, std::move(tls.material), published_tls_, standing_, metrics_),
        credentials_(MakeServerCredentials(
            published_tls_,
            [this](absl::string_view pem, absl::string_view path) { return CheckForeignCall(pem, path); })) {
    ReadDirectory(directory_, metrics_);
    ReadFeed(feed_, metrics_);
  }

  ~GrpcBroker() override { Stop(); }

  absl::Status Start() {
    // First, so that nobody is served by none; and what was kept may be allowed no more.
    if (absl::Status status = ReloadPolicy(); !status.ok()) return status;
    auto listener = Listener::Bind({.address = options_.address,
                                    .port = options_.port,
                                    .unix_socket = options_.unix_socket,
                                    .unix_socket_mode = options_.unix_socket_mode,
                                    .caps = options_.connection_caps,
                                    .log = options_.log},
                                   metrics_);
    if (!listener.ok()) return listener.status();
    listener_ = *std::move(listener);
    // The library does this itself when it is loaded; naming it here makes sure that it is.
    grpc::reflection::InitProtoReflectionServerBuilderPlugin();
    if (options_.channelz) grpc::channelz::experimental::InitChannelzService();
    grpc::ServerBuilder builder;
    SetLimits(options_, builder);
    acceptor_ = builder.experimental().AddExternalConnectionAcceptor(
        grpc::ServerBuilder::experimental_type::ExternalConnectionType::FROM_FD, credentials_);
    builder.RegisterService(&service_);
    builder.RegisterService(&schema_registry_);
    builder.RegisterService(&admin_);
    builder.RegisterService(&health_);
    watch_server_.AddQueues(builder);
    server_ = builder.BuildAndStart();
    if (server_ == nullptr) return absl::InternalError("gRPC did not start; its log says why");
    watch_server_.Start();
    keeper_.Start();
    if (!options_.policy_file.empty()) policy_keeper_.Start();
    if (hand_over_desk_ != nullptr) {
      auto hand_over_server = HandOverServer::Start({.path = options_.hand_over.socket,
                                                     .mode = options_.hand_over.mode,
                                                     .allowed_uids = options_.hand_over.allowed_uids},
                                                    *hand_over_desk_, metrics_);
      if (!hand_over_server.ok()) return hand_over_server.status();
      hand_over_server_ = *std::move(hand_over_server);
    }
    if (!options_.metrics_address.empty()) {
      auto metrics_server =
          MetricsServer::Start(options_.metrics_address, options_.metrics_allow_remote, metrics_);
      if (!metrics_server.ok()) return metrics_server.status();
      metrics_server_ = *std::move(metrics_server);
    }
    listener_->Start([this](int listener_descriptor, int descriptor) {
      grpc::experimental::ExternalConnectionAcceptor::NewConnectionParameters connection;
      connection.listener_fd = listener_descriptor;
      connection.fd = descriptor;
      acceptor_->HandleNewConnection(&connection);
    });
    return absl::OkStatus();
  }

  int port() const override { return listener_->port(); }

  std::string target() const override {
    if (options_.address == "0.0.0.0") return HostPort("127.0.0.1", port());
    return HostPort(options_.address == "::" ? "::1" : options_.address, port());
  }

  std::string unix_target() const override {
    return options_.unix_socket.empty() ? "" : absl::StrCat("unix:", options_.unix_socket);
  }

  std::string metrics_address() const override {
    return metrics_server_ == nullptr ? "" : metrics_server_->address();
  }

  absl::Status Reload() override {
    absl::Status certificates = keeper_.Reload();
    absl::Status policy = ReloadPolicy();
    return certificates.ok() ? policy : certificates;
  }

  absl::Status ReloadPolicy() override {
    return options_.policy_file.empty() ? absl::OkStatus() : policy_keeper_.Reload();
  }

  void AskDirectory() override {
    directory_.Run([](const ChannelRegistry&, absl::Time) { return 0; });
  }

  void Stop() override {
    std::call_once(stopped_, [this] {
      // First: gRPC would lose a connection that is handed over while it shuts down.
      if (listener_ != nullptr) listener_->Stop();
      health_.Shutdown();
      policy_keeper_.Stop();
      if (server_ == nullptr) return;
      // First the calls, so that watchers hear what they changed.
      desk_.Close(options_.shutdown_grace);
      keeper_.Stop();
      hand_over_server_.reset();
      watch_server_.Drain(SteadyNow());
      watch_server_.AwaitNoStreams(kWatchFlushTime);
      server_->Shutdown(absl::ToChronoTime(absl::Now() + kFlushTime));
      server_->Wait();
      watch_server_.Stop();
    });
  }

 private:
  std::unique_ptr<HandOverDesk> MakeHandOverDesk() {
    const HandOverOptions& options = options_.hand_over;
    return std::make_unique<HandOverDesk>(
        HandOverDesk::Options{.socket_path = options.socket,
                              .ticket_ttl = options.ticket_ttl,
                              .budget = WithinDescriptorLimit(
                                  {.max_descriptors = options.max_descriptors,
                                   .max_descriptors_per_identity = options.max_descriptors_per_identity}),
                              .heartbeat_interval = options_.registry.heartbeat_interval(),
                              .log = options_.log,
                              .find = [this](const TicketScope& scope) { return FindHolding(scope); },
                              .now = SteadyNow},
        metrics_);
  }

  absl::StatusOr<Holding> FindHolding(const TicketScope& scope) {
    return directory_.Run([&](ChannelRegistry& registry, absl::Time now) -> absl::StatusOr<Holding> {
      if (scope.purpose == TicketPurpose::kDeposit) {
        auto channel = registry.FindProduced(scope.session_id, scope.channel, scope.epoch, now);
        if (!channel.ok()) return channel.status();
        const std::string identity = channel->producer_identity;
        return Holding{.channel = *std::move(channel), .identity = identity};
      }
      auto consumed = registry.FindConsumed(scope.session_id, scope.channel, scope.consumer_id, now);
      if (!consumed.ok()) return consumed.status();
      return Holding{.channel = consumed->first,
                     .identity = consumed->second.identity,
                     .group = consumed->second.spec.group};
    });
  }

  // What goes on are reads, heartbeats and what gives up, until somebody calls Stop.
  void Drain(absl::Duration grace) {
    health_.Shutdown();
    desk_.StopRegistrations();
    watch_server_.Drain(SteadyNow() + grace);
  }

  void EndRevoked(const tls::RevocationList& list) {
    watch_server_.CheckPeers();
    const Revoked revoked = directory_.Run([&](ChannelRegistry& registry, absl::Time now) {
      return registry.RevokeSessions(
          [&](const SessionHolder& holder) {
            return list.Find(holder.certificate_serial, holder.identity) != nullptr;
          },
          now);
    });
    if (revoked.sessions == 0 || !options_.log) return;
    options_.log({LogLevel::kWarning,
                  "sessions_revoked",
                  {{"sessions", absl::StrCat(revoked.sessions)},
                   {"channels", absl::StrCat(revoked.channels)},
                   {"consumers", absl::StrCat(revoked.consumers)}}});
  }

  std::vector<CertificateInUse> CertificatesOfClients() {
    std::vector<CertificateInUse> certificates;
    for (const auto& peer : desk_.SeenPeers()) {
      certificates.push_back({.role = "client",
                              .identity = peer->name,
                              .serial = peer->certificate_serial,
                              .not_before = peer->certificate_not_before,
                              .expire_time = peer->certificate_expire_time});
    }
    return certificates;
  }

  // Of a service that is not pylabhub's own: health and reflection are everybody's who has a certificate. Channelz shows every
  // client's address: with a policy, to administrators alone.
  absl::Status CheckForeignCall(absl::string_view certificate_pem, absl::string_view path) {
    if (absl::Status status = desk_.CheckStanding(certificate_pem); !status.ok()) return status;
    if (access_.policy() == nullptr || !absl::StartsWith(path, kChannelz)) return absl::OkStatus();
    const absl::StatusOr<std::string> identity = tls::IdentityOf(certificate_pem);
    return identity.ok() ? access_.RightsOf(*identity).Check(policy::Action::kAdmin, "") : identity.status();
  }

  // From now on `policy` stands, also for what is held and watched.
  void Enforce(const PolicyKeeper::PolicyPtr& policy) {
    access_.Publish(policy);
    const Revoked revoked = directory_.Run([&](ChannelRegistry& registry, absl::Time now) {
      return RevokeWhatIsDenied(*policy, registry, now);
    });
    watch_server_.NoticeRights();
    if (options_.log && revoked.channels + revoked.consumers > 0) {
      options_.log(
          {LogLevel::kWarning,
           "rights_revoked",
           {{"channels", absl::StrCat(revoked.channels)}, {"consumers", absl::StrCat(revoked.consumers)}}});
    }
  }

  const BrokerOptions options_;
  Metrics metrics_;
  CertificateStanding standing_;
  PublishedTls published_tls_;
  const BrokerInfo info_;
  // Before the directory, whose events it gets.
  std::unique_ptr<HandOverDesk> hand_over_desk_;
  WatchFeed feed_;
  Directory directory_;
  AccessControl access_;
  CallDesk desk_;
  SchemaDirectory schemas_;
  BrokerService service_;
  SchemaRegistryService schema_registry_;
  WatchServer watch_server_;
  AdminService admin_;
  HealthService health_;
  // After whom it tells, so that it ends before they do.
  PolicyKeeper policy_keeper_;
  CertificateKeeper keeper_;
  // gRPC calls it for as long as there is a server.
  const std::shared_ptr<grpc::ServerCredentials> credentials_;
  std::unique_ptr<HandOverServer> hand_over_server_;
  std::unique_ptr<Listener> listener_;
  std::unique_ptr<grpc::experimental::ExternalConnectionAcceptor> acceptor_;
  // Before what it reads ends.
  std::unique_ptr<MetricsServer> metrics_server_;
  std::once_flag stopped_;
  std::unique_ptr<grpc::Server> server_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<EmbeddedBroker>> StartBroker(BrokerOptions options) {
  if (absl::Status status = Check(options); !status.ok()) return status;
  absl::StatusOr<FirstTls> tls = ReadTls(options);
  if (!tls.ok()) return tls.status();
  absl::StatusOr<DirectoryKeep> keep = OpenKeep(options.store_folder, options.log, options.registry);
  if (!keep.ok()) return keep.status();
  const std::map<std::string, std::string> opaque_records = std::move(keep->opaque);
  auto broker =
      std::make_unique<GrpcBroker>(std::move(options), *std::move(tls), *std::move(keep), opaque_records);
  if (absl::Status status = broker->Start(); !status.ok()) return status;
  return broker;
}

}  // namespace pylabhub::broker
