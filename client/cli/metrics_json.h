// A channel's counters and schema as JSON, the same for every verb that shows them.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

#include "client/cli/rates.h"
#include "shm/metrics.h"
#include "shm/schema.h"

namespace pylabhub::cli {

// "alive", "closed", "dead".
const char* NameOf(shm::ProducerState state);

nlohmann::ordered_json ToJson(const shm::ConsumerMetrics& consumer);

// What the segment counts, as members to add to an object: "producer", "producer_pid", "segment_bytes", "created_ns",
// "committed_slots" and so on; then "consumers".
nlohmann::ordered_json CountersOf(const shm::ChannelMetrics& metrics);

// A channel's counters at `sample`, now, and how fast they grew until then.
nlohmann::ordered_json StatsOf(const std::string& channel, const Sample& sample, const Rates& rates);

// {"schema": name, "schema_hash", "record_bytes", "fields": [...]}; opaque bytes have no "fields", and the name "bytes".
nlohmann::ordered_json ToJson(const shm::Schema& schema);

}  // namespace pylabhub::cli
