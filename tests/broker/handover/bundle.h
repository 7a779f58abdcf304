// What a producer brings to the hand-over's socket: a request, and the descriptors beside it.
#ifndef PYLABHUB_TESTS_BROKER_HANDOVER_BUNDLE_H_
#define PYLABHUB_TESTS_BROKER_HANDOVER_BUNDLE_H_

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "proto/handover/descriptor.h"
#include "proto/pylabhub/v1/hand_over.pb.h"
#include "tests/broker/handover/sealed_memory.h"

namespace pylabhub::testing {

// What a producer brings.
struct Bundle {
  v1::HandOverRequest request = {};
  std::vector<handover::Descriptor> descriptors = {};

  void Add(v1::HandedOverMemoryKind kind, handover::Descriptor descriptor, uint32_t part = 0,
           uint64_t size_bytes = kMemoryBytes) {
    v1::HandedOverMemory& memory = *request.mutable_deposit()->add_memories();
    memory.set_kind(kind);
    memory.set_part(part);
    memory.set_size_bytes(size_bytes);
    descriptors.push_back(std::move(descriptor));
  }
  void AddPart(uint32_t part) { Add(v1::HANDED_OVER_MEMORY_KIND_PART, SealedMemory(kPartSeals), part); }
  std::vector<int> numbers() const {
    std::vector<int> numbers;
    for (const handover::Descriptor& descriptor : descriptors) numbers.push_back(descriptor.get());
    return numbers;
  }
};

// All of a segment with that many parts.
inline Bundle Whole(const std::string& ticket, uint32_t parts) {
  Bundle bundle;
  bundle.request.mutable_deposit()->set_ticket(ticket);
  bundle.Add(v1::HANDED_OVER_MEMORY_KIND_DATA, SealedMemory(kDataSeals));
  bundle.Add(v1::HANDED_OVER_MEMORY_KIND_BELL, SealedMemory(kPartSeals));
  for (uint32_t part = 0; part < parts; ++part) bundle.AddPart(part);
  return bundle;
}

}  // namespace pylabhub::testing

#endif  // PYLABHUB_TESTS_BROKER_HANDOVER_BUNDLE_H_
