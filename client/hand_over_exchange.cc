#include "client/hand_over_exchange.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "absl/time/clock.h"
#include "client/error_reason.h"
#include "client/wire.h"
#include "proto/handover/caller.h"

namespace pylabhub {
namespace {

constexpr size_t kMemoriesInPacket = 200;
// A connection that was refused, since the broker has too many, is tried again.
constexpr int kTries = 4;
constexpr absl::Duration kFirstRetry = absl::Milliseconds(5);

v1::HandedOverMemoryKind ToWire(HandedMemoryKind kind) {
  switch (kind) {
    case HandedMemoryKind::kData:
      return v1::HANDED_OVER_MEMORY_KIND_DATA;
    case HandedMemoryKind::kBell:
      return v1::HANDED_OVER_MEMORY_KIND_BELL;
    case HandedMemoryKind::kPart:
      return v1::HANDED_OVER_MEMORY_KIND_PART;
  }
  return v1::HANDED_OVER_MEMORY_KIND_UNSPECIFIED;
}

absl::StatusOr<handover::Answer> Ask(handover::Caller& caller, const v1::HandOverRequest& request,
                                     const std::vector<int>& descriptors, absl::Time deadline) {
  absl::StatusOr<handover::Answer> answer = caller.Ask(request, descriptors, deadline);
  if (!answer.ok()) return answer;
  if (absl::Status status = FromWire(answer->message.status()); !status.ok()) return status;
  return answer;
}

absl::Status DepositOnce(const HandOver& hand_over, const Deposit& deposit, absl::Time deadline) {
  absl::StatusOr<handover::Caller> caller = handover::Caller::Connect(hand_over.socket_path, deadline);
  if (!caller.ok()) return caller.status();
  const std::vector<HandedMemory>& memories = deposit.memories;
  for (size_t first = 0; first < memories.size(); first += kMemoriesInPacket) {
    const size_t end = std::min(first + kMemoriesInPacket, memories.size());
    v1::HandOverRequest request;
    v1::DepositRequest& part = *request.mutable_deposit();
    part.set_ticket(hand_over.ticket);
    part.set_more(end < memories.size());
    std::vector<int> descriptors;
    for (size_t i = first; i < end; ++i) {
      v1::HandedOverMemory& stated = *part.add_memories();
      stated.set_kind(ToWire(memories[i].kind));
      stated.set_part(memories[i].part);
      stated.set_group(memories[i].group);
      stated.set_size_bytes(memories[i].size_bytes);
      stated.set_in_use(memories[i].in_use);
      stated.set_with_descriptor(memories[i].in_use && memories[i].descriptor.is_open());
      if (memories[i].descriptor.is_open()) descriptors.push_back(memories[i].descriptor.get());
    }
    const absl::StatusOr<handover::Answer> answer = Ask(*caller, request, descriptors, deadline);
    if (!answer.ok()) return answer.status();
  }
  return absl::OkStatus();
}

absl::StatusOr<HandedMemoryKind> FromWire(v1::HandedOverMemoryKind kind) {
  switch (kind) {
    case v1::HANDED_OVER_MEMORY_KIND_DATA:
      return HandedMemoryKind::kData;
    case v1::HANDED_OVER_MEMORY_KIND_BELL:
      return HandedMemoryKind::kBell;
    case v1::HANDED_OVER_MEMORY_KIND_PART:
      return HandedMemoryKind::kPart;
    default:
      return absl::DataLossError("the broker handed over memory of a kind that is not known here");
  }
}

absl::StatusOr<InheritedMemory> InheritOnce(const HandOver& hand_over, absl::Time deadline) {
  absl::StatusOr<handover::Caller> caller = handover::Caller::Connect(hand_over.socket_path, deadline);
  if (!caller.ok()) return caller.status();
  InheritedMemory inherited;
  bool more = true;
  while (more) {
    v1::HandOverRequest request;
    request.mutable_inherit()->set_ticket(hand_over.ticket);
    request.mutable_inherit()->set_skip(static_cast<uint32_t>(inherited.memories.size()));
    absl::StatusOr<handover::Answer> answer = Ask(*caller, request, {}, deadline);
    if (!answer.ok()) return answer.status();
    const v1::Inherited& page = answer->message.inherited();
    const bool is_whole = page.segment_id().size() == inherited.segment_id.size() &&
                          page.memories_size() > 0 &&
                          static_cast<size_t>(page.memories_size()) == answer->descriptors.size();
    if (!is_whole) return absl::DataLossError("what the broker handed over is not what a producer left");
    std::copy(page.segment_id().begin(), page.segment_id().end(), inherited.segment_id.begin());
    for (int i = 0; i < page.memories_size(); ++i) {
      const absl::StatusOr<HandedMemoryKind> kind = FromWire(page.memories(i).kind());
      if (!kind.ok()) return kind.status();
      inherited.memories.push_back({.kind = *kind,
                                    .part = page.memories(i).part(),
                                    .group = page.memories(i).group(),
                                    .size_bytes = page.memories(i).size_bytes(),
                                    .descriptor = std::move(answer->descriptors[static_cast<size_t>(i)])});
    }
    more = page.more();
  }
  return inherited;
}

absl::StatusOr<CollectedMemory> CollectOnce(const HandOver& hand_over, const CollectWish& wish,
                                            absl::Time deadline) {
  absl::StatusOr<handover::Caller> caller = handover::Caller::Connect(hand_over.socket_path, deadline);
  if (!caller.ok()) return caller.status();
  v1::HandOverRequest request;
  request.mutable_collect()->set_ticket(hand_over.ticket);
  request.mutable_collect()->set_onlooker(wish.onlooker);
  if (wish.before.has_value()) {
    const SegmentIdBytes& before = wish.before->segment_id;
    request.mutable_collect()->set_segment_before(std::string(before.begin(), before.end()));
    request.mutable_collect()->set_part_before(wish.before->part);
  }
  absl::StatusOr<handover::Answer> answer = Ask(*caller, request, {}, deadline);
  if (!answer.ok()) return answer.status();
  const v1::Collected& collected = answer->message.collected();
  CollectedMemory memory;
  const bool is_whole = collected.segment_id().size() == memory.segment_id.size() &&
                        collected.memories_size() == 3 && answer->descriptors.size() == 3 &&
                        collected.memories(0).kind() == v1::HANDED_OVER_MEMORY_KIND_DATA &&
                        collected.memories(1).kind() == v1::HANDED_OVER_MEMORY_KIND_BELL &&
                        collected.memories(2).kind() == v1::HANDED_OVER_MEMORY_KIND_PART;
  if (!is_whole) return absl::DataLossError("what the broker handed over is not data, bell and one part");
  std::copy(collected.segment_id().begin(), collected.segment_id().end(), memory.segment_id.begin());
  memory.part_index = collected.memories(2).part();
  memory.data = std::move(answer->descriptors[0]);
  memory.bell = std::move(answer->descriptors[1]);
  memory.part = std::move(answer->descriptors[2]);
  return memory;
}

bool IsWorthRetrying(const absl::Status& status) {
  return absl::IsUnavailable(status) && ReasonOf(status).empty();
}

const absl::Status& StatusOf(const absl::Status& status) { return status; }
template <typename Value>
const absl::Status& StatusOf(const absl::StatusOr<Value>& outcome) {
  return outcome.status();
}

template <typename Exchange>
auto Try(Exchange exchange, absl::Duration timeout) {
  const absl::Time deadline = handover::SteadyNow() + timeout;
  absl::Duration wait = kFirstRetry;
  for (int tries = 1;; ++tries) {
    auto outcome = exchange(deadline);
    if (tries == kTries || !IsWorthRetrying(StatusOf(outcome)) || handover::SteadyNow() + wait >= deadline) {
      return outcome;
    }
    absl::SleepFor(wait);
    wait *= 4;
  }
}

}  // namespace

absl::Status DepositMemory(const HandOver& hand_over, const Deposit& deposit, absl::Duration timeout) {
  return Try([&](absl::Time deadline) { return DepositOnce(hand_over, deposit, deadline); }, timeout);
}

absl::StatusOr<InheritedMemory> InheritMemory(const HandOver& hand_over, absl::Duration timeout) {
  return Try([&](absl::Time deadline) { return InheritOnce(hand_over, deadline); }, timeout);
}

absl::StatusOr<CollectedMemory> CollectMemory(const HandOver& hand_over, const CollectWish& wish,
                                              absl::Duration timeout) {
  return Try([&](absl::Time deadline) { return CollectOnce(hand_over, wish, deadline); }, timeout);
}

}  // namespace pylabhub
