#include "broker/admin_service.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "broker/channel_registry.h"
#include "broker/convert.h"
#include "broker/refusal.h"

namespace pylabhub::broker {
namespace {

constexpr int kDefaultPageSize = 100;
constexpr int kMaxPageSize = 1000;
// A caller's gRPC takes 4 MiB in one message.
constexpr size_t kMaxResponseBytes = 3 << 20;
constexpr size_t kMaxCommentBytes = 256;
constexpr absl::Duration kMaxGracePeriod = absl::Minutes(10);

absl::Status ReadQuery(const v1::ListSessionsRequest& request, SessionQuery& query) {
  std::vector<FieldViolation> violations;
  if (request.page_size() < 0) violations.push_back({"page_size", "must not be negative"});
  query.page_size = request.page_size() == 0 ? kDefaultPageSize : std::min(request.page_size(), kMaxPageSize);
  query.identity = request.identity();
  if (!request.page_token().empty()) {
    query.after_number = NumberOfPageToken(request.page_token());
    if (query.after_number == 0) {
      violations.push_back({"page_token", "must be next_page_token of the page before, or empty"});
    }
  }
  return RefuseFields(violations);
}

absl::Status ReadGracePeriod(const v1::DrainRequest& request, absl::Duration& grace) {
  grace = absl::Seconds(request.grace_period().seconds()) + absl::Nanoseconds(request.grace_period().nanos());
  if (grace >= absl::ZeroDuration() && grace <= kMaxGracePeriod) return absl::OkStatus();
  return RefuseFields({{"grace_period", "must be 0 s to 600 s"}});
}

}  // namespace

AdminService::AdminService(Directory& directory, CallDesk& desk, const AccessControl& access,
                           std::function<void(absl::Duration)> drain)
    : directory_(directory), desk_(desk), access_(access), drain_(std::move(drain)) {}

absl::Status AdminService::CheckMay(const PeerIdentity& peer, const std::string& channel) const {
  return access_.RightsOf(peer.name).Check(policy::Action::kAdmin, channel);
}

grpc::Status AdminService::CloseChannel(grpc::ServerContext* context, const v1::CloseChannelRequest* request,
                                        v1::CloseChannelResponse* response) {
  const std::string comment = request->comment().substr(0, kMaxCommentBytes);
  return desk_.AnswerAndAudit(
      *context, "CloseChannel", {{"channel", request->name()}, {"comment", comment}},
      [&](const PeerIdentity& peer) {
        if (absl::Status status = CheckMay(peer, request->name()); !status.ok()) return status;
        if (request->comment().size() > kMaxCommentBytes) {
          return RefuseFields({{"comment", absl::StrCat("must be at most ", kMaxCommentBytes, " bytes")}});
        }
        const auto channel = directory_.RunDurably([&](ChannelRegistry& registry, absl::Time now) {
          return registry.CloseChannel(request->name(), request->epoch(), now);
        });
        if (!channel.ok()) return channel.status();
        *response->mutable_channel() = ToProto(*channel, /*include_schema=*/false);
        return absl::OkStatus();
      });
}

grpc::Status AdminService::ListSessions(grpc::ServerContext* context, const v1::ListSessionsRequest* request,
                                        v1::ListSessionsResponse* response) {
  return desk_.Answer(*context, "ListSessions", [&](const PeerIdentity& peer) {
    if (absl::Status status = CheckMay(peer, ""); !status.ok()) return status;
    SessionQuery query;
    if (absl::Status status = ReadQuery(*request, query); !status.ok()) return status;
    const SessionPage page = directory_.Run(
        [&](ChannelRegistry& registry, absl::Time now) { return registry.ListSessions(query, now); });
    bool has_more = page.has_more;
    size_t bytes = 0;
    for (const SessionView& session : page.sessions) {
      v1::Session listed = ToProto(session, kMaxResponseBytes);
      bytes += listed.ByteSizeLong();
      has_more = has_more || (bytes > kMaxResponseBytes && response->sessions_size() > 0);
      if (bytes > kMaxResponseBytes && response->sessions_size() > 0) break;
      *response->add_sessions() = std::move(listed);
    }
    if (has_more && response->sessions_size() > 0) {
      response->set_next_page_token(PageTokenAfter(page.sessions[response->sessions_size() - 1].number));
    }
    return absl::OkStatus();
  });
}

grpc::Status AdminService::Drain(grpc::ServerContext* context, const v1::DrainRequest* request,
                                 v1::DrainResponse* response) {
  return desk_.AnswerAndAudit(*context, "Drain", {}, [&](const PeerIdentity& peer) {
    if (absl::Status status = CheckMay(peer, ""); !status.ok()) return status;
    absl::Duration grace;
    if (absl::Status status = ReadGracePeriod(*request, grace); !status.ok()) return status;
    drain_(grace);
    response->set_session_count(directory_.Run([](ChannelRegistry& registry, absl::Time now) {
      registry.Expire(now);
      return static_cast<uint32_t>(registry.session_count());
    }));
    return absl::OkStatus();
  });
}

}  // namespace pylabhub::broker
