#include "shm/consumer_options.h"

#include "absl/strings/str_cat.h"
#include "shm/schema_difference.h"

namespace pylabhub::shm {
namespace {

absl::Status SchemaMismatch(absl::string_view what, const Schema& carried, const Schema& expected) {
  return absl::FailedPreconditionError(
      absl::StrCat("SCHEMA_MISMATCH: ", what, " carries '", carried.name, "' (", ToHex(HashOf(carried)),
                   "), this consumer expects '", expected.name, "' (", ToHex(HashOf(expected)),
                   "): ", FirstDifference(carried, expected)));
}

}  // namespace

absl::Status ConsumerOptions::Validate() const {
  if (max_batch < 1 || max_batch > kMaxCapacitySlots) {
    return absl::InvalidArgumentError(
        absl::StrCat("max_batch must be 1 to ", kMaxCapacitySlots, ", not ", max_batch));
  }
  if (when_slow < WhenSlow::kBlock || when_slow > WhenSlow::kCutOff) {
    return absl::InvalidArgumentError("when_slow must be kBlock, kDropBacklog or kCutOff");
  }
  if (patience <= absl::ZeroDuration()) {
    return absl::InvalidArgumentError("patience must be more than zero");
  }
  if (order == ReadOrder::kLatest && start.at != JoinPoint::At::kNewest) {
    return absl::InvalidArgumentError(
        "a consumer that reads the latest slot has no other start than the newest");
  }
  if (order == ReadOrder::kLatest && group.has_value()) {
    return absl::InvalidArgumentError(
        "a consumer that reads the latest slot is in no group; leave out the group or the order");
  }
  return absl::OkStatus();
}

absl::Status ConsumerOptions::CheckSchemas(const ChannelConfig& config) const {
  const std::string channel = absl::StrCat("channel '", config.channel, "'");
  if (expected_schema.has_value() && *expected_schema != config.schema)
    return SchemaMismatch(channel, config.schema, *expected_schema);
  if (!expected_zone_schema.has_value()) return absl::OkStatus();
  if (config.zone_bytes == 0) {
    return absl::FailedPreconditionError(absl::StrCat("SCHEMA_MISMATCH: ", channel,
                                                      " has no zone, this consumer expects one of '",
                                                      expected_zone_schema->name, "'"));
  }
  if (*expected_zone_schema == config.zone_schema) return absl::OkStatus();
  return SchemaMismatch(absl::StrCat("the zone of ", channel), config.zone_schema, *expected_zone_schema);
}

}  // namespace pylabhub::shm
