// Reads a configuration file into settings.
//
// Thread safety: free functions with no shared state.
#ifndef PYLABHUB_BROKER_CONFIG_FILE_H_
#define PYLABHUB_BROKER_CONFIG_FILE_H_

#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "broker/settings.h"

namespace pylabhub::broker {

// Reads `text`, protobuf's text format of pylabhub.broker.config.Config, over `settings`: what it leaves out stays.
//
// Errors:
//   kInvalidArgument  one line for each thing wrong, "FILE:LINE:COLUMN: what is wrong, and what is allowed", where FILE
//                     is `file_name`; `settings` is then to be thrown away
absl::Status ReadConfig(absl::string_view text, absl::string_view file_name, Settings& settings);

// The same from a file.
//
// Errors: besides those, kNotFound and kUnavailable, which name the file.
absl::Status ReadConfigFile(const std::string& path, Settings& settings);

}  // namespace pylabhub::broker

#endif  // PYLABHUB_BROKER_CONFIG_FILE_H_
