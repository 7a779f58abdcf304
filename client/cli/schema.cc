#include "client/cli/schema.h"

#include <algorithm>
#include <cstdio>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "client/cli/broker_option.h"
#include "client/cli/enum_file.h"
#include "client/cli/exit_code.h"
#include "client/cli/terminal.h"
#include "client/cli/text_file.h"
#include "shm/schema.h"

namespace pylabhub::cli {
namespace {

using nlohmann::ordered_json;

constexpr absl::Duration kTimeout = absl::Seconds(10);

constexpr char kHelp[] = R"(
Examples:
  pylabhub schema list --broker lab7:5570 --certs ~/pylabhub-certs
  pylabhub schema list sensor.temperature
  pylabhub schema get sensor.temperature > reading.schema
  pylabhub schema check sensor.temperature --file reading.schema
  pylabhub schema register robot.state --file state.schema --enums names.json

A line of names.json, such as `schema get --output json` prints it too:
  {"name": "robot.state", "enums": {"mode": {"off": 0, "on": 1}}}
)";

struct SchemaOptions {
  std::string name;
  uint32_t version = 0;
  std::string file;
  std::string enums_file;
  Output output = Output::kText;
  BrokerOption broker;
};

void Print(const ordered_json& json) {
  std::puts(json.dump(-1, ' ', false, ordered_json::error_handler_t::replace).c_str());
}

std::string TimeOf(const SchemaVersion& version) {
  return absl::FormatTime("%Y-%m-%dT%H:%M:%SZ", version.register_time, absl::UTCTimeZone());
}

ordered_json ToJson(const SchemaVersion& version) {
  ordered_json json = {{"name", version.name},
                       {"version", version.version},
                       {"schema_hash", shm::ToHex(version.schema_hash)},
                       {"identity", version.identity},
                       {"register_time", TimeOf(version)}};
  if (!version.schema_text.empty()) json["schema"] = version.schema_text;
  if (!version.enum_names.empty()) json["enums"] = EnumsToJson(version.enum_names);
  return json;
}

ExitCode List(Messenger& messenger, const SchemaOptions& options) {
  const absl::StatusOr<std::vector<SchemaVersion>> versions = messenger.ListSchemas(options.name, kTimeout);
  if (!versions.ok()) return Fail(versions.status());
  if (options.output == Output::kJson) {
    for (const SchemaVersion& version : *versions) Print(ToJson(version));
    return kDone;
  }
  size_t width = 4;
  for (const SchemaVersion& version : *versions) width = std::max(width, version.name.size());
  absl::PrintF("%-*s  %7s  %-16s  %-20s  %s\n", width, "NAME", "VERSION", "HASH", "REGISTERED", "BY");
  for (const SchemaVersion& version : *versions) {
    absl::PrintF("%-*s  %7d  %-16s  %-20s  %s\n", width, version.name, version.version,
                 shm::ToHex(version.schema_hash).substr(0, 16), TimeOf(version),
                 absl::Utf8SafeCHexEscape(version.identity));
  }
  return kDone;
}

ExitCode Get(Messenger& messenger, const SchemaOptions& options) {
  const absl::StatusOr<SchemaVersion> version = messenger.GetSchema(options.name, options.version, kTimeout);
  if (!version.ok()) return Fail(version.status());
  if (options.output == Output::kJson) {
    Print(ToJson(*version));
  } else {
    std::fputs(version->schema_text.c_str(), stdout);
  }
  return kDone;
}

absl::StatusOr<EnumNames> EnumsFor(const SchemaOptions& options) {
  if (options.enums_file.empty()) return EnumNames();
  const absl::StatusOr<NamesByChannel> enums = ReadEnums(options.enums_file);
  if (!enums.ok()) return enums.status();
  const auto found = enums->find(options.name);
  if (found == enums->end()) {
    return absl::InvalidArgumentError(absl::StrCat(options.enums_file, " has no line whose \"name\" is \"",
                                                   options.name, "\"; add one, or leave --enums out"));
  }
  return found->second;
}

ExitCode Register(Messenger& messenger, const SchemaOptions& options) {
  const absl::StatusOr<shm::Schema> schema = ReadSchemaFile(options.file);
  if (!schema.ok()) return Fail(schema.status());
  const absl::StatusOr<EnumNames> enum_names = EnumsFor(options);
  if (!enum_names.ok()) return Fail(enum_names.status());
  const absl::StatusOr<SchemaVersion> version =
      messenger.RegisterSchema(options.name, shm::CanonicalText(*schema), *enum_names, kTimeout);
  if (!version.ok()) return Fail(version.status());
  if (options.output == Output::kJson) {
    Print(ToJson(*version));
  } else {
    absl::PrintF("%s version %d, hash %s\n", version->name, version->version,
                 shm::ToHex(version->schema_hash));
  }
  return kDone;
}

ordered_json ToJson(const SchemaDifference& difference) {
  return {{"field", difference.field_path},
          {"kind", difference.kind},
          {"before", difference.before},
          {"after", difference.after}};
}

ExitCode Check(Messenger& messenger, const SchemaOptions& options) {
  const absl::StatusOr<shm::Schema> schema = ReadSchemaFile(options.file);
  if (!schema.ok()) return Fail(schema.status());
  const absl::StatusOr<SchemaComparison> comparison =
      messenger.CheckSchema(options.name, options.version, shm::CanonicalText(*schema), kTimeout);
  if (!comparison.ok()) return Fail(comparison.status());
  if (options.output == Output::kJson) {
    ordered_json differences = ordered_json::array();
    for (const SchemaDifference& difference : comparison->differences) {
      differences.push_back(ToJson(difference));
    }
    Print({{"name", options.name},
           {"version", comparison->version},
           {"compatibility", comparison->compatibility},
           {"differences", differences}});
  } else {
    absl::PrintF("%s with version %d\n", comparison->compatibility, comparison->version);
    for (const SchemaDifference& difference : comparison->differences) {
      absl::PrintF("  %s: %s: \"%s\", now \"%s\"\n",
                   difference.field_path.empty() ? "record" : difference.field_path, difference.kind,
                   absl::Utf8SafeCHexEscape(difference.before), absl::Utf8SafeCHexEscape(difference.after));
    }
  }
  return comparison->compatible() ? kDone : kFailed;
}

ExitCode Run(const SchemaOptions& options, ExitCode (*verb)(Messenger&, const SchemaOptions&)) {
  const absl::StatusOr<BrokerLink> broker = BrokerLink::Connect(options.broker);
  if (!broker.ok()) return Fail(broker.status());
  if (broker->messenger() == nullptr) {
    return Fail(
        absl::InvalidArgumentError("schemas are kept by a broker: say which with --broker HOST:PORT"));
  }
  return verb(*broker->messenger(), options);
}

}  // namespace

