#include "client/local_connection.h"

#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "client/channel_spec.h"
#include "client/error_reason.h"
#include "client/process_info.h"
#include "shm/channel_directory.h"

namespace pylabhub {
namespace {

absl::Status NotFound(const std::string& channel, const std::string& directory) {
  absl::Status status = absl::NotFoundError(absl::StrCat(
      "no channel '", channel, "' with a live producer in ", directory, " (no broker was asked)"));
  SetReason(status, reason::kChannelNotFound);
  SetReasonMetadata(status, "channel", channel);
  return status;
}

class NoStream : public WatchStream {
 public:
  absl::StatusOr<WatchBatch> Next() override {
    return absl::UnimplementedError("without a broker there is nothing to watch");
  }
  void Cancel() override {}
};

class LocalConnection : public BrokerConnection {
 public:
  explicit LocalConnection(std::string directory) : directory_(std::move(directory)) {}

  absl::StatusOr<BrokerInfo> GetBrokerInfo(absl::Duration) override {
    return BrokerInfo{.version = "none", .process = host_};
  }

  absl::StatusOr<Grant> Register(const std::string&, const ChannelSpec& channel, bool,
                                 absl::Duration) override {
    return Grant{.channel = {.spec = channel, .state = ChannelState::kReady}, .is_registered = false};
  }

  absl::StatusOr<uint64_t> Deregister(const std::string&, const std::string&, uint64_t,
                                      absl::Duration) override {
    return 0;
  }

  absl::StatusOr<Grant> ConsumerRegister(const std::string&, const ConsumerSpec& consumer,
                                         absl::Duration timeout) override {
    absl::StatusOr<Channel> found = Discover(consumer.channel, timeout);
    if (!found.ok()) return found.status();
    if (consumer.expected_schema_hash.has_value() &&
        *consumer.expected_schema_hash != found->spec.schema_hash) {
      absl::Status status =
          absl::FailedPreconditionError(absl::StrCat("SCHEMA_MISMATCH: channel '", consumer.channel,
                                                     "' has another schema than the one that is expected"));
      SetReason(status, reason::kSchemaMismatch);
      return status;
    }
    return Grant{.channel = *std::move(found), .is_registered = false};
  }

  absl::StatusOr<uint64_t> ConsumerDeregister(const std::string&, const ConsumerClaim&,
                                              absl::Duration) override {
    return 0;
  }

  absl::StatusOr<HeartbeatReport> Heartbeat(const std::string&, const Claims&, absl::Duration) override {
    return HeartbeatReport{};
  }

  absl::StatusOr<Channel> Discover(const std::string& channel, absl::Duration) override {
    const shm::NamedChannel found = shm::FindNamedChannel(channel, directory_);
    if (absl::IsNotFound(found.status)) return NotFound(channel, directory_);
    if (!found.status.ok()) return found.status;
    if (!found.producer_alive) return NotFound(channel, directory_);
    return ToChannel(found);
  }

  absl::StatusOr<ChannelPage> ListChannels(const std::string& name_prefix, const std::string&,
                                           absl::Duration) override {
    const absl::StatusOr<std::vector<shm::NamedChannel>> named = shm::ListNamedChannels(directory_);
    if (!named.ok()) return named.status();
    ChannelPage page;
    for (const shm::NamedChannel& channel : *named) {
      if (!channel.producer_alive || !absl::StartsWith(channel.channel, name_prefix)) continue;
      page.channels.push_back(ToChannel(channel));
    }
    return page;
  }

  std::unique_ptr<WatchStream> Watch(const WatchRequest&) override { return std::make_unique<NoStream>(); }

  void CancelCalls() override {}

 private:
  Channel ToChannel(const shm::NamedChannel& found) const {
    Channel channel = {.spec = SpecOf(found.config, found.segment_id),
                       .state = ChannelState::kReady,
                       .consumer_count = found.consumer_count};
    // The memory is here, and so is its producer.
    channel.spec.process = host_;
    channel.spec.process.pid = found.producer_pid;
    channel.spec.process.program.clear();
    return channel;
  }

  const std::string directory_;
  const ProcessInfo host_ = ThisProcess();
};

}  // namespace

std::unique_ptr<BrokerConnection> NewLocalConnection(std::string directory) {
  return std::make_unique<LocalConnection>(std::move(directory));
}

}  // namespace pylabhub
