// Where a publisher's slots come from: the input's bytes as they are, or lines that are encoded by a schema.
#pragma once

#include <cstddef>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "client/cli/encoder.h"
#include "client/cli/input.h"

namespace pylabhub::cli {

enum class InputFormat { kRaw, kCsv, kJson };

// Thread safety: thread-compatible.
class PayloadSource {
 public:
  virtual ~PayloadSource() = default;

  // Fills the beginning of `slot` and returns how many bytes; 0 at the end of the input. Waits for the input. kCancelled if
  // Interrupted(); kInvalidArgument for a line that is wrong, which it names; kUnavailable if reading fails.
  virtual absl::StatusOr<size_t> Fill(std::span<std::byte> slot) = 0;

  // What it reads: up to a block ahead of what was sent.
  virtual const Input& input() const = 0;
};

// `schema` must be valid, and not opaque unless the format is kRaw.
std::unique_ptr<PayloadSource> NewPayloadSource(InputFormat format, Input input, const shm::Schema& schema);

}  // namespace pylabhub::cli
