#include "client/grpc_broker_connection.h"

#include <grpcpp/create_channel.h>
#include <grpcpp/security/credentials.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <mutex>
#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "client/backoff.h"
#include "client/error_reason.h"
#include "client/hand_over_exchange.h"
#include "client/reconnector.h"
#include "client/session_id.h"
#include "client/wire.h"
#include "proto/schema/from_text.h"

namespace pylabhub {
namespace {

constexpr char kRequestIdKey[] = "pylabhub-request-id";
constexpr uint32_t kProtocolVersion = 1;
constexpr int kPageSize = 1000;
constexpr int kReconnectFirstMs = 100;
constexpr int kReconnectLimitMs = 2'000;
// For one attempt, TCP and TLS. When a broker comes back to a thousand clients, the last handshakes wait for the others': whoever
// gives up in between has cost the broker as much, and comes again, so that in the end nobody gets through. gRPC calls it the
// least backoff.
constexpr int kConnectTimeoutMs = 10'000;
// Found by a ping when nothing else was heard for so long: a peer that went away without a word.
constexpr int kKeepaliveMs = 20'000;
constexpr int kKeepaliveTimeoutMs = 5'000;
constexpr absl::Duration kFirstRetry = absl::Milliseconds(20);
constexpr absl::Duration kRetryLimit = absl::Seconds(1);
constexpr absl::Duration kLongestTimeout = absl::Hours(24);

std::shared_ptr<grpc::Channel> MakeChannel(const std::string& target, const std::string& server_name,
                                           const tls::TlsFiles& files) {
  grpc::SslCredentialsOptions credentials;
  credentials.pem_root_certs = files.ca_certificate_pem;
  credentials.pem_cert_chain = files.certificate_pem;
  credentials.pem_private_key = files.key_pem;
  grpc::ChannelArguments arguments;
  arguments.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, kReconnectFirstMs);
  arguments.SetInt(GRPC_ARG_MIN_RECONNECT_BACKOFF_MS, kConnectTimeoutMs);
  arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, kReconnectLimitMs);
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIME_MS, kKeepaliveMs);
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, kKeepaliveTimeoutMs);
  // Two Messengers share no connection, and so no trouble.
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  // Retries are ours: gRPC's own would hide them from the deadline arithmetic.
  arguments.SetInt(GRPC_ARG_ENABLE_RETRIES, 0);
  // A proxy from the environment has no business between a lab's hosts.
  arguments.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
  if (!server_name.empty()) arguments.SetSslTargetNameOverride(server_name);
  return grpc::CreateCustomChannel(target, grpc::SslCredentials(credentials), arguments);
}

bool IsWorthRetrying(const absl::Status& status) {
  return status.code() == absl::StatusCode::kUnavailable && ReasonOf(status).empty();
}

// The calls that are being made, so that they can be cancelled.
class CallsInFlight {
 public:
  class Entry {
   public:
    Entry(CallsInFlight& calls, grpc::ClientContext& context) : calls_(calls), context_(context) {
      const std::lock_guard lock(calls_.mutex_);
      calls_.contexts_.insert(&context_);
    }
    ~Entry() {
      const std::lock_guard lock(calls_.mutex_);
      calls_.contexts_.erase(&context_);
    }

   private:
    CallsInFlight& calls_;
    grpc::ClientContext& context_;
  };

  void Cancel() {
    const std::lock_guard lock(mutex_);
    ++cancel_count_;
    for (grpc::ClientContext* context : contexts_) context->TryCancel();
    cancelled_.notify_all();
  }

  // Changes with every Cancel.
  uint64_t cancel_count() const {
    const std::lock_guard lock(mutex_);
    return cancel_count_;
  }

  // Waits for `duration`. False, at once, if Cancel was called since cancel_count() was `count`.
  bool Wait(absl::Duration duration, uint64_t count) {
    std::unique_lock lock(mutex_);
    return !cancelled_.wait_for(lock, absl::ToChronoNanoseconds(duration),
                                [&] { return cancel_count_ != count; });
  }

