#include "client/cli/value_names.h"

#include <algorithm>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "client/cli/terminal.h"
#include "shm/schema.h"

namespace pylabhub::cli {
namespace {

using shm::Field;
using shm::ScalarType;

constexpr absl::Duration kTimeout = absl::Seconds(10);

bool IsInteger(ScalarType type) {
  return type != ScalarType::kBool && type != ScalarType::kChar && type != ScalarType::kFloat32 &&
         type != ScalarType::kFloat64;
}

absl::Status CheckNames(const EnumNames& names, const shm::ChannelConfig& config, const std::string& path) {
  const std::vector<Field>& fields = config.schema.fields;
  for (const auto& named : names) {
    const std::string& name = named.first;
    const auto field =
        std::find_if(fields.begin(), fields.end(), [&](const Field& each) { return each.name == name; });
    if (field != fields.end() && IsInteger(field->type)) continue;
    return absl::InvalidArgumentError(
        absl::StrCat(path, " names values of ", config.channel, "'s field '", name, "', which ",
                     field == fields.end() ? "it does not have" : "is no integer", "; `pylabhub describe ",
                     config.channel, "` lists its fields"));
  }
  return absl::OkStatus();
}

absl::StatusOr<EnumNames> NamesAtBroker(Messenger& messenger, const std::string& channel,
                                        const shm::SchemaHash& hash) {
  absl::StatusOr<std::vector<SchemaVersion>> versions = messenger.ListSchemas(channel, kTimeout);
  if (!versions.ok()) return versions.status();
  std::reverse(versions->begin(), versions->end());
  for (const SchemaVersion& listed : *versions) {
    if (listed.schema_hash != hash) continue;
    absl::StatusOr<SchemaVersion> version = messenger.GetSchema(channel, listed.version, kTimeout);
    if (!version.ok()) return version.status();
    if (!version->enum_names.empty()) return std::move(version->enum_names);
  }
  return EnumNames();
}

}  // namespace

absl::StatusOr<NamesByChannel> NamesOfValues(const std::vector<ChannelConsumer>& channels,
                                             const std::string& path, Messenger* messenger) {
  NamesByChannel names;
  if (!path.empty()) {
    absl::StatusOr<NamesByChannel> read = ReadEnums(path);
    if (!read.ok()) return read;
    names = *std::move(read);
  }
  for (const ChannelConsumer& channel : channels) {
    const shm::ChannelConfig& config = channel.block->config();
    if (const auto named = names.find(config.channel); named != names.end()) {
      if (absl::Status status = CheckNames(named->second, config, path); !status.ok()) return status;
      continue;
    }
    if (messenger == nullptr || config.schema.opaque()) continue;
    absl::StatusOr<EnumNames> found = NamesAtBroker(*messenger, config.channel, channel.block->schema_hash());
    if (found.ok()) {
      names[config.channel] = *std::move(found);
    } else {
      Note(absl::StrCat(config.channel, ": values of enumerations are recorded without their names: ",
                        found.status().message()));
    }
  }
  return names;
}

}  // namespace pylabhub::cli
