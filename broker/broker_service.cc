#include "broker/broker_service.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include "absl/strings/str_cat.h"
#include "broker/convert.h"
#include "broker/grpc_status.h"
#include "broker/refusal.h"
#include "broker/validate.h"

namespace pylabhub::broker {
namespace {

// A caller's gRPC takes 4 MiB in one message; what does not fit below this is left to another call.
constexpr size_t kMaxResponseBytes = 3 << 20;
constexpr int kDefaultPageSize = 100;
constexpr int kMaxPageSize = 1000;
// Enough to find a session in a log, not enough to speak for it.
constexpr size_t kSessionIdPrefixBytes = 8;

absl::Status ReadQuery(const v1::ListChannelsRequest& request, ListQuery& query) {
  std::vector<FieldViolation> violations;
  if (request.page_size() < 0) violations.push_back({"page_size", "must not be negative"});
  if (!request.name_prefix().empty() && !IsChannelName(request.name_prefix())) {
    violations.push_back({"name_prefix", "must be at most 128 of [a-z0-9._-]"});
  }
  query.name_prefix = request.name_prefix();
  query.page_size = request.page_size() == 0 ? kDefaultPageSize : std::min(request.page_size(), kMaxPageSize);
  if (!request.page_token().empty()) {
    query.after_name = NameOfPageToken(request.page_token());
    if (query.after_name.empty()) {
      violations.push_back({"page_token", "must be next_page_token of the page before, or empty"});
    }
  }
  for (const int state : request.states()) {
    if (state < v1::CHANNEL_STATE_PENDING || state > v1::CHANNEL_STATE_CLOSING) {
      violations.push_back({"states", "must be CHANNEL_STATE_PENDING, _READY or _CLOSING"});
      continue;
    }
    query.states.push_back(static_cast<ChannelState>(state - 1));
  }
  return RefuseFields(violations);
}

// The schema that a caller states; null if it does not.
const v1::Schema* ExpectedSchemaOf(const v1::RegisterRequest& request) {
  return request.channel().has_schema() ? &request.channel().schema() : nullptr;
}
template <typename Request>
const v1::Schema* ExpectedSchemaOf(const Request& request) {
  return request.has_expected_schema() ? &request.expected_schema() : nullptr;
}

template <typename Request>
absl::Status CheckExpectedSchema(const Request& request) {
  if (!request.has_expected_schema()) return absl::OkStatus();
  return CheckSchema(request.expected_schema(), "expected_schema", request.expected_schema_hash(),
                     "expected_schema_hash");
}

absl::Status CheckDiscover(const v1::DiscoverRequest& request) {
  if (request.name().empty() == (request.names_size() == 0)) {
    return RefuseFields({{"name", "exactly one of `name` and `names` must be set"}});
  }
  if (static_cast<size_t>(request.names_size()) > kMaxNamesPerDiscover) {
    return RefuseFields({{"names", absl::StrCat("must be 1 to ", kMaxNamesPerDiscover)}});
  }
  return CheckExpectedSchema(request);
}

// Answers one name of a batch, if there is room left.
void AddResult(const std::string& name, const absl::StatusOr<ChannelView>& found, bool include_schema,
               size_t& room_bytes, v1::DiscoverResponse& response) {
  v1::DiscoverResult& result = *response.add_results();
  result.set_name(name);
  if (!found.ok()) {
    *result.mutable_error() = ToRpcStatus(found.status());
    return;
  }
  v1::Channel channel = ToProto(*found, include_schema);
  const size_t bytes = channel.ByteSizeLong();
  if (bytes > room_bytes) {
    *result.mutable_error() = ToRpcStatus(RefuseBeyond("response_bytes", kMaxResponseBytes));
    return;
  }
  room_bytes -= bytes;
  *result.mutable_channel() = std::move(channel);
}

}  // namespace

BrokerService::BrokerService(Directory& directory, SchemaDirectory& schemas, CallDesk& desk,
                             const AccessControl& access, BrokerInfo info, HandOverDesk* hand_over)
    : directory_(directory),
      schemas_(schemas),
      desk_(desk),
      access_(access),
      info_(std::move(info)),
      hand_over_(hand_over) {}

grpc::Status BrokerService::AnswerAndAudit(grpc::ServerContext& context, absl::string_view method,
                                           const std::string& channel, const std::string& session_id,
                                           absl::FunctionRef<absl::Status(const Caller&)> body) {
  return desk_.AnswerAndAudit(
      context, method, {{"channel", channel}, {"session", session_id.substr(0, kSessionIdPrefixBytes)}},
      [&](const PeerIdentity& peer) {
        return body(Caller{peer.name, session_id, context.peer(), peer.certificate_serial});
      });
}

template <typename Call>
absl::StatusOr<ChannelView> BrokerService::RunIfAllowed(const CallerRights& rights, policy::Action action,
                                                        const Caller& caller, const std::string& channel,
                                                        Call call) {
  return directory_.RunDurably([&](ChannelRegistry& registry, absl::Time now) -> absl::StatusOr<ChannelView> {
    if (!access_.IsCurrent(rights)) {
      absl::Status status = access_.RightsOf(caller.identity).Check(action, channel);
      if (!status.ok()) return status;
    }
    return call(registry, now);
  });
}

absl::StatusOr<ChannelView> BrokerService::RegisterWithSchema(const v1::RegisterRequest& request,
                                                              const Caller& from) {
  if (absl::Status status = desk_.CheckMayRegister(); !status.ok()) return status;
  const v1::ChannelSpec& stated = request.channel();
  const CallerRights rights = access_.RightsOf(from.identity);
  if (absl::Status status = rights.Check(policy::Action::kRegister, stated.name()); !status.ok())
    return status;
  Caller caller = from;
  caller.may_force = request.force() && rights.May(policy::Action::kForce, stated.name());
  if (stated.has_schema()) {
    absl::Status status =
        CheckSchema(stated.schema(), "channel.schema", stated.schema_hash(), "channel.schema_hash");
    if (!status.ok()) return status;
  }
  bool force = request.force();
  const auto apply = [&](ChannelRegistry& registry, absl::Time now) {
    ChannelSpec spec = FromProto(stated);
    if (spec.schema_version == 0) spec.schema_version = schemas_.VersionFor(stated, caller.identity);
    auto channel = registry.Register(caller, std::move(spec), force, now);
    if (channel.ok()) schemas_.Keep(stated, caller.identity, now);
    return channel;
  };
  auto registered = RunIfAllowed(rights, policy::Action::kRegister, caller, stated.name(), apply);
  const auto refusal = DetailsOf(registered.status());
  const bool is_in_the_way = refusal.has_value() && (refusal->reason == ReasonName(Reason::kChannelHeld) ||
                                                     refusal->reason == ReasonName(Reason::kSchemaMismatch));
  if (!is_in_the_way || hand_over_ == nullptr || !hand_over_->ProducerIsGone(stated.name()))
    return registered;
  // Who died is not waited for until its lease ends. Of another identity it is, as ever.
  force = true;
  auto taken_over = RunIfAllowed(rights, policy::Action::kRegister, caller, stated.name(), apply);
  return taken_over.ok() ? taken_over : registered;
}

template <typename Request>
absl::Status BrokerService::Explain(const absl::Status& status, const Request& request) const {
  const v1::Schema* const expected = ExpectedSchemaOf(request);
  return schemas_.Read([&](const SchemaBook& book) { return ExplainMismatch(book, status, expected); });
}

grpc::Status BrokerService::Register(grpc::ServerContext* context, const v1::RegisterRequest* request,
                                     v1::RegisterResponse* response) {
  return AnswerAndAudit(
      *context, "Register", request->channel().name(), request->session_id(), [&](const Caller& caller) {
        const auto channel = RegisterWithSchema(*request, caller);
        if (!channel.ok()) return Explain(channel.status(), *request);
        *response->mutable_channel() = ToProto(*channel, /*include_schema=*/false);
        *response->mutable_lease_ttl() = ToProto(directory_.options().lease_ttl);
        *response->mutable_heartbeat_interval() = ToProto(directory_.heartbeat_interval());
        if (HandsOver(*channel)) {
          *response->mutable_hand_over() = hand_over_->ForProducer(caller.session_id, *channel);
        }
        return absl::OkStatus();
      });
}

std::vector<absl::StatusOr<ChannelView>> BrokerService::FindAll(const std::vector<std::string>& names,
                                                                const CallerRights& rights,
                                                                const std::string& expected_schema_hash,
                                                                uint64_t& revision) {
  // Before anything is looked up, so that an answer does not depend on what there is that the caller may not know.
  std::vector<absl::Status> allowed;
  for (const std::string& name : names) allowed.push_back(rights.Check(policy::Action::kDiscover, name));
  std::vector<absl::StatusOr<ChannelView>> found;
  revision = directory_.Run([&](ChannelRegistry& registry, absl::Time now) {
    for (size_t i = 0; i < names.size(); ++i) {
      found.push_back(allowed[i].ok() ? registry.Discover(names[i], expected_schema_hash, now) : allowed[i]);
    }
    return registry.revision();
  });
  return found;
}

grpc::Status BrokerService::Discover(grpc::ServerContext* context, const v1::DiscoverRequest* request,
                                     v1::DiscoverResponse* response) {
  return desk_.Answer(*context, "Discover", [&](const PeerIdentity& peer) {
    if (absl::Status status = CheckDiscover(*request); !status.ok()) return status;
    std::vector<std::string> names(request->names().begin(), request->names().end());
    if (!request->name().empty()) names.push_back(request->name());
    uint64_t revision = 0;
    std::vector<absl::StatusOr<ChannelView>> found =
        FindAll(names, access_.RightsOf(peer.name), request->expected_schema_hash(), revision);
    response->set_revision(revision);
    if (!request->name().empty()) {
      if (!found[0].ok()) return Explain(found[0].status(), *request);
      *response->mutable_channel() = ToProto(*found[0], request->include_schema());
      return absl::OkStatus();
    }
    size_t room_bytes = kMaxResponseBytes;
    for (size_t i = 0; i < names.size(); ++i) {
      if (!found[i].ok()) found[i] = Explain(found[i].status(), *request);
      if (absl::IsPermissionDenied(found[i].status())) {
        desk_.LogDenial(*context, "Discover", peer.name, found[i].status());
      }
      AddResult(names[i], found[i], request->include_schema(), room_bytes, *response);
    }
    return absl::OkStatus();
  });
}

grpc::Status BrokerService::Deregister(grpc::ServerContext* context, const v1::DeregisterRequest* request,
                                       v1::DeregisterResponse* response) {
  return AnswerAndAudit(
      *context, "Deregister", request->name(), request->session_id(), [&](const Caller& caller) {
        return directory_.RunDurably([&](ChannelRegistry& registry, absl::Time now) {
          absl::Status status = registry.Deregister(caller, request->name(), request->epoch(), now);
          response->set_revision(registry.revision());
          return status;
        });
      });
}

grpc::Status BrokerService::ConsumerRegister(grpc::ServerContext* context,
                                             const v1::ConsumerRegisterRequest* request,
                                             v1::ConsumerRegisterResponse* response) {
  return AnswerAndAudit(*context, "ConsumerRegister", request->channel_name(), request->session_id(),
                        [&](const Caller& caller) {
                          if (absl::Status status = desk_.CheckMayRegister(); !status.ok()) return status;
                          const CallerRights rights = access_.RightsOf(caller.identity);
                          absl::Status allowed =
                              rights.Check(policy::Action::kConsume, request->channel_name());
                          if (!allowed.ok()) return allowed;
                          if (absl::Status status = CheckExpectedSchema(*request); !status.ok())
                            return status;
                          const auto channel = RunIfAllowed(
                              rights, policy::Action::kConsume, caller, request->channel_name(),
                              [&](ChannelRegistry& registry, absl::Time now) {
                                return registry.ConsumerRegister(caller, FromProto(*request), now);
                              });
                          if (!channel.ok()) return Explain(channel.status(), *request);
                          *response->mutable_channel() = ToProto(*channel, /*include_schema=*/false);
                          *response->mutable_lease_ttl() = ToProto(directory_.options().lease_ttl);
                          *response->mutable_heartbeat_interval() = ToProto(directory_.heartbeat_interval());
                          if (HandsOver(*channel)) {
                            *response->mutable_hand_over() =
                                hand_over_->ForConsumer(caller.session_id, request->consumer_id(), *channel);
                          }
                          return absl::OkStatus();
                        });
}

grpc::Status BrokerService::ConsumerDeregister(grpc::ServerContext* context,
                                               const v1::ConsumerDeregisterRequest* request,
                                               v1::ConsumerDeregisterResponse* response) {
  return AnswerAndAudit(*context, "ConsumerDeregister", request->channel_name(), request->session_id(),
                        [&](const Caller& caller) {
                          return directory_.RunDurably([&](ChannelRegistry& registry, absl::Time now) {
                            absl::Status status = registry.ConsumerDeregister(caller, request->channel_name(),
                                                                              request->consumer_id(), now);
                            response->set_revision(registry.revision());
                            return status;
                          });
                        });
}

grpc::Status BrokerService::Heartbeat(grpc::ServerContext* context, const v1::HeartbeatRequest* request,
                                      v1::HeartbeatResponse* response) {
  return desk_.Answer(*context, "Heartbeat", [&](const PeerIdentity& peer) {
    const std::vector<SessionClaims> claims = FromProto(*request);
    std::vector<std::vector<ChannelView>> handed_over(claims.size());
    const auto sessions = directory_.RunRenewal([&](ChannelRegistry& registry, absl::Time now) {
      auto renewed = registry.Heartbeat(peer.name, claims, now, peer.certificate_serial);
      response->set_revision(registry.revision());
      for (size_t i = 0; hand_over_ != nullptr && renewed.ok() && i < claims.size(); ++i) {
        handed_over[i] = registry.HandedOverBy(claims[i].session_id);
      }
      return renewed;
    });
    if (!sessions.ok()) return sessions.status();
    for (size_t i = 0; i < sessions->size(); ++i) {
      v1::SessionStatus& session = *response->add_sessions();
      session = ToProto((*sessions)[i]);
      if (handed_over[i].empty()) continue;
      for (v1::HandOverTask& task : hand_over_->TasksOf(session.session_id(), handed_over[i])) {
        *session.add_hand_over_tasks() = std::move(task);
      }
    }
    *response->mutable_lease_ttl() = ToProto(directory_.options().lease_ttl);
    *response->mutable_heartbeat_interval() = ToProto(directory_.heartbeat_interval());
    return absl::OkStatus();
  });
}

ChannelPage BrokerService::ListVisible(ListQuery query, const CallerRights& rights, uint64_t& revision) {
  query.may_see = [&rights](const std::string& name) { return rights.May(policy::Action::kDiscover, name); };
  ChannelPage page;
  // Piece by piece, so that the directory is not locked for long where a caller may see little of much.
  do {
    ChannelPage piece = directory_.Run([&](ChannelRegistry& registry, absl::Time now) {
      revision = registry.revision();
      return registry.List(query, now);
    });
    query.page_size -= piece.channels.size();
    if (!piece.last_name.empty()) query.after_name = piece.last_name;
    page.has_more = piece.has_more;
    std::move(piece.channels.begin(), piece.channels.end(), std::back_inserter(page.channels));
  } while (page.has_more && query.page_size > 0);
  return page;
}

grpc::Status BrokerService::ListChannels(grpc::ServerContext* context, const v1::ListChannelsRequest* request,
                                         v1::ListChannelsResponse* response) {
  return desk_.Answer(*context, "ListChannels", [&](const PeerIdentity& peer) {
    ListQuery query;
    if (absl::Status status = ReadQuery(*request, query); !status.ok()) return status;
    // One more than asked for: whether there is one says whether there is a further page, of what the caller may see.
    const size_t page_size = query.page_size++;
    uint64_t revision = 0;
    const ChannelPage page = ListVisible(std::move(query), access_.RightsOf(peer.name), revision);
    response->set_revision(revision);
    bool has_more = page.channels.size() > page_size;
    size_t bytes = 0;
    for (const ChannelView& channel : page.channels) {
      if (response->channels_size() == static_cast<int>(page_size)) break;
      *response->add_channels() = ToProto(channel, request->include_schema());
      bytes += response->channels().rbegin()->ByteSizeLong();
      has_more = has_more || bytes > kMaxResponseBytes;
      if (bytes > kMaxResponseBytes) break;
    }
    if (has_more) response->set_next_page_token(PageTokenAfter(response->channels().rbegin()->spec().name()));
    return absl::OkStatus();
  });
}

grpc::Status BrokerService::GetBrokerInfo(grpc::ServerContext* context,
                                          const v1::GetBrokerInfoRequest* request,
                                          v1::GetBrokerInfoResponse* response) {
  return desk_.Answer(*context, "GetBrokerInfo", [&](const PeerIdentity& peer) {
    absl::Status status =
        CheckProtocolVersions(request->min_protocol_version(), request->max_protocol_version());
    if (!status.ok()) return status;
    response->set_version(kBrokerVersion);
    response->set_min_protocol_version(kMinProtocolVersion);
    response->set_max_protocol_version(kMaxProtocolVersion);
    for (std::string& method : ImplementedMethods()) response->add_implemented_methods(std::move(method));
    response->set_broker_id(info_.broker_id);
    response->set_history_id(HistoryIdFor(info_.history_id, access_.RightsOf(peer.name)));
    response->set_revision(
        directory_.Run([](ChannelRegistry& registry, absl::Time) { return registry.revision(); }));
    *response->mutable_start_time() = ToProto(info_.start_time);
    *response->mutable_current_time() = ToProto(SteadyNow());
    *response->mutable_lease_ttl() = ToProto(directory_.options().lease_ttl);
    *response->mutable_heartbeat_interval() = ToProto(directory_.heartbeat_interval());
    for (const auto& [name, value] : NamedLimits(directory_.options().limits)) {
      (*response->mutable_limits())[name] = value;
    }
    if (hand_over_ != nullptr) {
      response->set_hand_over_socket_path(hand_over_->socket_path());
      (*response->mutable_limits())["hand_over_descriptors"] = hand_over_->max_descriptors();
    }
    response->set_caller_identity(peer.name);
    *response->mutable_caller_certificate_expire_time() = ToProto(peer.certificate_expire_time);
    response->mutable_process()->set_pid(info_.pid);
    response->mutable_process()->set_host(info_.host);
    response->mutable_process()->set_boot_id(info_.boot_id);
    return absl::OkStatus();
  });
}

}  // namespace pylabhub::broker
