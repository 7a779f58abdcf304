// A piece of handed-over memory, as it comes and goes.
#ifndef PYLABHUB_BROKER_HANDOVER_MEMORY_H_
#define PYLABHUB_BROKER_HANDOVER_MEMORY_H_

#include <cstdint>
#include <string>

#include "proto/handover/descriptor.h"

namespace pylabhub::broker {

enum class MemoryRole { kData, kBell, kPart };

struct Memory {
  MemoryRole role = MemoryRole::kData;
  uint32_t part = 0;       // kPart: which, from 0
  std::string group = {};  // kPart: whose members share it; empty: one consumer has it
  uint64_t size_bytes = 0;
  bool in_use = false;  // a consumer has it, and nobody else may: there is no descriptor
  handover::Descriptor descriptor = handover::Descriptor();
};

}  // namespace pylabhub::broker

#endif  // PYLABHUB_BROKER_HANDOVER_MEMORY_H_
