#include "client/cli/publish.h"

#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "client/channel.h"
#include "client/cli/broker_option.h"
#include "client/cli/exit_code.h"
#include "client/cli/input.h"
#include "client/cli/interrupt.h"
#include "client/cli/payload_source.h"
#include "client/cli/publisher.h"
#include "client/cli/terminal.h"
#include "client/cli/text_file.h"

namespace pylabhub::cli {
namespace {

constexpr char kHelp[] = R"(
A block is sent when it is full or when the input pauses. Nothing is lost: the publisher waits until --consumers
consumers are attached, and then for the slowest of them; with --policy pipeline, for the slowest group.

With --format csv a row is a record (the first row names the fields: `celsius`, `position[0]`), with json a line is: an
object keyed by field, or a line of `tail --output json`. --schema says what the bytes are: the file holds a schema's
canonical text, as `describe CHANNEL --schema` and `schema get` print it.

Examples:
  pylabhub publish camera.raw < frames.bin
  pylabhub publish logs --slot-bytes 64KiB /var/log/syslog
  vmstat 1 | pylabhub publish host.vmstat --consumers 2
  pylabhub publish jobs jobs.txt --slot-bytes 4KiB --policy pipeline --group work --group archive
  pylabhub publish sensor.replayed readings.csv --format csv --schema temperature.schema
  pylabhub tail sensor.temperature --output json | pylabhub publish sensor.copy --format json --schema temperature.schema
)";

constexpr uint64_t kDefaultSlotBytes = 1 << 20;

struct PublishOptions {
  std::string channel;
  std::string file = "-";
  InputFormat format = InputFormat::kRaw;
  std::string schema_file;
  uint64_t slot_bytes = kDefaultSlotBytes;
  bool slot_bytes_said = false;
  uint32_t capacity_slots = 16;
  uint32_t consumers = 1;
  shm::Policy policy = shm::Policy::kSyncReader;
  std::vector<std::string> groups;
  absl::Duration timeout = absl::InfiniteDuration();
  std::string directory = "/dev/shm";
  BrokerOption broker;
  MemoryChoice memory = MemoryChoice::kAutomatic;
};

absl::Status CheckOptions(const PublishOptions& options) {
  if (options.slot_bytes == 0) {
    return absl::InvalidArgumentError(
        "--slot-bytes 0: a slot holds at least one byte; say for example --slot-bytes 64KiB");
  }
  if (options.capacity_slots == 0) {
    return absl::InvalidArgumentError(
        "--capacity 0: a channel has at least one slot; say for example --capacity 16");
  }
  if (options.policy == shm::Policy::kSingleReader && options.consumers > 1) {
    return absl::InvalidArgumentError(
        "--policy single_reader admits one consumer; leave it out, or say --consumers 1");
  }
  if (options.policy != shm::Policy::kPipeline && !options.groups.empty()) {
    return absl::InvalidArgumentError("--group needs --policy pipeline: no other policy has groups");
  }
  if (options.format != InputFormat::kRaw && options.schema_file.empty()) {
    return absl::InvalidArgumentError(
        "--format csv and json need --schema FILE, which says what the fields are; `pylabhub describe "
        "CHANNEL "
        "--schema` prints that of a channel");
  }
  return absl::OkStatus();
}

absl::StatusOr<shm::Schema> SchemaFrom(const PublishOptions& options) {
  if (options.schema_file.empty()) return shm::Schema::Opaque();
  absl::StatusOr<shm::Schema> schema = ReadSchemaFile(options.schema_file);
  if (!schema.ok()) return schema;
  if (schema->opaque() && options.format != InputFormat::kRaw) {
    return absl::InvalidArgumentError(absl::StrCat(
        options.schema_file, ": bytes without fields cannot be written as csv or json; say --format raw"));
  }
  return schema;
}

shm::ChannelConfig ConfigFrom(const PublishOptions& options, const shm::Schema& schema) {
  shm::ChannelConfig config;
  config.schema = schema;
  config.channel = options.channel;
  config.policy = options.policy;
  config.groups = options.groups;
  config.buffering = options.capacity_slots == 1 ? shm::Buffering::kSingle : shm::Buffering::kRingBuffer;
  config.capacity_slots = options.capacity_slots;
  // A slot of its own for each record, where nothing else is said.
  config.slot_bytes =
      schema.opaque() || options.slot_bytes_said ? options.slot_bytes : uint64_t{schema.record_bytes};
  config.min_consumers = options.consumers;
  config.directory = options.directory;
  return config;
}

// Those that lose nothing.
std::map<std::string, shm::Policy> PolicyNames() {
  std::map<std::string, shm::Policy> names;
  for (const shm::Policy policy :
       {shm::Policy::kSyncReader, shm::Policy::kSingleReader, shm::Policy::kPipeline}) {
    names.emplace(shm::NameOf(policy), policy);
  }
  return names;
}

ExitCode Publish(const PublishOptions& options) {
  if (absl::Status status = CheckOptions(options); !status.ok()) return Fail(status);
  // Before the channel exists: a file that cannot be read disturbs nobody.
  absl::StatusOr<Input> input = Input::Open(options.file);
  if (!input.ok()) return Fail(input.status());
  const absl::StatusOr<shm::Schema> schema = SchemaFrom(options);
  if (!schema.ok()) return Fail(schema.status());
  const absl::StatusOr<BrokerLink> broker = BrokerLink::Connect(options.broker);
  if (!broker.ok()) return Fail(broker.status());
  WatchForInterrupts();
  absl::StatusOr<ChannelProducer> channel =
      CreateChannel(ConfigFrom(options, *schema), broker->messenger(), {}, options.memory);
  if (!channel.ok()) return Fail(channel.status());
  const std::unique_ptr<PayloadSource> source = NewPayloadSource(options.format, *std::move(input), *schema);
  return SendAll(*source, *channel, *broker, options.timeout);
}

}  // namespace

