#include <memory>
#include <optional>
#include <span>
#include <utility>

#include "shm/c_api.h"
#include "shm/c_api_convert.h"
#include "shm/data_block_producer.h"

using pylabhub::shm::ChannelConfig;
using pylabhub::shm::Checksum;
using pylabhub::shm::DataBlockProducer;
using pylabhub::shm::Policy;
using pylabhub::shm::ProducerStats;
using pylabhub::shm::Schema;
using pylabhub::shm::WaitOptions;
using pylabhub::shm::WriteBatch;
using pylabhub::shm::WriteSlot;
namespace c_api = pylabhub::shm::c_api;

struct plh_producer {
  std::unique_ptr<DataBlockProducer> block;
  // At most one of them; both go before the block.
  std::optional<WriteSlot> slot;
  std::optional<WriteBatch> batch;

  bool holds() const { return slot.has_value() || batch.has_value(); }
};

namespace {

plh_producer_options Defaults() {
  plh_producer_options options = {};
  options.struct_bytes = sizeof(options);
  options.policy = PLH_SYNC_READER;
  options.checksum = PLH_CHECKSUM_NONE;
  options.max_patience_ns = PLH_FOREVER;
  options.spin_ns = absl::ToInt64Nanoseconds(WaitOptions().spin);
  return options;
}

// Numbers that no enum has fail in ChannelConfig::Validate; they must not become others on the way there.
template <typename Enum>
Enum EnumFrom(uint32_t number) {
  return number <= UINT8_MAX ? static_cast<Enum>(number) : Enum{};
}

absl::StatusOr<ChannelConfig> ConfigFrom(const plh_producer_options& options) {
  ChannelConfig config;
  config.channel = c_api::StringOr(options.channel, "");
  config.policy = EnumFrom<Policy>(options.policy);
  config.checksum = EnumFrom<Checksum>(options.checksum);
  config.capacity_slots = options.capacity_slots;
  if (options.capacity_slots == 1) config.buffering = pylabhub::shm::Buffering::kSingle;
  if (options.capacity_slots == 2) config.buffering = pylabhub::shm::Buffering::kDoubleBuffer;
  config.slot_bytes = options.slot_bytes;
  config.max_consumers = options.max_consumers;
  config.max_pins = options.max_pins;
  config.min_consumers = options.min_consumers;
  config.max_patience = c_api::DurationOf(options.max_patience_ns);
  config.zone_bytes = options.zone_bytes;
  config.directory = c_api::StringOr(options.directory, config.directory.c_str());
  if (options.group_count != 0 && options.groups == nullptr) {
    return absl::InvalidArgumentError("group_count is not 0, but groups is NULL");
  }
  for (uint32_t i = 0; i < options.group_count; ++i) {
    config.groups.push_back(c_api::StringOr(options.groups[i], ""));
  }
  absl::StatusOr<Schema> schema = c_api::SchemaFrom(options.schema);
  if (!schema.ok()) return schema.status();
  config.schema = *std::move(schema);
  absl::StatusOr<Schema> zone_schema = c_api::SchemaFrom(options.zone_schema);
  if (!zone_schema.ok()) return zone_schema.status();
  config.zone_schema = *std::move(zone_schema);
  return config;
}

absl::StatusOr<std::unique_ptr<DataBlockProducer>> Create(const plh_producer_options* given) {
  const absl::StatusOr<plh_producer_options> options = c_api::Complete(given, Defaults());
  if (!options.ok()) return options.status();
  const absl::StatusOr<ChannelConfig> config = ConfigFrom(*options);
  if (!config.ok()) return config.status();
  return DataBlockProducer::Create(*config, WaitOptions{.spin = c_api::DurationOf(options->spin_ns)});
}

}  // namespace

void plh_producer_options_init(plh_producer_options* options) { *options = Defaults(); }

plh_producer* plh_producer_create(const plh_producer_options* options, plh_error* error) {
  absl::StatusOr<std::unique_ptr<DataBlockProducer>> block = Create(options);
  c_api::Explain(block.status(), error);
  if (!block.ok()) return nullptr;
  return new plh_producer{.block = *std::move(block), .slot = std::nullopt, .batch = std::nullopt};
}

void plh_producer_destroy(plh_producer* producer) { delete producer; }

