#include "tests/bench/control/broker_subject.h"

#include <algorithm>
#include <cstdlib>
#include <iostream>
#include <vector>

#include "absl/strings/str_cat.h"
#include "tests/bench/control/certificates.h"
#include "tests/bench/control/names.h"

namespace pylabhub::bench {
namespace {

constexpr int kHeartbeatSessions = 1000;

void DieOnError(const absl::Status& status) {
  if (status.ok()) return;
  std::cerr << "error: the broker cannot be filled: " << status << std::endl;
  std::exit(2);
}

}  // namespace

BrokerSubject::BrokerSubject(const std::string& program, const std::string& certificates_folder,
                             const std::string& state_folder, int channels)
    : process_(
          {.program = program, .certificates_folder = certificates_folder, .state_folder = state_folder}),
      client_(process_.target(), certificates_folder) {
  // The first calls make the server's threads and buffers, which are no channel's.
  for (int i = 0; i < kHeartbeatSessions; ++i) DieOnError(Heartbeat(0, 1));
  const double before_bytes = server().PrivateBytes();
  for (int i = 0; i < channels; ++i) {
    const auto index = static_cast<uint64_t>(i);
    DieOnError(client_.Register(SessionOf(index), NameOf(index)));
  }
  for (int i = 0; i < channels; i += kHeartbeatSessions)
    DieOnError(Heartbeat(static_cast<uint64_t>(i), std::min(kHeartbeatSessions, channels - i)));
  bytes_for_channels_ = server().PrivateBytes() - before_bytes;
}

std::string BrokerSubject::name() const { return "pylabhub"; }

absl::Status BrokerSubject::Lookup(uint64_t index) {
  grpc::ClientContext context;
  v1::DiscoverRequest request;
  v1::DiscoverResponse response;
  request.set_name(NameOf(index));
  if (const grpc::Status status = client_.stub().Discover(&context, request, &response); !status.ok())
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
  if (const grpc::Status status = client_.stub().Discover(&context, request, &response); !status.ok())
    return StatusOf(status);
  for (const v1::DiscoverResult& result : response.results()) {
    if (!result.has_channel()) return absl::DataLossError(absl::StrCat("no channel ", result.name()));
  }
  return response.results_size() == count ? absl::OkStatus() : absl::DataLossError("too few results");
}

absl::Status BrokerSubject::Put(const std::string& name) { return client_.Register(SessionOf(0), name); }

std::optional<WatchedName> BrokerSubject::Watched() {
  v1::WatchRequest request;
  request.add_name_patterns(kWatchedName);
  request.add_kinds(v1::WATCH_EVENT_KIND_CHANNEL_PENDING);
  return WatchedName{
      .connect =
          [this] { return ConnectWithCertificates(process_.target(), process_.certificates_folder()); },
      .method = "/pylabhub.v1.Broker/Watch",
      .request = request.SerializeAsString(),
      .publish =
          [this](const std::string& mark) { return client_.Register(SessionOf(0), kWatchedName, mark); }};
}

absl::Status BrokerSubject::Heartbeat(uint64_t first, int count) {
  std::vector<std::string> sessions;
  for (int i = 0; i < count; ++i) sessions.push_back(SessionOf(first + static_cast<uint64_t>(i)));
  return client_.Heartbeat(sessions);
}

}  // namespace pylabhub::bench
