#include "tests/bench/control/broker_client.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "tests/bench/control/certificates.h"

namespace pylabhub::bench {

std::string SessionOf(uint64_t index) { return absl::StrCat("bench-session-", index); }

absl::Status StatusOf(const grpc::Status& status) {
  return status.ok() ? absl::OkStatus() : absl::InternalError(status.error_message());
}

BrokerClient::BrokerClient(const std::string& target, const std::string& certificates_folder,
                           const std::string& identity)
    : stub_(v1::Broker::NewStub(ConnectWithCertificates(target, certificates_folder, identity))) {}

absl::Status BrokerClient::Register(const std::string& session_id, const std::string& name,
                                    const std::string& segment_id) {
  grpc::ClientContext context;
  v1::RegisterRequest request;
  v1::RegisterResponse response;
  request.set_session_id(session_id);
  v1::ChannelSpec& channel = *request.mutable_channel();
  channel.set_name(name);
  channel.set_schema_hash(std::string(32, 'h'));
  channel.set_segment_id(segment_id.empty() ? absl::StrFormat("segment.%08x", segments_++) : segment_id);
  return StatusOf(stub_->Register(&context, request, &response));
}

absl::Status BrokerClient::Heartbeat(const std::vector<std::string>& session_ids) {
  grpc::ClientContext context;
  v1::HeartbeatRequest request;
  v1::HeartbeatResponse response;
  for (const std::string& id : session_ids) request.add_sessions()->set_session_id(id);
  return StatusOf(stub_->Heartbeat(&context, request, &response));
}

absl::Status BrokerClient::Discover(const std::string& name) {
  grpc::ClientContext context;
  v1::DiscoverRequest request;
  v1::DiscoverResponse response;
  request.set_name(name);
  return StatusOf(stub_->Discover(&context, request, &response));
}

absl::StatusOr<std::vector<uint64_t>> BrokerClient::Epochs(const std::vector<std::string>& names) {
  grpc::ClientContext context;
  v1::DiscoverRequest request;
  v1::DiscoverResponse response;
  for (const std::string& name : names) request.add_names(name);
  if (absl::Status status = StatusOf(stub_->Discover(&context, request, &response)); !status.ok())
    return status;
  std::vector<uint64_t> epochs;
  for (const v1::DiscoverResult& result : response.results()) epochs.push_back(result.channel().epoch());
  return epochs;
}

}  // namespace pylabhub::bench