plh_result plh_producer_acquire(plh_producer* producer, int64_t timeout_ns, plh_write_slot* slot) {
  if (producer == nullptr || slot == nullptr || producer->holds()) return PLH_NO_SLOT;
  WriteSlot acquired = producer->block->Acquire(c_api::DurationOf(timeout_ns));
  if (!acquired) return c_api::ResultOf(acquired.result());
  *slot = {.payload = acquired.payload().data(), .payload_bytes = acquired.payload().size()};
  producer->slot.emplace(std::move(acquired));
  return PLH_OK;
}

plh_result plh_producer_commit(plh_producer* producer, size_t payload_bytes) {
  if (producer == nullptr || !producer->slot.has_value()) return PLH_NO_SLOT;
  const plh_result result = c_api::ResultOf(producer->slot->Commit(payload_bytes));
  producer->slot.reset();
  return result;
}

plh_result plh_producer_add_checksum(plh_producer* producer) {
  if (producer == nullptr || !producer->slot.has_value()) return PLH_NO_SLOT;
  producer->slot->AddChecksum();
  return PLH_OK;
}

void plh_producer_abort(plh_producer* producer) {
  if (producer == nullptr) return;
  producer->slot.reset();
  producer->batch.reset();
}

plh_result plh_producer_acquire_batch(plh_producer* producer, size_t slots, int64_t timeout_ns,
                                      size_t* acquired) {
  if (acquired == nullptr) return PLH_NO_SLOT;
  *acquired = 0;
  if (producer == nullptr || producer->holds() || slots == 0) return PLH_NO_SLOT;
  WriteBatch batch = producer->block->AcquireBatch(slots, c_api::DurationOf(timeout_ns));
  if (!batch) return c_api::ResultOf(batch.result());
  *acquired = batch.size();
  producer->batch.emplace(std::move(batch));
  return PLH_OK;
}

plh_result plh_producer_batch_slot(plh_producer* producer, size_t index, plh_write_slot* slot) {
  if (producer == nullptr || slot == nullptr || !producer->batch.has_value()) return PLH_NO_SLOT;
  if (index >= producer->batch->size()) return PLH_NO_SLOT;
  const std::span<std::byte> payload = producer->batch->payload(index);
  *slot = {.payload = payload.data(), .payload_bytes = payload.size()};
  return PLH_OK;
}

plh_result plh_producer_commit_batch(plh_producer* producer, const size_t* payload_bytes, size_t count) {
  if (producer == nullptr || !producer->batch.has_value()) return PLH_NO_SLOT;
  if (count > producer->batch->size() || (payload_bytes == nullptr && count != 0)) return PLH_NO_SLOT;
  const plh_result result = c_api::ResultOf(producer->batch->Commit({payload_bytes, count}));
  producer->batch.reset();
  return result;
}

int32_t plh_producer_write_zone(plh_producer* producer, const void* zone, size_t bytes, plh_error* error) {
  absl::Status status = absl::InvalidArgumentError("producer or zone is NULL");
  if (producer != nullptr && (zone != nullptr || bytes == 0))
    status = producer->block->WriteZone({static_cast<const std::byte*>(zone), bytes});
  c_api::Explain(status, error);
  return static_cast<int32_t>(status.code());
}

void plh_producer_get_stats(const plh_producer* producer, plh_producer_stats* stats) {
  if (producer == nullptr || stats == nullptr) return;
  const ProducerStats counted = producer->block->Stats();
  const plh_producer_stats full = {
      .struct_bytes = sizeof(full),
      .committed_slots = counted.committed_slots,
      .committed_bytes = counted.committed_bytes,
      .aborted_slots = counted.aborted_slots,
      .waits = counted.waits,
      .blocked_ns = static_cast<uint64_t>(absl::ToInt64Nanoseconds(counted.blocked)),
      .wakes = counted.wakes,
      .evicted_consumers = counted.evicted_consumers,
      .dropped_backlogs = counted.dropped_backlogs,
      .cut_off_consumers = counted.cut_off_consumers,
      .invalid_peer_values = counted.invalid_peer_values,
  };
  c_api::CopyOut(full, stats);
}

uint32_t plh_producer_consumer_count(const plh_producer* producer) {
  return producer == nullptr ? 0 : producer->block->consumer_count();
}

uint64_t plh_producer_next_sequence(const plh_producer* producer) {
  return producer == nullptr ? 0 : producer->block->next_sequence();
}
