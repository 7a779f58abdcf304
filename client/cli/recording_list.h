// What is in files of a recording, without replaying it.
#pragma once

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "client/cli/arguments.h"

namespace pylabhub::cli {

// One line (or JSON object) for each channel of each file, on standard output. Errors: recorded_file.h.
absl::Status ListRecording(const std::vector<std::string>& paths, Output output);

}  // namespace pylabhub::cli
