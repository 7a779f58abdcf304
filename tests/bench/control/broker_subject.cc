#include "tests/bench/control/broker_subject.h"

#include <cstdlib>
#include <iostream>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/string_view.h"
#include "absl/strings/strip.h"
#include "proto/tls/certificate_set.h"
#include "tests/bench/control/certificates.h"
#include "tests/bench/control/names.h"

namespace pylabhub::bench {
namespace {

constexpr int kHeartbeatSessions = 1000;

absl::Status StatusOf(const grpc::Status& status) {
  return status.ok() ? absl::OkStatus() : absl::InternalError(status.error_message());
}

std::string SessionOf(uint64_t index) { return absl::StrCat("bench-session-", index); }

void DieOnError(const absl::Status& status) {
  if (status.ok()) return;
  std::cerr << "error: the broker cannot be filled: " << status << std::endl;
  std::exit(2);
}

// pylabhub-broker prints "listening on ADDRESS:PORT".
std::string TargetOf(ServerProcess& server) {
  const std::string line = server.ReadLine();
  absl::string_view target = line;
  if (absl::ConsumePrefix(&target, "listening on ")) return std::string(target);
  std::cerr << "error: pylabhub-broker did not start:\n" << server.errors() << std::endl;
  std::exit(2);
}

std::vector<std::string> CommandOf(const std::string& program, const std::string& certificates_folder,
                                   const std::string& state_folder) {
  const tls::TlsPaths tls = tls::ServerPathsIn(certificates_folder);
  // Nobody's lease ends while others are measured; one log line a call is what everybody has.
  return {program,      "--port=0",      "--lease-ttl=1h",  "--state-dir",
          state_folder, "--server-cert", tls.certificate,   "--server-key",
          tls.key,      "--ca",          tls.ca_certificate};
}

}  // namespace

BrokerSubject::BrokerSubject(const std::string& program, const std::string& certificates_folder,
                             const std::string& state_folder, int channels)
    : server_(CommandOf(program, certificates_folder, state_folder)),
      stub_(v1::Broker::NewStub(ConnectWithCertificates(TargetOf(server_), certificates_folder))) {
  // The first calls make the server's threads and buffers, which are no channel's.
  for (int i = 0; i < kHeartbeatSessions; ++i) DieOnError(Heartbeat(0, 1));
  const double before_bytes = server_.PrivateBytes();
  for (int i = 0; i < channels; ++i) DieOnError(Register(SessionOf(i), NameOf(i)));
  for (int i = 0; i < channels; i += kHeartbeatSessions)
    DieOnError(Heartbeat(i, std::min(kHeartbeatSessions, channels - i)));
  bytes_for_channels_ = server_.PrivateBytes() - before_bytes;
}

std::string BrokerSubject::name() const { return "pylabhub"; }

absl::Status BrokerSubject::Lookup(uint64_t index) {
  grpc::ClientContext context;
  v1::DiscoverRequest request;
  v1::DiscoverResponse response;
  request.set_name(NameOf(index));
  if (const grpc::Status status = stub_->Discover(&context, request, &response); !status.ok())
    return StatusOf(status);
  return response.channel().spec().name() == request.name() ? absl::OkStatus()
                                                            : absl::DataLossError("another channel");
}

absl::Status BrokerSubject::LookupBatch(uint64_t first, int count) {
  grpc::ClientContext context;
  v1::DiscoverRequest request;
  google::protobuf::Arena arena;
  auto& response = *google::protobuf::Arena::CreateMessage<v1::DiscoverResponse>(&arena);
  for (int i = 0; i < count; ++i) request.add_names(NameOf(first + static_cast<uint64_t>(i)));
  if (const grpc::Status status = stub_->Discover(&context, request, &response); !status.ok())
    return StatusOf(status);
  for (const v1::DiscoverResult& result : response.results()) {
    if (!result.has_channel()) return absl::DataLossError(absl::StrCat("no channel ", result.name()));
  }
  return response.results_size() == count ? absl::OkStatus() : absl::DataLossError("too few results");
}

absl::Status BrokerSubject::Put(const std::string& name) { return Register(SessionOf(0), name); }

// With a new segment each time: the same one again would be no change.
absl::Status BrokerSubject::Register(const std::string& session_id, const std::string& name) {
  grpc::ClientContext context;
  v1::RegisterRequest request;
  v1::RegisterResponse response;
  request.set_session_id(session_id);
  v1::ChannelSpec& channel = *request.mutable_channel();
  channel.set_name(name);
  channel.set_schema_hash(std::string(32, 'h'));
  channel.set_segment_id(absl::StrFormat("segment.%08x", segments_++));
  return StatusOf(stub_->Register(&context, request, &response));
}

absl::Status BrokerSubject::Heartbeat(uint64_t first, int count) {
  grpc::ClientContext context;
  v1::HeartbeatRequest request;
  v1::HeartbeatResponse response;
  for (int i = 0; i < count; ++i)
    request.add_sessions()->set_session_id(SessionOf(first + static_cast<uint64_t>(i)));
  return StatusOf(stub_->Heartbeat(&context, request, &response));
}

}  // namespace pylabhub::bench
