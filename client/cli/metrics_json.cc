#include "client/cli/metrics_json.h"

#include <string>

#include "absl/time/clock.h"

namespace pylabhub::cli {

using nlohmann::ordered_json;
using shm::ChannelMetrics;
using shm::ConsumerMetrics;

const char* NameOf(shm::ProducerState state) {
  switch (state) {
    case shm::ProducerState::kAlive:
      return "alive";
    case shm::ProducerState::kClosed:
      return "closed";
    case shm::ProducerState::kDead:
      return "dead";
  }
  return "unknown";
}

ordered_json ToJson(const ConsumerMetrics& consumer) {
  return {{"place", consumer.place},
          {"alive", consumer.alive},
          {"pid", consumer.pid},
          {"order", consumer.order == shm::ReadOrder::kLatest ? "latest" : "next"},
          {"group", consumer.group},
          {"cursor", consumer.cursor},
          {"lag", consumer.lag},
          {"received_slots", consumer.received_slots},
          {"received_bytes", consumer.received_bytes},
          {"missed_slots", consumer.missed_slots},
          {"corrupt_slots", consumer.corrupt_slots},
          {"redelivered_slots", consumer.redelivered_slots},
          {"waits", consumer.waits},
          {"sleeps", consumer.sleeps},
          {"pinned_chunks", consumer.pinned_chunks},
          {"blocked_producer_ns", absl::ToInt64Nanoseconds(consumer.blocked_producer)}};
}

ordered_json CountersOf(const ChannelMetrics& metrics) {
  const shm::ProducerStats& producer = metrics.producer;
  ordered_json json = {{"producer", NameOf(metrics.producer_state)},
                       {"producer_pid", metrics.producer_pid},
                       {"segment_bytes", metrics.segment_bytes},
                       {"created_ns", absl::ToUnixNanos(metrics.created)},
                       {"committed_slots", producer.committed_slots},
                       {"committed_bytes", producer.committed_bytes},
                       {"aborted_slots", producer.aborted_slots},
                       {"waits", producer.waits},
                       {"blocked_ns", absl::ToInt64Nanoseconds(producer.blocked)},
                       {"wakes", producer.wakes},
                       {"evicted_consumers", producer.evicted_consumers},
                       {"dropped_backlogs", producer.dropped_backlogs},
                       {"cut_off_consumers", producer.cut_off_consumers},
                       {"invalid_peer_values", producer.invalid_peer_values},
                       {"consumers", ordered_json::array()}};
  for (const ConsumerMetrics& consumer : metrics.consumers) json["consumers"].push_back(ToJson(consumer));
  return json;
}

ordered_json ToJson(const shm::Schema& schema) {
  ordered_json json = {{"schema", schema.opaque() ? "bytes" : schema.name},
                       {"schema_hash", shm::ToHex(shm::HashOf(schema))}};
  if (schema.opaque()) return json;
  json["record_bytes"] = schema.record_bytes;
  json["fields"] = ordered_json::array();
  for (const shm::Field& field : schema.fields) {
    json["fields"].push_back({{"name", field.name},
                              {"type", std::string(shm::NameOf(field.type))},
                              {"count", field.count},
                              {"offset_bytes", field.offset_bytes},
                              {"unit", field.unit}});
  }
  return json;
}

ordered_json StatsOf(const std::string& channel, const Sample& sample, const Rates& rates) {
  ordered_json json = {{"channel", channel},
                       {"time_ns", absl::GetCurrentTimeNanos()},
                       {"interval_ns", absl::ToInt64Nanoseconds(rates.interval)},
                       {"segment_id", sample.metrics.segment_id.ToHex()},
                       {"new_segment", rates.is_new_segment},
                       {"slots_per_second", rates.slots_per_second},
                       {"bytes_per_second", rates.bytes_per_second},
                       {"missed_slots_per_second", rates.missed_slots_per_second},
                       {"blocked_fraction", rates.blocked_fraction},
                       {"lag", LargestLag(sample.metrics)}};
  json.update(CountersOf(sample.metrics));
  for (size_t i = 0; i < rates.consumers.size(); ++i) {
    json["consumers"][i]["received_slots_per_second"] = rates.consumers[i].received_slots_per_second;
    json["consumers"][i]["missed_slots_per_second"] = rates.consumers[i].missed_slots_per_second;
  }
  return json;
}

}  // namespace pylabhub::cli
