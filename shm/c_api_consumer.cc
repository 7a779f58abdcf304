#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "shm/c_api.h"
#include "shm/c_api_convert.h"
#include "shm/c_api_handles.h"
#include "shm/data_block_consumer.h"

using pylabhub::shm::ConsumerOptions;
using pylabhub::shm::ConsumerStats;
using pylabhub::shm::DataBlockConsumer;
using pylabhub::shm::JoinPoint;
using pylabhub::shm::ReadBatch;
using pylabhub::shm::ReadOrder;
using pylabhub::shm::ReadSlot;
using pylabhub::shm::Schema;
using pylabhub::shm::SlotResult;
using pylabhub::shm::SlotView;
using pylabhub::shm::WaitOptions;
using pylabhub::shm::WhenSlow;
namespace c_api = pylabhub::shm::c_api;

namespace {

plh_consumer_options Defaults() {
  const ConsumerOptions defaults;
  plh_consumer_options options = {};
  options.struct_bytes = sizeof(options);
  options.when_slow = PLH_SLOW_BLOCK;
  options.max_batch = defaults.max_batch;
  options.patience_ns = absl::ToInt64Nanoseconds(defaults.patience);
  options.spin_ns = absl::ToInt64Nanoseconds(WaitOptions().spin);
  return options;
}

absl::StatusOr<std::optional<ReadOrder>> OrderFrom(uint32_t order) {
  switch (order) {
    case PLH_ORDER_DEFAULT:
      return std::optional<ReadOrder>();
    case PLH_ORDER_NEXT:
      return std::optional(ReadOrder::kNext);
    case PLH_ORDER_LATEST:
      return std::optional(ReadOrder::kLatest);
    default:
      return absl::InvalidArgumentError("order must be one of the PLH_ORDER_ values");
  }
}

absl::StatusOr<JoinPoint> StartFrom(uint32_t start, uint64_t sequence) {
  switch (start) {
    case PLH_START_NEWEST:
      return JoinPoint::Newest();
    case PLH_START_OLDEST:
      return JoinPoint::Oldest();
    case PLH_START_SEQUENCE:
      return JoinPoint::Sequence(sequence);
    default:
      return absl::InvalidArgumentError("start must be one of the PLH_START_ values");
  }
}

absl::StatusOr<ConsumerOptions> OptionsFrom(const plh_consumer_options& given) {
  ConsumerOptions options;
  const absl::StatusOr<std::optional<ReadOrder>> order = OrderFrom(given.order);
  if (!order.ok()) return order.status();
  options.order = *order;
  const absl::StatusOr<JoinPoint> start = StartFrom(given.start, given.start_sequence);
  if (!start.ok()) return start.status();
  options.start = *start;
  options.when_slow = given.when_slow <= UINT8_MAX ? static_cast<WhenSlow>(given.when_slow) : WhenSlow{};
  options.max_batch = given.max_batch;
  if (given.group != nullptr) options.group = given.group;
  options.patience = c_api::DurationOf(given.patience_ns);
  options.open_timeout = c_api::DurationOf(given.open_timeout_ns);
  options.wait.spin = c_api::DurationOf(given.spin_ns);
  options.directory = c_api::StringOr(given.directory, options.directory.c_str());
  if (given.expected_schema != nullptr) {
    absl::StatusOr<Schema> expected = c_api::SchemaFrom(given.expected_schema);
    if (!expected.ok()) return expected.status();
    options.expected_schema = *std::move(expected);
  }
  if (given.expected_zone_schema != nullptr) {
    absl::StatusOr<Schema> expected = c_api::SchemaFrom(given.expected_zone_schema);
    if (!expected.ok()) return expected.status();
    options.expected_zone_schema = *std::move(expected);
  }
  return options;
}

absl::StatusOr<std::unique_ptr<DataBlockConsumer>> Open(const plh_consumer_options* given) {
  const absl::StatusOr<plh_consumer_options> full = c_api::Complete(given, Defaults());
  if (!full.ok()) return full.status();
  const absl::StatusOr<ConsumerOptions> options = OptionsFrom(*full);
  if (!options.ok()) return options.status();
  return DataBlockConsumer::Open(c_api::StringOr(full->channel, ""), *options);
}

plh_read_slot SlotFrom(const SlotView& view) {
  plh_read_slot slot = {};
  slot.payload = view.payload.data();
  slot.payload_bytes = view.payload.size();
  slot.sequence = view.sequence;
  slot.timestamp_ns = view.timestamp_ns;
  slot.missed_slots = view.missed_slots;
  slot.redelivered = view.redelivered ? 1 : 0;
  return slot;
}

}  // namespace

void plh_consumer_options_init(plh_consumer_options* options) { *options = Defaults(); }

plh_consumer* plh_consumer_open(const plh_consumer_options* options, plh_error* error) {
  absl::StatusOr<std::unique_ptr<DataBlockConsumer>> block = Open(options);
  c_api::Explain(block.status(), error);
  if (!block.ok()) return nullptr;
  return new plh_consumer(*std::move(block));
}

void plh_consumer_destroy(plh_consumer* consumer) { delete consumer; }

