// The flexible zone of a channel as a struct: data beside the slots that changes slowly, such as a calibration.
//
//   struct Calibration { double gain[4]; double offset[4]; };
//   PYLABHUB_SCHEMA(Calibration, (gain, "1"), (offset, "V"));
//
//   auto producer = Producer<Sample>::Create("adc", {.zone_schema = SchemaOf<Calibration>()});
//   WriteZone(producer->block(), calibration);
//
//   auto consumer = Consumer<Sample>::Open("adc", {.expected_zone_schema = SchemaOf<Calibration>()});
//   absl::StatusOr<ZoneOf<Calibration>> zone = ReadZone<Calibration>(consumer->block());
//   if (zone.ok() && consumer->block().WaitForZone(zone->version, timeout) == SlotResult::kOk) ...  // it has changed
//
// Thread safety, time and ownership are those of DataBlockProducer and DataBlockConsumer.
#ifndef PYLABHUB_SHM_ZONE_H_
#define PYLABHUB_SHM_ZONE_H_

#include <cstdint>
#include <span>
#include <type_traits>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "shm/channel_config.h"
#include "shm/data_block_consumer.h"
#include "shm/data_block_producer.h"
#include "shm/describe.h"

namespace pylabhub::shm {

// One whole version of a zone.
template <typename Z>
struct ZoneOf {
  uint64_t version = 0;  // 0: the producer has not written it yet, and `value` is empty
  Z value = {};
};

namespace zone_internal {

template <typename Z>
absl::Status Check(const ChannelConfig& config) {
  static_assert(std::is_trivially_copyable_v<Z>, "a zone is copied as bytes between processes");
  static const Schema& schema = *new Schema(SchemaOf<Z>());
  if (config.zone_schema == schema) return absl::OkStatus();
  return absl::FailedPreconditionError(absl::StrCat("SCHEMA_MISMATCH: the zone of channel '", config.channel,
                                                    "' is '", config.zone_schema.name, "', not this '",
                                                    schema.name, "'"));
}

}  // namespace zone_internal

// Publishes `value` as the zone's next version. kFailedPrecondition SCHEMA_MISMATCH if the zone is no Z; else as
// DataBlockProducer::WriteZone.
template <typename Z>
absl::Status WriteZone(DataBlockProducer& producer, const Z& value) {
  if (absl::Status status = zone_internal::Check<Z>(producer.config()); !status.ok()) return status;
  return producer.WriteZone(std::as_bytes(std::span(&value, 1)));
}

// The zone's newest version. kFailedPrecondition SCHEMA_MISMATCH if the zone is no Z; else as
// DataBlockConsumer::ReadZone.
template <typename Z>
absl::StatusOr<ZoneOf<Z>> ReadZone(const DataBlockConsumer& consumer) {
  if (absl::Status status = zone_internal::Check<Z>(consumer.config()); !status.ok()) return status;
  ZoneOf<Z> zone;
  const absl::StatusOr<uint64_t> version =
      consumer.ReadZone(std::as_writable_bytes(std::span(&zone.value, 1)));
  if (!version.ok()) return version.status();
  zone.version = *version;
  return zone;
}

}  // namespace pylabhub::shm

#endif  // PYLABHUB_SHM_ZONE_H_
