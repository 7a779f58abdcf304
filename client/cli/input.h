// Bytes from a file or from standard input, a block at a time.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
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

  // What ReadBlock gave so far.
  uint64_t read_bytes() const { return read_bytes_; }
  // How much there was to read when it was opened; nothing of what is no file.
  std::optional<uint64_t> file_bytes() const { return file_bytes_; }
  // Whether somebody types it.
  bool is_terminal() const;

 private:
  Input(int fd, std::string name);

  int fd_;  // -1 once moved from
  std::string name_;
  uint64_t read_bytes_ = 0;
  std::optional<uint64_t> file_bytes_;
};

}  // namespace pylabhub::cli