plh_result plh_consumer_acquire(plh_consumer* consumer, int64_t timeout_ns, plh_read_slot* slot) {
  if (consumer == nullptr || slot == nullptr || consumer->holds()) return PLH_NO_SLOT;
  ReadSlot acquired = consumer->block->Acquire(c_api::DurationOf(timeout_ns));
  if (!acquired) return c_api::ResultOf(acquired.result());
  *slot = SlotFrom(acquired.view());
  consumer->slot.emplace(std::move(acquired));
  return PLH_OK;
}

plh_result plh_consumer_verify(plh_consumer* consumer) {
  if (consumer == nullptr || !consumer->slot.has_value()) return PLH_NO_SLOT;
  return c_api::ResultOf(consumer->slot->Verify());
}

plh_result plh_consumer_release(plh_consumer* consumer) {
  if (consumer == nullptr || !consumer->holds()) return PLH_NO_SLOT;
  const SlotResult result =
      consumer->slot.has_value() ? consumer->slot->Release() : consumer->batch->Release();
  consumer->slot.reset();
  consumer->batch.reset();
  return c_api::ResultOf(result);
}

plh_result plh_consumer_acquire_batch(plh_consumer* consumer, plh_read_slot* batch, size_t slots,
                                      int64_t timeout_ns, size_t* acquired) {
  if (acquired == nullptr) return PLH_NO_SLOT;
  *acquired = 0;
  if (consumer == nullptr || batch == nullptr || slots == 0 || consumer->holds()) return PLH_NO_SLOT;
  ReadBatch taken = consumer->block->AcquireBatch(slots, c_api::DurationOf(timeout_ns));
  if (!taken) return c_api::ResultOf(taken.result());
  for (size_t i = 0; i < taken.size(); ++i) batch[i] = SlotFrom(taken[i]);
  *acquired = taken.size();
  consumer->batch.emplace(std::move(taken));
  return PLH_OK;
}

int32_t plh_consumer_follow(plh_consumer* consumer, int64_t timeout_ns, plh_error* error) {
  absl::Status status;
  if (consumer == nullptr) {
    status = absl::InvalidArgumentError("consumer is NULL");
  } else if (consumer->holds()) {
    status = absl::FailedPreconditionError("the consumer holds a slot of the segment that it would leave");
  } else {
    status = consumer->block->Follow(c_api::DurationOf(timeout_ns));
    if (status.ok()) consumer->Describe();
  }
  c_api::Explain(status, error);
  return static_cast<int32_t>(status.code());
}

int plh_consumer_producer_is_alive(const plh_consumer* consumer) {
  return consumer != nullptr && consumer->block->ProducerIsAlive() ? 1 : 0;
}

const char* plh_consumer_schema(const plh_consumer* consumer) {
  return consumer == nullptr ? "" : consumer->schema.c_str();
}

const char* plh_consumer_segment_id(const plh_consumer* consumer) {
  return consumer == nullptr ? "" : consumer->segment_id.c_str();
}

uint64_t plh_consumer_slot_bytes(const plh_consumer* consumer) {
  return consumer == nullptr ? 0 : consumer->block->config().slot_bytes;
}

uint32_t plh_consumer_capacity_slots(const plh_consumer* consumer) {
  return consumer == nullptr ? 0 : consumer->block->config().capacity_slots;
}

uint32_t plh_consumer_policy(const plh_consumer* consumer) {
  return consumer == nullptr ? 0 : static_cast<uint32_t>(consumer->block->config().policy);
}

uint64_t plh_consumer_zone_bytes(const plh_consumer* consumer) {
  return consumer == nullptr ? 0 : consumer->block->config().zone_bytes;
}

int32_t plh_consumer_read_zone(const plh_consumer* consumer, void* zone, size_t bytes, uint64_t* version,
                               plh_error* error) {
  absl::StatusOr<uint64_t> read = absl::InvalidArgumentError("consumer, zone or version is NULL");
  if (consumer != nullptr && zone != nullptr && version != nullptr) {
    read = consumer->block->ReadZone({static_cast<std::byte*>(zone), bytes});
    if (read.ok()) *version = *read;
  }
  c_api::Explain(read.status(), error);
  return static_cast<int32_t>(read.status().code());
}

plh_result plh_consumer_wait_for_zone(const plh_consumer* consumer, uint64_t after_version,
                                      int64_t timeout_ns) {
  if (consumer == nullptr) return PLH_NO_ZONE;
  return c_api::ResultOf(consumer->block->WaitForZone(after_version, c_api::DurationOf(timeout_ns)));
}

void plh_consumer_get_stats(const plh_consumer* consumer, plh_consumer_stats* stats) {
  if (consumer == nullptr || stats == nullptr) return;
  const ConsumerStats counted = consumer->block->Stats();
  const plh_consumer_stats full = {
      .struct_bytes = sizeof(full),
      .received_slots = counted.received_slots,
      .received_bytes = counted.received_bytes,
      .missed_slots = counted.missed_slots,
      .waits = counted.waits,
      .sleeps = counted.sleeps,
      .corrupt_slots = counted.corrupt_slots,
      .redelivered_slots = counted.redelivered_slots,
  };
  c_api::CopyOut(full, stats);
}
