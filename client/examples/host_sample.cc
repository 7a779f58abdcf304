#include "client/examples/host_sample.h"

#include <cstddef>

namespace pylabhub::examples {

uint64_t CheckWord(const HostSample& sample) {
  const auto* bytes = reinterpret_cast<const unsigned char*>(&sample);
  uint64_t word = 0xcbf29ce484222325;
  for (size_t i = 0; i < offsetof(HostSample, check); ++i) word = (word ^ bytes[i]) * 0x100000001b3;
  return word;
}

}  // namespace pylabhub::examples
