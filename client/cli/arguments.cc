#include "client/cli/arguments.h"

#include <map>
#include <string>

namespace pylabhub::cli {

CLI::Option* AddDuration(CLI::App& app, const std::string& flag, absl::Duration& value,
                         const std::string& help) {
  return app
      .add_option_function<std::string>(
          flag,
          [flag, &value](const std::string& text) {
            if (!absl::ParseDuration(text, &value) || value < absl::ZeroDuration()) {
              throw CLI::ValidationError(flag,
                                         "'" + text + "' is no time; say it with a unit: 500ms, 5s, 2m");
            }
          },
          help)
      ->type_name("TIME")
      ->default_str(absl::FormatDuration(value));
}

CLI::Option* AddBytes(CLI::App& app, const std::string& flag, uint64_t& value, const std::string& help) {
  return app.add_option(flag, value, help)
      ->transform(CLI::AsSizeValue(false))
      ->type_name("BYTES")
      ->default_str(std::to_string(value));
}

CLI::Option* AddChannel(CLI::App& app, std::string& channel) {
  return app.add_option("CHANNEL", channel, "Name of the channel: [a-z0-9._-], 1 to 128 characters")
      ->required()
      ->type_name("");
}

CLI::Option* AddDirectory(CLI::App& app, std::string& directory) {
  return app
      .add_option("--directory", directory,
                  "Folder of the channels' files: a tmpfs that all participants see")
      ->envname("PYLABHUB_DIRECTORY")
      ->type_name("DIR")
      ->capture_default_str();
}

CLI::Option* AddOutput(CLI::App& app, Output& output) {
  static const std::map<std::string, Output> kNames = {
      {"table", Output::kText}, {"text", Output::kText}, {"json", Output::kJson}};
  return app.add_option("--output", output, "table for people, json for programs (one object a line)")
      ->transform(OneOf(kNames))
      ->type_name("table|json")
      ->default_str("table");
}

}  // namespace pylabhub::cli
