// What every subject holds: the same number of names, each with as many bytes as a channel's description takes.
#pragma once

#include <cstdint>
#include <string>

#include "absl/strings/str_format.h"

namespace pylabhub::bench {

inline constexpr int kValueBytes = 148;

// 24 bytes, as channels' names are long.
inline std::string NameOf(uint64_t index) { return absl::StrFormat("bench.channel.%010d", index); }

inline std::string ValueOf(uint64_t index) {
  std::string value = NameOf(index);
  value.resize(kValueBytes, 'x');
  return value;
}

}  // namespace pylabhub::bench
