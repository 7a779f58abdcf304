// Small files of text, whole.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "shm/schema.h"

namespace pylabhub::cli {

// kNotFound if there is none, kUnavailable if it cannot be read (a folder, for instance); the message names it, why, and what to
// do.
absl::StatusOr<std::string> ReadTextFile(const std::string& path);

// The schema whose canonical text the file has. kUnavailable if it cannot be read; kInvalidArgument if it is something else.
absl::StatusOr<shm::Schema> ReadSchemaFile(const std::string& path);

}  // namespace pylabhub::cli
