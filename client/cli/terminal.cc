#include "client/cli/terminal.h"

#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <string>

#include "absl/strings/str_cat.h"

namespace pylabhub::cli {
namespace {

absl::string_view CodeOf(Colour colour) {
  switch (colour) {
    case Colour::kRed:
      return "\033[31m";
    case Colour::kYellow:
      return "\033[33m";
    case Colour::kDim:
      return "\033[2m";
  }
  return "";
}

void Say(absl::string_view text) {
  std::fprintf(stderr, "%.*s\n", static_cast<int>(text.size()), text.data());
}

ExitCode CodeOf(const absl::Status& status) {
  switch (status.code()) {
    case absl::StatusCode::kNotFound:
      return kNotFound;
    case absl::StatusCode::kInvalidArgument:
      return kBadUsage;
    case absl::StatusCode::kDeadlineExceeded:
      return kTimedOut;
    default:
      return kFailed;
  }
}

}  // namespace

bool ShowsColour(int fd) {
  const char* term = std::getenv("TERM");
  return isatty(fd) == 1 && std::getenv("NO_COLOR") == nullptr &&
         (term == nullptr || absl::string_view(term) != "dumb");
}

std::string Paint(int fd, Colour colour, absl::string_view text) {
  if (!ShowsColour(fd)) return std::string(text);
  return absl::StrCat(CodeOf(colour), text, "\033[0m");
}

ExitCode Fail(ExitCode code, absl::string_view message) {
  Say(absl::StrCat(Paint(STDERR_FILENO, Colour::kRed, "pylabhub:"), " ", message));
  return code;
}

ExitCode Fail(const absl::Status& status) { return Fail(CodeOf(status), status.message()); }

ExitCode FailToAttach(const absl::Status& status) {
  if (!absl::IsNotFound(status)) return Fail(status);
  return Fail(kNotFound,
              absl::StrCat(status.message(),
                           "; `pylabhub channels` lists those that there are, --wait 10s waits for it"));
}

void Note(absl::string_view message) {
  Say(absl::StrCat(Paint(STDERR_FILENO, Colour::kDim, "pylabhub:"), " ", message));
}

}  // namespace pylabhub::cli
