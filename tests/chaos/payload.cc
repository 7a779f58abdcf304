#include "tests/chaos/payload.h"

#include <algorithm>
#include <cstring>

namespace pylabhub::chaos {
namespace {

// Words of a payload: who, which number, how long, the check word, and then what is made of the first three.
constexpr size_t kWho = 0;
constexpr size_t kSequence = 1;
constexpr size_t kBytes = 2;
constexpr size_t kCheck = 3;
constexpr size_t kBody = 4;

constexpr uint64_t kOdd = 0x9E3779B97F4A7C15;

uint64_t WhoWord(const PayloadId& id) { return uint64_t{id.generation} << 1 | (id.aborted ? 1 : 0); }

void Put(std::span<std::byte> payload, size_t word, uint64_t value) {
  std::memcpy(payload.data() + word * sizeof(value), &value, sizeof(value));
}

uint64_t Get(std::span<const std::byte> payload, size_t word) {
  uint64_t value;
  std::memcpy(&value, payload.data() + word * sizeof(value), sizeof(value));
  return value;
}

// Every word changes it, and so does its place.
uint64_t CheckOf(std::span<const std::byte> payload) {
  uint64_t check = kOdd;
  for (size_t i = 0; i < payload.size() / sizeof(uint64_t); ++i) {
    if (i == kCheck) continue;
    check = (check ^ Get(payload, i)) * kOdd;
    check ^= check >> 29;
  }
  return check;
}

void FillBody(std::span<std::byte> payload, const PayloadId& id, size_t from, size_t to) {
  const uint64_t seed = (WhoWord(id) * kOdd + id.sequence) * kOdd;
  for (size_t i = from; i < to; ++i) Put(payload, i, seed + i * kOdd);
}

size_t MiddleOf(std::span<const std::byte> payload) {
  return (kBody + payload.size() / sizeof(uint64_t)) / 2;
}

}  // namespace

void BeginPayload(std::span<std::byte> payload, const PayloadId& id) {
  Put(payload, kWho, WhoWord(id));
  Put(payload, kSequence, id.sequence);
  FillBody(payload, id, kBody, MiddleOf(payload));
}

void FinishPayload(std::span<std::byte> payload, const PayloadId& id) {
  FillBody(payload, id, MiddleOf(payload), payload.size() / sizeof(uint64_t));
  Put(payload, kBytes, payload.size());
  Put(payload, kCheck, CheckOf(payload));
}

size_t PayloadBytes(std::span<const std::byte> memory) {
  return memory.size() < kMinPayloadBytes ? memory.size()
                                          : std::min<size_t>(Get(memory, kBytes), memory.size());
}

std::optional<PayloadId> ReadPayload(std::span<const std::byte> payload) {
  if (payload.size() < kMinPayloadBytes || payload.size() % sizeof(uint64_t) != 0) return std::nullopt;
  if (Get(payload, kBytes) != payload.size() || Get(payload, kCheck) != CheckOf(payload)) return std::nullopt;
  const uint64_t who = Get(payload, kWho);
  return PayloadId{.generation = static_cast<uint32_t>(who >> 1),
                   .sequence = Get(payload, kSequence),
                   .aborted = (who & 1) != 0};
}

}  // namespace pylabhub::chaos