void AddSchema(CLI::App& app, Action& chosen) {
  CLI::App* verb = app.add_subcommand("schema", "Schemas that a broker keeps: list, get, check, register");
  verb->require_subcommand(1);
  verb->footer(absl::StrCat(kHelp, "\n", kExitCodeHelp));
  const auto add = [&](const std::string& name, const std::string& help,
                       ExitCode (*run)(Messenger&, const SchemaOptions&)) {
    auto options = std::make_shared<SchemaOptions>();
    CLI::App* action = verb->add_subcommand(name, help);
    AddOutput(*action, options->output);
    AddBroker(*action, options->broker);
    action->callback([options, run, &chosen] { chosen = [options, run] { return Run(*options, run); }; });
    return std::pair(action, options);
  };
  const auto [list, list_options] =
      add("list", "The latest version of every name, or all versions of NAME", List);
  list->add_option("name", list_options->name, "Usually a channel's name")->type_name("NAME");
  const auto [get, get_options] = add("get", "Print a schema's canonical text", Get);
  const auto [check, check_options] =
      add("check", "Compare a schema with a version: done if its readers can go on, failed if not", Check);
  const auto [put, put_options] =
      add("register", "Add a version to a schema, or find the one that is equal", Register);
  for (const auto& [action, options] :
       {std::pair(get, get_options), std::pair(check, check_options), std::pair(put, put_options)}) {
    action->add_option("name", options->name, "Usually a channel's name")->type_name("NAME")->required();
  }
  for (const auto& [action, options] : {std::pair(get, get_options), std::pair(check, check_options)}) {
    action->add_option("--version", options->version, "Which version; the latest if not given");
  }
  for (const auto& [action, options] : {std::pair(check, check_options), std::pair(put, put_options)}) {
    action->add_option("--file", options->file, "The schema's canonical text, as `schema get` prints it")
        ->type_name("FILE")
        ->required();
  }
  put->add_option("--enums", put_options->enums_file, "File with the names of fields' values")
      ->type_name("FILE");
}

}  // namespace pylabhub::cli
