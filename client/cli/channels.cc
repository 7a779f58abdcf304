#include "client/cli/channels.h"

#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "client/cli/broker_option.h"
#include "client/cli/channel_look.h"
#include "client/cli/exit_code.h"
#include "client/cli/print.h"
#include "client/cli/terminal.h"
#include "shm/channel_directory.h"

namespace pylabhub::cli {
namespace {

using nlohmann::ordered_json;
using shm::NamedChannel;

constexpr absl::Duration kListTimeout = absl::Seconds(10);

constexpr char kHelp[] = R"(
Examples:
  pylabhub channels
  pylabhub channels --broker lab7:5570 --certs ~/pylabhub-certs
  pylabhub channels --output json | jq -r 'select(.producer == "dead") | .channel'
)";

struct ChannelsOptions {
  Output output = Output::kText;
  std::string directory = "/dev/shm";
  BrokerOption broker;
};

const char* ProducerState(const NamedChannel& channel) {
  if (channel.producer_closed) return "closed";
  return channel.producer_alive ? "alive" : "dead";
}

std::string SchemaName(const NamedChannel& channel) {
  return channel.config.schema.opaque() ? "bytes" : channel.config.schema.name;
}

Table TableOf(const std::vector<NamedChannel>& channels) {
  Table table({{"CHANNEL"},
               {"PRODUCER"},
               {"PID", Align::kRight},
               {"POLICY"},
               {"CONSUMERS", Align::kRight},
               {"SLOTS", Align::kRight},
               {"COMMITTED", Align::kRight},
               {"SCHEMA"}});
  for (const NamedChannel& channel : channels) {
    if (!channel.status.ok()) {
      table.AddRow({channel.channel, "unknown", "", "", "", "", "",
                    absl::StrCat("cannot be read: ", channel.status.message())});
      continue;
    }
    table.AddRow({channel.channel, ProducerState(channel), absl::StrCat(channel.producer_pid),
                  std::string(shm::NameOf(channel.config.policy)), absl::StrCat(channel.consumer_count),
                  absl::StrCat(channel.config.capacity_slots, " x ", channel.config.slot_bytes, " B"),
                  absl::StrCat(channel.committed_slots), SchemaName(channel)});
  }
  return table;
}

ordered_json ToJson(const NamedChannel& channel) {
  if (!channel.status.ok()) {
    return {{"channel", channel.channel}, {"error", std::string(channel.status.message())}};
  }
  return {{"channel", channel.channel},
          {"producer", ProducerState(channel)},
          {"producer_pid", channel.producer_pid},
          {"policy", std::string(shm::NameOf(channel.config.policy))},
          {"consumers", channel.consumer_count},
          {"capacity_slots", channel.config.capacity_slots},
          {"slot_bytes", channel.config.slot_bytes},
          {"committed_slots", channel.committed_slots},
          {"segment_bytes", channel.segment_bytes},
          {"segment_id", channel.segment_id.ToHex()},
          {"schema", SchemaName(channel)},
          {"schema_hash", shm::ToHex(shm::HashOf(channel.config.schema))}};
}

Table TableOf(const std::vector<Channel>& channels) {
  Table table({{"CHANNEL"},
               {"STATE"},
               {"EPOCH", Align::kRight},
               {"CONSUMERS", Align::kRight},
               {"PID", Align::kRight},
               {"PRODUCER"}});
  for (const Channel& channel : channels) {
    table.AddRow({channel.spec.name, NameOf(channel.state), absl::StrCat(channel.epoch),
                  absl::StrCat(channel.consumer_count), absl::StrCat(channel.spec.process.pid),
                  absl::StrCat(channel.producer_identity, " on ", channel.spec.process.host)});
  }
  return table;
}

ordered_json ToJson(const Channel& channel) {
  return {{"channel", channel.spec.name},
          {"state", NameOf(channel.state)},
          {"epoch", channel.epoch},
          {"consumers", channel.consumer_count},
          {"producer_identity", channel.producer_identity},
          {"producer_pid", channel.spec.process.pid},
          {"host", channel.spec.process.host},
          {"segment_id", shm::SegmentId{channel.spec.segment_id}.ToHex()},
          {"schema_hash", shm::ToHex(channel.spec.schema_hash)},
          {"metadata", channel.spec.metadata}};
}

template <typename AnyChannel>
ExitCode Show(const absl::StatusOr<std::vector<AnyChannel>>& channels, Output output) {
  if (!channels.ok()) return Fail(channels.status());
  if (output == Output::kText) {
    PrintTable(TableOf(*channels));
    return kDone;
  }
  for (const AnyChannel& channel : *channels) PrintObject(ToJson(channel));
  return kDone;
}

ExitCode Channels(const ChannelsOptions& options) {
  const absl::StatusOr<BrokerLink> broker = BrokerLink::Connect(options.broker);
  if (!broker.ok()) return Fail(broker.status());
  if (Messenger* messenger = broker->messenger()) {
    return Show(messenger->ListChannels("", kListTimeout), options.output);
  }
  return Show(shm::ListNamedChannels(options.directory), options.output);
}

}  // namespace

void AddChannels(CLI::App& app, Action& chosen) {
  auto options = std::make_shared<ChannelsOptions>();
  CLI::App* verb =
      app.add_subcommand("channels", "List the channels that a broker knows, or those on this host");
  verb->footer(absl::StrCat(kHelp, "\n", kExitCodeHelp));
  AddOutput(*verb, options->output);
  AddDirectory(*verb, options->directory);
  AddBroker(*verb, options->broker);
  verb->callback([options, &chosen] { chosen = [options] { return Channels(*options); }; });
}

}  // namespace pylabhub::cli
