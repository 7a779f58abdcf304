// Gives arbitrary bytes to the directory as requests, on the way that a handler takes: parse, convert, ask the registry,
// convert back, encode. In an input one call follows the other, by two identities, with time going by between them:
//
//   1 byte   which call
//   1 byte   bit 0: which identity; the others: how much time goes by
//   2 bytes  how long the request is
//   ...      the request, as it is on the wire
//
// What must hold: a refusal says why, and changes nothing; an answer is valid on the wire and about what was asked; what a
// store would keep, put into another registry, makes the same directory; and in the end everything lapses.
#include <google/protobuf/stubs/logging.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "broker/channel_registry.h"
#include "broker/convert.h"
#include "broker/refusal.h"
#include "broker/schema_book.h"
#include "broker/schema_compatibility.h"
#include "broker/store/records.h"
#include "broker/validate.h"
#include "proto/pylabhub/v1/broker.pb.h"
#include "tests/fuzz/input.h"
#include "tests/fuzz/require.h"

namespace pylabhub::broker {
namespace {

using fuzz::Input;
using fuzz::Require;

constexpr size_t kMaxRequestBytes = size_t{64} << 10;
constexpr int kMaxCalls = 64;

// Small, so that a short input reaches every limit.
RegistryOptions SmallOptions() {
  RegistryOptions options;
  options.limits.max_channels = 6;
  options.limits.max_consumers = 6;
  options.limits.max_sessions = 5;
  options.limits.max_consumers_per_channel = 3;
  options.limits.max_channels_per_identity = 4;
  options.limits.max_consumers_per_identity = 4;
  options.limits.max_sessions_per_identity = 3;
  options.limits.max_spec_bytes_per_identity = 4096;
  options.limits.max_schemas = 4;
  options.limits.max_versions_per_schema = 3;
  return options;
}

// The channels as a caller would list them, without what a restart may change: times and revisions.
std::vector<std::string> Listing(ChannelRegistry& registry, absl::Time now) {
  std::vector<std::string> listing;
  const ChannelPage page = registry.List({.page_size = 1000}, now);
  Require(!page.has_more, "a page holds what fits into it");
  for (const ChannelView& view : page.channels) {
    v1::Channel channel = ToProto(view, /*include_schema=*/true);
    channel.clear_revision();
    channel.clear_register_time();
    channel.clear_lease_expire_time();
    // A map's order is its own.
    std::map<std::string, std::string> metadata(channel.spec().metadata().begin(),
                                                channel.spec().metadata().end());
    channel.mutable_spec()->clear_metadata();
    std::string text = channel.SerializeAsString();
    for (const auto& [key, value] : metadata) text.append(key).append("=").append(value).append(";");
    listing.push_back(std::move(text));
  }
  return listing;
}

class World {
 public:
  void Call(Input& input) {
    const uint8_t kind = input.Byte();
    const uint8_t who_and_when = input.Byte();
    const size_t bytes = std::min<size_t>(input.Number(2), kMaxRequestBytes);
    identity_ = (who_and_when & 1) == 0 ? "spiffe://lab/a" : "spiffe://lab/b";
    now_ += absl::Milliseconds(100) * (who_and_when >> 1);
    request_.clear();
    for (size_t i = 0; i < bytes && !input.empty(); ++i) request_.push_back(static_cast<char>(input.Byte()));
    // What ends by itself ends now, so that whatever changes below is the call's.
    registry_.Expire(now_);
    Keep();
    switch (kind % 8) {
      case 0:
        return Register();
      case 1:
        return Discover();
      case 2:
        return Deregister();
      case 3:
        return ConsumerRegister();
      case 4:
        return ConsumerDeregister();
      case 5:
        return Heartbeat();
      case 6:
        return RegisterSchema();
      default:
        return List();
    }
  }

  void End() {
    CheckRestored();
    // Consumers of a closing channel leave with their own leases, and it is remembered for a while for them.
    for (int i = 0; i < 4; ++i) {
      now_ += absl::Minutes(2);
      registry_.Expire(now_);
    }
    Require(registry_.usage() == Usage(), "in the end everything lapses, and nothing counts any more");
    Keep();
    for (const auto& [key, row] : rows_) Require(key == kHistoryKey, "what has lapsed is not kept");
  }

 private:
  template <typename Request>
  std::optional<Request> Parse() const {
    Request request;
    // gRPC answers for what is no message.
    if (!request.ParseFromString(request_)) return std::nullopt;
    return request;
  }