 private:
  mutable std::mutex mutex_;
  std::condition_variable cancelled_;
  // Both are guarded by mutex_.
  std::set<grpc::ClientContext*> contexts_;
  uint64_t cancel_count_ = 0;
};

// So that a failure can be looked up in the broker's log. The connection's own failures never got there.
absl::Status WithRequestId(const absl::Status& status, const std::string& request_id) {
  if (status.ok() || IsWorthRetrying(status)) return status;
  return WithMessage(status, absl::StrCat(status.message(), " [request ", request_id, "]"));
}

class GrpcWatchStream final : public WatchStream {
 public:
  GrpcWatchStream(v1::Broker::Stub& stub, Reconnector& reconnector, v1::WatchRequest request,
                  std::string request_id)
      : stub_(stub),
        reconnector_(reconnector),
        request_(std::move(request)),
        request_id_(std::move(request_id)) {
    context_.AddMetadata(kRequestIdKey, request_id_);
  }

  ~GrpcWatchStream() override {
    context_.TryCancel();
    while (GrpcWatchStream::Next().ok()) {
    }
  }

  absl::StatusOr<WatchBatch> Next() override {
    if (!end_.ok()) return end_;
    // Here and not in the constructor: it waits until there is a connection.
    if (reader_ == nullptr) reader_ = stub_.Watch(&context_, request_);
    v1::WatchResponse response;
    if (reader_->Read(&response)) return FromWire(response);
    end_ = WithRequestId(FromWire(reader_->Finish()), request_id_);
    reconnector_.Look();
    if (end_.ok()) end_ = absl::UnavailableError("the broker ended the stream without a reason");
    return end_;
  }

  void Cancel() override { context_.TryCancel(); }

 private:
  v1::Broker::Stub& stub_;
  Reconnector& reconnector_;
  const v1::WatchRequest request_;
  const std::string request_id_;
  grpc::ClientContext context_;
  std::unique_ptr<grpc::ClientReader<v1::WatchResponse>> reader_;
  absl::Status end_;
};

class GrpcBrokerConnection : public BrokerConnection {
 public:
  GrpcBrokerConnection(const std::string& target, const std::string& server_name, const tls::TlsFiles& files)
      : GrpcBrokerConnection(MakeChannel(target, server_name, files)) {}

  absl::StatusOr<BrokerInfo> GetBrokerInfo(absl::Duration timeout) override {
    v1::GetBrokerInfoRequest request;
    request.set_min_protocol_version(kProtocolVersion);
    request.set_max_protocol_version(kProtocolVersion);
    v1::GetBrokerInfoResponse response;
    const absl::Status status = CallOnce(&v1::Broker::Stub::GetBrokerInfo, request, timeout, response);
    if (!status.ok()) return status;
    return FromWire(response);
  }

  absl::StatusOr<Grant> Register(const std::string& session_id, const ChannelSpec& channel, bool force,
                                 absl::Duration timeout) override {
    v1::RegisterResponse response;
    const absl::Status status =
        Call(&v1::Broker::Stub::Register, ToWire(session_id, channel, force), timeout, response);
    if (!status.ok()) return status;
    return FromWire(response);
  }

  absl::StatusOr<uint64_t> Deregister(const std::string& session_id, const std::string& channel,
                                      uint64_t epoch, absl::Duration timeout) override {
    v1::DeregisterRequest request;
    request.set_session_id(session_id);
    request.set_name(channel);
    request.set_epoch(epoch);
    v1::DeregisterResponse response;
    const absl::Status status = Call(&v1::Broker::Stub::Deregister, request, timeout, response);
    if (!status.ok()) return status;
    return response.revision();
  }

  absl::StatusOr<Grant> ConsumerRegister(const std::string& session_id, const ConsumerSpec& consumer,
                                         absl::Duration timeout) override {
    v1::ConsumerRegisterResponse response;
    const absl::Status status =
        Call(&v1::Broker::Stub::ConsumerRegister, ToWire(session_id, consumer), timeout, response);
    if (!status.ok()) return status;
    return FromWire(response);
  }

