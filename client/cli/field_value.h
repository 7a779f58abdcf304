// One number out of every record: a field by its name, such as `celsius`, or a value of an array, such as `position[1]`.
#pragma once

#include <cstddef>
#include <span>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "shm/schema.h"

namespace pylabhub::cli {

// Thread safety: immutable.
class FieldValue {
 public:
  // kInvalidArgument if there is no such field, no such value in it, or if it is text.
  static absl::StatusOr<FieldValue> Find(const shm::Schema& schema, absl::string_view name);

  // `record` holds at least one record of the schema. A 64-bit integer is rounded.
  double Of(std::span<const std::byte> record) const;

  const std::string& unit() const { return unit_; }

 private:
  FieldValue(shm::ScalarType type, size_t offset_bytes, std::string unit)
      : type_(type), offset_bytes_(offset_bytes), unit_(std::move(unit)) {}

  shm::ScalarType type_;
  size_t offset_bytes_;
  std::string unit_;
};

}  // namespace pylabhub::cli
