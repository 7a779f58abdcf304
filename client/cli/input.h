// Bytes from a file or from standard input, a block at a time.
#pragma once

#include <cstddef>
#include <span>
#include <string>

#include "absl/status/statusor.h"

namespace pylabhub::cli {

class Input {
 public:
  // Opens `path`; "-" is standard input. An error names the path and the mend.
  static absl::StatusOr<Input> Open(const std::string& path);

  Input(Input&& other) noexcept;
  Input& operator=(Input&&) = delete;
  ~Input();

  // Reads until `block` is full, the input ends, or it pauses: a pipe that has nothing more just now gives
  // what it gave, so that a line typed is a line sent. 0 at the end of the input. kCancelled if
  // Interrupted(); kUnavailable if reading fails.
  absl::StatusOr<size_t> ReadBlock(std::span<std::byte> block);

 private:
  Input(int fd, std::string name) : fd_(fd), name_(std::move(name)) {}

  int fd_;  // -1 once moved from
  std::string name_;
};

}  // namespace pylabhub::cli