  Caller CallerOf(const std::string& session_id) const { return {identity_, session_id, "ipv4:192.0.2.1:1"}; }

  // Takes what a store would keep.
  bool Keep() {
    const std::vector<Change> changes = registry_.TakeChanges();
    for (const Change& change : changes) {
      Row row = ToRow(change);
      if (row.value.has_value()) {
        rows_[row.key] = *row.value;
      } else {
        rows_.erase(row.key);
      }
    }
    uint64_t revision = revision_;
    for (const Event& event : registry_.TakeEvents()) {
      Require(event.revision == ++revision, "each event has the next revision");
      Require(IsChannelName(event.channel.spec->name), "an event is about a channel that has a name");
    }
    Require(registry_.revision() == revision, "every change is told of");
    revision_ = revision;
    return !changes.empty();
  }

  void CheckRefusal(const absl::Status& status) {
    const auto details = DetailsOf(status);
    Require(details.has_value() && !details->reason.empty() && !status.message().empty(),
            "a refusal says why");
    Require(details->reason != "INVALID_REQUEST" || !details->field_violations.empty(),
            "a request that is not valid is told which fields");
    const uint64_t before = revision_;
    Require(!Keep() && revision_ == before, "a refused call changes nothing");
  }

  void CheckAnswer(const absl::StatusOr<ChannelView>& found, const std::string& name) {
    if (!found.ok()) return CheckRefusal(found.status());
    Keep();
    const v1::Channel channel = ToProto(*found, /*include_schema=*/true);
    v1::Channel read;
    Require(read.ParseFromString(channel.SerializeAsString()), "an answer can be read");
    Require(read.spec().name() == name && IsChannelName(name), "an answer is about the channel asked for");
    Require(read.epoch() > 0 && read.revision() <= registry_.revision(), "epoch and revision are given out");
    Require(read.spec().schema_hash().size() == kSchemaHashBytes, "a schema's hash is whole");
  }

  void Register() {
    const auto request = Parse<v1::RegisterRequest>();
    if (!request.has_value()) return;
    const v1::ChannelSpec& spec = request->channel();
    if (spec.has_schema() && !ValidateSchema(spec.schema(), "channel.schema").ok()) return;
    const auto channel =
        registry_.Register(CallerOf(request->session_id()), FromProto(spec), request->force(), now_);
    CheckAnswer(channel, spec.name());
    if (!channel.ok()) return;
    Require(channel->producer_identity == identity_, "the caller is the producer");
    Require(channel->state != ChannelState::kClosing, "what was registered is not closing");
  }

  void Discover() {
    const auto request = Parse<v1::DiscoverRequest>();
    if (!request.has_value()) return;
    std::vector<std::string> names(request->names().begin(), request->names().end());
    names.push_back(request->name());
    for (const std::string& name : names) {
      const auto channel = registry_.Discover(name, request->expected_schema_hash(), now_);
      CheckAnswer(channel, name);
      if (!channel.ok()) continue;
      Require(channel->state == ChannelState::kReady, "what is found is ready");
      Require(request->expected_schema_hash().empty() ||
                  channel->spec->schema_hash == request->expected_schema_hash(),
              "what is found has the schema that was expected");
    }
  }

  void Deregister() {
    const auto request = Parse<v1::DeregisterRequest>();
    if (!request.has_value()) return;
    const absl::Status status =
        registry_.Deregister(CallerOf(request->session_id()), request->name(), request->epoch(), now_);
    if (!status.ok()) return CheckRefusal(status);
    Keep();
    Require(!registry_.Discover(request->name(), "", now_).ok(), "what was given up is not found");
  }

  void ConsumerRegister() {
    const auto request = Parse<v1::ConsumerRegisterRequest>();
    if (!request.has_value()) return;
    const auto channel =
        registry_.ConsumerRegister(CallerOf(request->session_id()), FromProto(*request), now_);
    CheckAnswer(channel, request->channel_name());
    if (channel.ok()) Require(channel->consumer_count > 0, "who has joined counts");
  }

  void ConsumerDeregister() {
    const auto request = Parse<v1::ConsumerDeregisterRequest>();
    if (!request.has_value()) return;
    const absl::Status status = registry_.ConsumerDeregister(
        CallerOf(request->session_id()), request->channel_name(), request->consumer_id(), now_);
    if (!status.ok()) return CheckRefusal(status);
    Keep();
    const absl::Status again = registry_.ConsumerDeregister(
        CallerOf(request->session_id()), request->channel_name(), request->consumer_id(), now_);
    Require(!again.ok(), "who has left cannot leave again");
  }