  absl::StatusOr<uint64_t> ConsumerDeregister(const std::string& session_id, const ConsumerClaim& consumer,
                                              absl::Duration timeout) override {
    v1::ConsumerDeregisterRequest request;
    request.set_session_id(session_id);
    request.set_channel_name(consumer.channel);
    request.set_consumer_id(consumer.consumer_id);
    v1::ConsumerDeregisterResponse response;
    const absl::Status status = Call(&v1::Broker::Stub::ConsumerDeregister, request, timeout, response);
    if (!status.ok()) return status;
    return response.revision();
  }

  absl::StatusOr<HeartbeatReport> Heartbeat(const std::string& session_id, const Claims& claims,
                                            absl::Duration timeout) override {
    v1::HeartbeatResponse response;
    const absl::Status status =
        CallOnce(&v1::Broker::Stub::Heartbeat, ToWire(session_id, claims), timeout, response);
    if (!status.ok()) return status;
    return FromWire(response);
  }

  absl::StatusOr<Channel> Discover(const std::string& channel, absl::Duration timeout) override {
    v1::DiscoverRequest request;
    request.set_name(channel);
    v1::DiscoverResponse response;
    const absl::Status status = Call(&v1::Broker::Stub::Discover, request, timeout, response);
    if (!status.ok()) return status;
    return FromWire(response.channel());
  }

  absl::StatusOr<ChannelPage> ListChannels(const std::string& name_prefix, const std::string& page_token,
                                           absl::Duration timeout) override {
    v1::ListChannelsRequest request;
    request.set_page_size(kPageSize);
    request.set_page_token(page_token);
    request.set_name_prefix(name_prefix);
    v1::ListChannelsResponse response;
    const absl::Status status = Call(&v1::Broker::Stub::ListChannels, request, timeout, response);
    if (!status.ok()) return status;
    return FromWire(response);
  }

  absl::StatusOr<SchemaVersion> GetSchema(const std::string& name, uint32_t version,
                                          absl::Duration timeout) override {
    v1::GetSchemaRequest request;
    request.set_name(name);
    request.set_version(version);
    v1::GetSchemaResponse response;
    const absl::Status status = Call(&v1::SchemaRegistry::Stub::GetSchema, request, timeout, response);
    if (!status.ok()) return status;
    return FromWire(response.schema_version());
  }

  absl::StatusOr<SchemaPage> ListSchemas(const std::string& name, const std::string& page_token,
                                         absl::Duration timeout) override {
    v1::ListSchemasRequest request;
    request.set_page_size(kPageSize);
    request.set_page_token(page_token);
    request.set_name(name);
    v1::ListSchemasResponse response;
    const absl::Status status = Call(&v1::SchemaRegistry::Stub::ListSchemas, request, timeout, response);
    if (!status.ok()) return status;
    return FromWire(response);
  }

  absl::StatusOr<SchemaVersion> RegisterSchema(const std::string& name, const std::string& schema_text,
                                               const EnumNames& enum_names, absl::Duration timeout) override {
    const absl::StatusOr<v1::RegisterSchemaRequest> request = ToWire(name, schema_text, enum_names);
    if (!request.ok()) return request.status();
    v1::RegisterSchemaResponse response;
    const absl::Status status = Call(&v1::SchemaRegistry::Stub::RegisterSchema, *request, timeout, response);
    if (!status.ok()) return status;
    return FromWire(response.schema_version());
  }

  absl::StatusOr<SchemaComparison> CheckSchema(const std::string& name, uint32_t version,
                                               const std::string& schema_text,
                                               absl::Duration timeout) override {
    absl::StatusOr<v1::Schema> schema = schema::FromCanonicalText(schema_text);
    if (!schema.ok()) return schema.status();
    v1::CheckSchemaCompatibilityRequest request;
    request.set_name(name);
    request.set_version(version);
    *request.mutable_schema() = *std::move(schema);
    v1::CheckSchemaCompatibilityResponse response;
    const absl::Status status =
        Call(&v1::SchemaRegistry::Stub::CheckSchemaCompatibility, request, timeout, response);
    if (!status.ok()) return status;
    return FromWire(response);
  }

