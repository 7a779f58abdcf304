#include "client/cli/text_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"

namespace pylabhub::cli {
namespace {

absl::Status CannotRead(const std::string& path, int error) {
  const absl::StatusCode code =
      error == ENOENT ? absl::StatusCode::kNotFound : absl::StatusCode::kUnavailable;
  return {code,
          absl::StrCat("cannot read ", path, ": ", std::strerror(error), "; give a file that can be read")};
}

}  // namespace

absl::StatusOr<std::string> ReadTextFile(const std::string& path) {
  const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return CannotRead(path, errno);
  std::string text;
  std::array<char, 4096> block;
  ssize_t got = 0;
  while ((got = read(fd, block.data(), block.size())) > 0)
    text.append(block.data(), static_cast<size_t>(got));
  const int error = errno;
  close(fd);
  if (got < 0) return CannotRead(path, error);
  return text;
}

absl::StatusOr<shm::Schema> ReadSchemaFile(const std::string& path) {
  const absl::StatusOr<std::string> text = ReadTextFile(path);
  if (!text.ok()) return absl::UnavailableError(text.status().message());
  absl::StatusOr<shm::Schema> schema = shm::ParseCanonicalText(*text);
  if (schema.ok()) return schema;
  return absl::InvalidArgumentError(
      absl::StrCat(path,
                   " is no canonical text of a schema, such as `pylabhub describe "
                   "CHANNEL --schema` and `pylabhub schema get NAME` print: ",
                   schema.status().message()));
}

}  // namespace pylabhub::cli