  void Heartbeat() {
    const auto request = Parse<v1::HeartbeatRequest>();
    if (!request.has_value()) return;
    const auto sessions = registry_.Heartbeat(identity_, FromProto(*request), now_);
    if (!sessions.ok()) return CheckRefusal(sessions.status());
    Keep();
    Require(sessions->size() == static_cast<size_t>(request->sessions_size()),
            "every session has its answer");
    for (size_t i = 0; i < sessions->size(); ++i) {
      const v1::SessionStatus status = ToProto((*sessions)[i]);
      const v1::SessionClaims& claims = request->sessions(static_cast<int>(i));
      Require(status.session_id() == claims.session_id(), "answers are in the order of the sessions");
      Require(status.lost_channels_size() <= claims.channels_size() &&
                  status.lost_consumers_size() <= claims.consumers_size(),
              "only what was claimed can be lost");
      if (!status.known()) {
        Require(status.lost_channels_size() == claims.channels_size(),
                "an unknown session has lost everything");
      }
    }
  }

  void RegisterSchema() {
    const auto request = Parse<v1::RegisterSchemaRequest>();
    if (!request.has_value()) return;
    // As the service does first.
    if (!IsChannelName(request->name()) || !ValidateSchema(request->schema(), "schema").ok()) return;
    const auto latest = schemas_.Find(request->name(), 0);
    const auto registered = schemas_.Register(request->name(), request->schema(), identity_,
                                              request->required_compatibility(), now_);
    if (latest.ok()) {
      const SchemaComparison comparison = Compare(*(*latest)->schema, request->schema());
      Require((comparison.compatibility == v1::COMPATIBILITY_IDENTICAL) == comparison.differences.empty(),
              "schemas differ exactly if a difference is named");
      Require(InWords(comparison, Voice::kVersions).empty() == comparison.differences.empty(),
              "a difference is told in words");
    }
    if (!registered.ok()) return CheckRefusal(registered.status());
    Require(registered->record->version > 0, "versions count from 1");
    Require(schemas_.Find(request->name(), registered->record->version).ok(), "what was registered is found");
  }

  void List() {
    const auto request = Parse<v1::ListChannelsRequest>();
    if (!request.has_value()) return;
    const std::string after = NameOfPageToken(request->page_token());
    Require(after.empty() || PageTokenAfter(after) == request->page_token() || IsChannelName(after),
            "a page token leads to a name or to nothing");
    const ChannelPage page = registry_.List({.name_prefix = request->name_prefix(),
                                             .after_name = after,
                                             .page_size = std::max<size_t>(request->page_size() & 7, 1)},
                                            now_);
    std::string last = after;
    for (const ChannelView& channel : page.channels) {
      Require(channel.spec->name > last, "a list is in the order of names, and goes on after its token");
      last = channel.spec->name;
    }
  }

  void CheckRestored() {
    Keep();
    std::vector<Row> rows;
    for (const auto& [key, value] : rows_) rows.push_back({key, value});
    KeptRecords kept = FromRows(std::move(rows));
    Require(kept.unreadable_keys.empty(), "what is kept can be read again");
    ChannelRegistry restored(SmallOptions());
    restored.Restore(std::move(kept.registry), now_);
    Require(Listing(restored, now_) == Listing(registry_, now_), "what is kept makes the same directory");
    Require(restored.usage() == registry_.usage(), "and counts for the same");
  }

  ChannelRegistry registry_{SmallOptions()};
  SchemaBook schemas_{SmallOptions().limits};
  absl::Time now_ = absl::FromUnixSeconds(1'700'000'000);
  std::string identity_;
  std::string request_;
  uint64_t revision_ = 0;
  std::map<std::string, std::string> rows_;
};

}  // namespace
}  // namespace pylabhub::broker

// What is no message is expected here, and need not be told.
extern "C" int LLVMFuzzerInitialize(int*, char***) {
  google::protobuf::SetLogHandler(nullptr);
  return 0;
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t bytes) {
  pylabhub::fuzz::Input input(data, bytes);
  pylabhub::broker::World world;
  for (int i = 0; i < pylabhub::broker::kMaxCalls && !input.empty(); ++i) world.Call(input);
  world.End();
  return 0;
}