  absl::Status Deposit(const HandOver& hand_over, const pylabhub::Deposit& deposit,
                       absl::Duration timeout) override {
    return DepositMemory(hand_over, deposit, timeout);
  }

  absl::StatusOr<InheritedMemory> Inherit(const HandOver& hand_over, absl::Duration timeout) override {
    return InheritMemory(hand_over, timeout);
  }

  absl::StatusOr<CollectedMemory> Collect(const HandOver& hand_over, const CollectWish& wish,
                                          absl::Duration timeout) override {
    return CollectMemory(hand_over, wish, timeout);
  }

  std::unique_ptr<WatchStream> Watch(const WatchRequest& request) override {
    return std::make_unique<GrpcWatchStream>(*stub_, reconnector_, ToWire(request), NextRequestId());
  }

  void CancelCalls() override { calls_.Cancel(); }

 private:
  explicit GrpcBrokerConnection(const std::shared_ptr<grpc::Channel>& channel)
      : reconnector_(channel),
        stub_(v1::Broker::NewStub(channel)),
        schemas_(v1::SchemaRegistry::NewStub(channel)) {}

  // The stub that has `method`.
  v1::Broker::Stub& StubOf(const v1::Broker::Stub* /*kind*/) { return *stub_; }
  v1::SchemaRegistry::Stub& StubOf(const v1::SchemaRegistry::Stub* /*kind*/) { return *schemas_; }

  std::string NextRequestId() { return absl::StrCat(id_prefix_, "-", ++last_request_); }

  template <typename Stub, typename Request, typename Response>
  using Method = grpc::Status (Stub::*)(grpc::ClientContext*, const Request&, Response*);

  template <typename Stub, typename Request, typename Response>
  absl::Status CallOnce(Method<Stub, Request, Response> method, const Request& request,
                        absl::Duration timeout, Response& response) {
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() +
                         absl::ToChronoNanoseconds(std::min(timeout, kLongestTimeout)));
    const std::string request_id = NextRequestId();
    context.AddMetadata(kRequestIdKey, request_id);
    const CallsInFlight::Entry entry(calls_, context);
    response.Clear();
    absl::Status status =
        FromWire((StubOf(static_cast<const Stub*>(nullptr)).*method)(&context, request, &response));
    if (!status.ok()) reconnector_.Look();
    return WithRequestId(status, request_id);
  }

  template <typename Stub, typename Request, typename Response>
  absl::Status Call(Method<Stub, Request, Response> method, const Request& request, absl::Duration timeout,
                    Response& response) {
    const auto start = std::chrono::steady_clock::now();
    const uint64_t cancel_count = calls_.cancel_count();
    Backoff backoff(kFirstRetry, kRetryLimit);
    while (true) {
      const absl::Duration left = timeout - absl::FromChrono(std::chrono::steady_clock::now() - start);
      absl::Status status = CallOnce(method, request, left, response);
      if (!IsWorthRetrying(status)) return status;
      const absl::Duration wait = backoff.Next();
      if (absl::FromChrono(std::chrono::steady_clock::now() - start) + wait >= timeout) return status;
      if (!calls_.Wait(wait, cancel_count)) return absl::CancelledError("the call was cancelled");
    }
  }

  Reconnector reconnector_;
  const std::unique_ptr<v1::Broker::Stub> stub_;
  const std::unique_ptr<v1::SchemaRegistry::Stub> schemas_;
  // Enough of a random id to tell this connection's requests apart in the broker's log.
  const std::string id_prefix_ = RandomSessionId().substr(0, 8);
  std::atomic<uint64_t> last_request_ = 0;
  CallsInFlight calls_;
};

}  // namespace

std::unique_ptr<BrokerConnection> NewGrpcBrokerConnection(const std::string& target,
                                                          const std::string& server_name,
                                                          const tls::TlsFiles& files) {
  return std::make_unique<GrpcBrokerConnection>(target, server_name, files);
}

}  // namespace pylabhub
