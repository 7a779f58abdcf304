#include "client/cli/describe.h"

#include <cstdio>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/time/clock.h"
#include "client/cli/broker_option.h"
#include "client/cli/channel_look.h"
#include "client/cli/exit_code.h"
#include "client/cli/metrics_json.h"
#include "client/cli/print.h"
#include "client/cli/quantity.h"
#include "client/cli/terminal.h"
#include "client/process_info.h"

namespace pylabhub::cli {
namespace {

using nlohmann::ordered_json;
using shm::ChannelMetrics;

constexpr absl::Duration kSchemaTimeout = absl::Seconds(10);

constexpr char kHelp[] = R"(
Reading disturbs nobody. --schema prints the schema's canonical text, which `publish --schema FILE` takes.

Examples:
  pylabhub describe sensor.temperature
  pylabhub describe sensor.temperature --schema > temperature.schema
  pylabhub describe camera.raw --broker lab7:5570 --certs ~/pylabhub-certs
  pylabhub describe sensor.temperature --output json | jq '.consumers[] | {pid, lag}'
)";

struct DescribeOptions {
  std::string channel;
  Output output = Output::kText;
  bool schema = false;
  std::string directory = "/dev/shm";
  BrokerOption broker;
};

// The segment's; else what the producer told the broker.
absl::StatusOr<shm::Schema> SchemaOf(const ChannelLook& look, Messenger* messenger) {
  if (look.memory.ok()) return look.metrics.config.schema;
  if (!look.entry->spec.schema_text.empty()) return shm::ParseCanonicalText(look.entry->spec.schema_text);
  const absl::StatusOr<SchemaVersion> version = messenger->GetSchema(look.channel, 0, kSchemaTimeout);
  if (!version.ok()) return version.status();
  if (version->schema_hash != look.entry->spec.schema_hash) {
    return absl::NotFoundError("the broker has another version of its schema than the one in use");
  }
  return shm::ParseCanonicalText(version->schema_text);
}

void AddEntry(const Channel& entry, ordered_json& json) {
  json["state"] = NameOf(entry.state);
  json["epoch"] = entry.epoch;
  json["revision"] = entry.revision;
  json["registered_consumers"] = entry.consumer_count;
  json["producer_identity"] = entry.producer_identity;
  json["producer_pid"] = entry.spec.process.pid;
  json["producer_program"] = entry.spec.process.program;
  json["host"] = entry.spec.process.host;
  json["segment_id"] = shm::SegmentId{entry.spec.segment_id}.ToHex();
  json["memory"] = entry.spec.memory == MemoryKind::kNamed ? "named" : "handed over";
  json["metadata"] = entry.spec.metadata;
}

void AddConfig(const shm::ChannelConfig& config, ordered_json& json) {
  json["policy"] = std::string(shm::NameOf(config.policy));
  json["groups"] = config.groups;
  json["capacity_slots"] = config.capacity_slots;
  json["slot_bytes"] = config.slot_bytes;
  json["max_consumers"] = config.max_consumers;
  json["zone_bytes"] = config.zone_bytes;
}

ordered_json ToJson(const ChannelLook& look, const absl::StatusOr<shm::Schema>& schema) {
  ordered_json json = {{"channel", look.channel}};
  if (look.entry) {
    AddEntry(*look.entry, json);
  } else {
    json["host"] = ThisProcess().host;
    json["segment_id"] = look.metrics.segment_id.ToHex();
    json["memory"] = "named";
  }
  if (schema.ok()) json.update(cli::ToJson(*schema));
  if (!schema.ok()) json["schema_hash"] = shm::ToHex(look.entry->spec.schema_hash);
  if (!look.memory.ok()) {
    json["no_counters"] = std::string(look.memory.message());
    return json;
  }
  AddConfig(look.metrics.config, json);
  json.update(CountersOf(look.metrics));
  return json;
}

// One line of the description: what it is about, and what there is to say.
void PrintFact(absl::string_view about, absl::string_view fact) {
  PrintLine(absl::StrCat("  ", about, std::string(12 - about.size(), ' '), fact));
}

std::string Shown(absl::string_view text) { return absl::Utf8SafeCHexEscape(text); }

void PrintEntry(const Channel& entry) {
  const ProcessInfo& process = entry.spec.process;
  PrintFact("registered", absl::StrCat(NameOf(entry.state), ", epoch ", entry.epoch, ", ",
                                       entry.consumer_count, " consumers"));
  PrintFact("producer", absl::StrCat(Shown(entry.producer_identity), ", process ", process.pid, " (",
                                     Shown(process.program), ") on ", Shown(process.host)));
  PrintFact("memory", absl::StrCat(entry.spec.memory == MemoryKind::kNamed ? "named" : "handed over",
                                   ", segment ", shm::SegmentId{entry.spec.segment_id}.ToHex()));
  for (const auto& [key, value] : entry.spec.metadata) {
    PrintFact("metadata", absl::StrCat(Shown(key), " = ", Shown(value)));
  }
}

void PrintSegment(const ChannelLook& look) {
  const ChannelMetrics& metrics = look.metrics;
  const shm::ChannelConfig& config = metrics.config;
  if (!look.entry) {
    PrintFact("producer", absl::StrCat(NameOf(metrics.producer_state), ", process ", metrics.producer_pid,
                                       " on ", ThisProcess().host));
    PrintFact("memory", absl::StrCat("named, segment ", metrics.segment_id.ToHex()));
  }
  PrintFact("since",
            absl::StrCat(absl::FormatTime("%Y-%m-%d %H:%M:%S", metrics.created, absl::LocalTimeZone()), " (",
                         DurationText(absl::Now() - metrics.created), ")"));
  PrintFact("policy", absl::StrCat(shm::NameOf(config.policy), config.groups.empty() ? "" : ", groups ",
                                   absl::StrJoin(config.groups, " "), ", at most ", config.max_consumers,
                                   " consumers"));
  PrintFact("slots", absl::StrCat(config.capacity_slots, " of ", BytesText(config.slot_bytes), ", ",
                                  BytesText(metrics.segment_bytes), " of memory in all"));
  PrintFact("committed", absl::StrCat(metrics.producer.committed_slots, " slots, ",
                                      BytesText(metrics.producer.committed_bytes), "; given up ",
                                      metrics.producer.aborted_slots));
  PrintFact("waited", absl::StrCat(metrics.producer.waits, " times for a free slot, ",
                                   DurationText(metrics.producer.blocked), " in all"));
}

void PrintSchema(const ChannelLook& look, const absl::StatusOr<shm::Schema>& schema) {
  if (!schema.ok()) {
    return PrintFact("schema", absl::StrCat("hash ", shm::ToHex(look.entry->spec.schema_hash), " (",
                                            schema.status().message(), ")"));
  }
  if (schema->opaque()) return PrintFact("schema", "bytes, without a meaning of their own");
  PrintFact("schema", absl::StrCat(schema->name, ", ", schema->record_bytes, " B a record"));
  Table fields({{"FIELD"}, {"TYPE"}, {"COUNT", Align::kRight}, {"OFFSET", Align::kRight}, {"UNIT"}});
  for (const shm::Field& field : schema->fields) {
    fields.AddRow({field.name, std::string(shm::NameOf(field.type)), absl::StrCat(field.count),
                   absl::StrCat(field.offset_bytes), field.unit});
  }
  PrintLine("");
  PrintTable(fields);
}

void PrintConsumers(const ChannelMetrics& metrics) {
  Table consumers({{"CONSUMER", Align::kRight},
                   {"PID", Align::kRight},
                   {"STATE"},
                   {"READS"},
                   {"GROUP"},
                   {"LAG", Align::kRight},
                   {"RECEIVED", Align::kRight},
                   {"MISSED", Align::kRight},
                   {"BLOCKED", Align::kRight}});
  for (const shm::ConsumerMetrics& consumer : metrics.consumers) {
    consumers.AddRow({absl::StrCat(consumer.place), absl::StrCat(consumer.pid),
                      consumer.alive ? "alive" : "dead",
                      consumer.order == shm::ReadOrder::kLatest ? "latest" : "next", consumer.group,
                      absl::StrCat(consumer.lag), absl::StrCat(consumer.received_slots),
                      absl::StrCat(consumer.missed_slots), DurationText(consumer.blocked_producer)});
  }
  if (consumers.empty()) return;
  PrintLine("");
  PrintTable(consumers);
}

void PrintText(const ChannelLook& look, const absl::StatusOr<shm::Schema>& schema) {
  PrintLine(look.channel);
  if (look.entry) PrintEntry(*look.entry);
  if (look.memory.ok()) PrintSegment(look);
  if (!look.memory.ok()) PrintFact("counters", absl::StrCat("none: ", look.memory.message()));
  PrintSchema(look, schema);
  if (look.memory.ok()) PrintConsumers(look.metrics);
}

ExitCode Describe(const DescribeOptions& options) {
  const absl::StatusOr<BrokerLink> broker = BrokerLink::Connect(options.broker);
  if (!broker.ok()) return Fail(broker.status());
  const absl::StatusOr<ChannelLook> look = LookAt(options.channel, options.directory, broker->messenger());
  if (!look.ok()) return Fail(look.status());
  const absl::StatusOr<shm::Schema> schema = SchemaOf(*look, broker->messenger());
  if (options.schema) {
    if (!schema.ok()) return Fail(schema.status());
    std::fputs(shm::CanonicalText(*schema).c_str(), stdout);
    return kDone;
  }
  if (options.output == Output::kJson) {
    PrintObject(ToJson(*look, schema));
  } else {
    PrintText(*look, schema);
  }
  return kDone;
}

}  // namespace

void AddDescribe(CLI::App& app, Action& chosen) {
  auto options = std::make_shared<DescribeOptions>();
  CLI::App* verb = app.add_subcommand(
      "describe", "Everything about one channel: schema with units, producer, consumers and their lag");
  verb->footer(absl::StrCat(kHelp, "\n", kExitCodeHelp));
  AddChannel(*verb, options->channel);
  CLI::Option* output = AddOutput(*verb, options->output);
  verb->add_flag("--schema", options->schema, "Only the schema's canonical text")->excludes(output);
  AddDirectory(*verb, options->directory);
  AddBroker(*verb, options->broker);
  verb->callback([options, &chosen] { chosen = [options] { return Describe(*options); }; });
}

}  // namespace pylabhub::cli