void AddPublish(CLI::App& app, Action& chosen) {
  auto options = std::make_shared<PublishOptions>();
  CLI::App* verb =
      app.add_subcommand("publish", "Send a file or standard input into a channel, losing nothing");
  verb->footer(absl::StrCat(kHelp, "\n", kExitCodeHelp));
  AddChannel(*verb, options->channel);
  verb->add_option("FILE", options->file, "What to send; - is standard input")
      ->type_name("")
      ->capture_default_str();
  const std::map<std::string, InputFormat> formats = {
      {"raw", InputFormat::kRaw}, {"csv", InputFormat::kCsv}, {"json", InputFormat::kJson}};
  verb->add_option("--format", options->format, "What the input is: bytes, rows of text, or lines of JSON")
      ->transform(OneOf(formats))
      ->type_name("raw|csv|json")
      ->default_str("raw");
  verb->add_option("--schema", options->schema_file, "File with the canonical text of the channel's schema")
      ->type_name("FILE");
  CLI::Option* slot_bytes =
      AddBytes(*verb, "--slot-bytes", options->slot_bytes, "The largest block; with --schema: one record");
  verb->add_option("--capacity", options->capacity_slots, "Slots in the ring: how far a consumer may lag")
      ->type_name("SLOTS")
      ->capture_default_str();
  verb->add_option("--consumers", options->consumers,
                   "Wait for so many before the first block; 0 waits for nobody")
      ->type_name("N")
      ->capture_default_str();
  verb->add_option("--policy", options->policy,
                   "Who gets which block: every consumer every block; one consumer only; or each group every "
                   "block, and in it one consumer")
      ->transform(OneOf(PolicyNames()))
      ->type_name("sync_reader|single_reader|pipeline")
      ->default_str(std::string(shm::NameOf(options->policy)));
  verb->add_option("--group", options->groups, "Declare a group of the pipeline; may be given up to 8 times")
      ->type_name("NAME")
      ->allow_extra_args(false);
  AddDuration(*verb, "--timeout", options->timeout, "Give up when consumers keep it waiting for so long");
  AddDirectory(*verb, options->directory);
  AddBroker(*verb, options->broker);
  const std::map<std::string, MemoryChoice> memories = {{"automatic", MemoryChoice::kAutomatic},
                                                        {"named", MemoryChoice::kNamed},
                                                        {"handed-over", MemoryChoice::kHandedOver}};
  verb->add_option(
          "--memory", options->memory,
          "How consumers come to the channel's memory: files in the folder, or from the broker's hands; "
          "automatic: from the broker if it does that")
      ->transform(OneOf(memories))
      ->type_name("automatic|named|handed-over")
      ->default_str("automatic");
  verb->callback([options, slot_bytes, &chosen] {
    options->slot_bytes_said = slot_bytes->count() > 0;
    chosen = [options] { return Publish(*options); };
  });
}

}  // namespace pylabhub::cli
