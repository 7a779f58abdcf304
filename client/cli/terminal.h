// What is said to a person: errors and notes on standard error, and colour where there is a terminal to show
// it.
#pragma once

#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "client/cli/exit_code.h"

namespace pylabhub::cli {

enum class Colour { kRed, kYellow, kDim };

// True if `fd` is a terminal, NO_COLOR is not set and TERM is not "dumb".
bool ShowsColour(int fd);

// `text` in `colour` if `fd` shows colour, else `text` alone.
std::string Paint(int fd, Colour colour, absl::string_view text);

// Writes "pylabhub: MESSAGE" to standard error, and returns `code`.
ExitCode Fail(ExitCode code, absl::string_view message);

// As above, with the exit code that fits the status: kNotFound for kNotFound, kBadUsage for kInvalidArgument,
// kTimedOut for kDeadlineExceeded, else kFailed.
ExitCode Fail(const absl::Status& status);

// The same for a channel that could not be attached to: of one that is not there it says how to find it, or wait for it.
ExitCode FailToAttach(const absl::Status& status);

// Writes "pylabhub: MESSAGE" to standard error.
void Note(absl::string_view message);

}  // namespace pylabhub::cli
