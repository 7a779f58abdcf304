// The value of a field as the C++ type that its ScalarType stands for.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "shm/schema.h"

namespace pylabhub::cli {

// Calls `visit` with the value at `bytes`, which need not be aligned; a character is a uint8_t.
template <typename Visitor>
auto VisitScalar(shm::ScalarType type, const std::byte* bytes, const Visitor& visit) {
  using shm::ScalarType;
  const auto as = [&]<typename T>(T value) {
    std::memcpy(&value, bytes, sizeof(T));
    return visit(value);
  };
  switch (type) {
    case ScalarType::kBool:
      return visit(bytes[0] != std::byte{0});
    case ScalarType::kChar:
    case ScalarType::kUint8:
      return as(uint8_t{});
    case ScalarType::kInt8:
      return as(int8_t{});
    case ScalarType::kInt16:
      return as(int16_t{});
    case ScalarType::kInt32:
      return as(int32_t{});
    case ScalarType::kInt64:
      return as(int64_t{});
    case ScalarType::kUint16:
      return as(uint16_t{});
    case ScalarType::kUint32:
      return as(uint32_t{});
    case ScalarType::kUint64:
      return as(uint64_t{});
    case ScalarType::kFloat32:
      return as(float{});
    case ScalarType::kFloat64:
      return as(double{});
  }
  // Schema::Validate lets no other value in.
  return visit(uint8_t{0});
}

}  // namespace pylabhub::cli
