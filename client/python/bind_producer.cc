#include <pybind11/stl.h>

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "client/python/bindings.h"
#include "client/python/errors.h"
#include "client/python/producer.h"

namespace pylabhub::python {
namespace {

namespace py = pybind11;

// A slot that is being written. Aborted if nobody commits it.
class WriteSlot {
 public:
  WriteSlot(std::shared_ptr<Producer> producer, std::optional<size_t> records,
            std::optional<double> timeout_s, bool with_checksum)
      : producer_(std::move(producer)),
        ticket_(producer_->Acquire(timeout_s)),
        records_(records.value_or(producer_->records_per_slot())),
        with_checksum_(with_checksum) {}

  ~WriteSlot() {
    // The last reference is gone, so nobody is there to be told; what is copied for arrays that live on may fail for want of
    // memory, and then Python's own MemoryError is near.
    if (producer_->is_closed()) return;
    try {
      producer_->Abort(ticket_);
    } catch (const std::bad_alloc&) {
      PyErr_NoMemory();
      PyErr_WriteUnraisable(Py_None);
    }
  }
  WriteSlot(const WriteSlot&) = delete;
  WriteSlot& operator=(const WriteSlot&) = delete;

  py::object Array() { return producer_->Show(ticket_, records_); }
  uint64_t Commit(std::optional<size_t> records) {
    return producer_->Commit(ticket_, records.value_or(records_), with_checksum_);
  }
  void Abort() { producer_->Abort(ticket_); }
  void Exit(const py::object& exception) {
    if (!exception.is_none()) return Abort();
    // It may have been committed, or aborted, inside.
    if (producer_->Holds(ticket_)) Commit(std::nullopt);
  }

 private:
  const std::shared_ptr<Producer> producer_;
  const uint64_t ticket_;
  const size_t records_;
  const bool with_checksum_;
};

shm::Checksum ChecksumFrom(const std::string& name) {
  if (name == "none") return shm::Checksum::kNone;
  if (name == "manual") return shm::Checksum::kManual;
  if (name == "enforced") return shm::Checksum::kEnforced;
  Raise("InvalidArgument", "checksum '" + name + "': use 'none', 'manual' or 'enforced'");
}

shm::Policy PolicyFrom(const std::string& name) {
  const std::optional<shm::Policy> policy = shm::PolicyFromName(name);
  if (!policy.has_value()) {
    Raise("InvalidArgument",
          "policy '" + name +
              "': use 'latest_only', 'publish_subscribe', 'single_reader', 'sync_reader' or "
              "'pipeline'");
  }
  return *policy;
}

std::shared_ptr<Producer> Create(std::shared_ptr<BrokerLink> link, const py::object& dtype,
                                 const py::object& zone_dtype, const std::string& channel,
                                 const std::string& schema_text, const std::string& policy,
                                 uint32_t capacity_slots, uint64_t slot_bytes, uint32_t max_consumers,
                                 uint32_t max_pins, uint32_t min_consumers, const std::string& checksum,
                                 const std::vector<std::string>& groups, std::optional<double> max_patience_s,
                                 uint64_t zone_bytes, const std::string& zone_schema_text,
                                 std::optional<double> spin_s, const std::string& directory) {
  shm::ChannelConfig config;
  config.channel = channel;
  config.policy = PolicyFrom(policy);
  config.buffering = capacity_slots == 1   ? shm::Buffering::kSingle
                     : capacity_slots == 2 ? shm::Buffering::kDoubleBuffer
                                           : shm::Buffering::kRingBuffer;
  config.capacity_slots = capacity_slots;
  config.slot_bytes = slot_bytes;
  config.schema = OrRaise(shm::ParseCanonicalText(schema_text));
  config.max_consumers = max_consumers;
  config.max_pins = max_pins;
  config.groups = groups;
  config.min_consumers = min_consumers;
  config.max_patience = TimeoutFrom(max_patience_s);
  config.checksum = ChecksumFrom(checksum);
  config.zone_bytes = zone_bytes;
  config.zone_schema = OrRaise(shm::ParseCanonicalText(zone_schema_text));
  config.directory = directory;
  return Producer::Create(config, {.spin = TimeoutFrom(spin_s)}, std::move(link), dtype, zone_dtype);
}

std::map<std::string, uint64_t> StatsOf(Producer& producer) {
  const shm::ProducerStats stats = producer.block().Stats();
  return {{"committed_slots", stats.committed_slots},
          {"committed_bytes", stats.committed_bytes},
          {"aborted_slots", stats.aborted_slots},
          {"waits", stats.waits},
          {"blocked_ns", static_cast<uint64_t>(absl::ToInt64Nanoseconds(stats.blocked))},
          {"wakes", stats.wakes},
          {"evicted_consumers", stats.evicted_consumers},
          {"dropped_backlogs", stats.dropped_backlogs},
          {"cut_off_consumers", stats.cut_off_consumers},
          {"invalid_peer_values", stats.invalid_peer_values},
          {"detached_slots", producer.detached_slots()}};
}

}  // namespace

void BindProducer(py::module_& module) {
  py::class_<WriteSlot>(
      module, "WriteSlot",
      "A slot that is being written: `with producer.slot() as array`. Aborted if nobody commits it.")
      .def_property_readonly(
          "array", &WriteSlot::Array,
          "The records of the slot, to be filled. Empty and read-only once it is committed.")
      .def("commit", &WriteSlot::Commit, py::arg("records") = py::none(),
           "Publishes the slot, or its first `records` records; its sequence number.")
      .def("abort", &WriteSlot::Abort, "Gives the slot back unseen.")
      .def("__enter__", &WriteSlot::Array)
      .def("__exit__", [](WriteSlot& slot, const py::object& type, const py::object&, const py::object&) {
        slot.Exit(type);
      });

  py::class_<Producer, std::shared_ptr<Producer>>(module, "Producer", "The writing end of a channel.")
      .def(py::init(&Create), py::arg("link"), py::arg("dtype"), py::arg("zone_dtype"), py::arg("channel"),
           py::arg("schema_text"), py::arg("policy"), py::arg("capacity"), py::arg("slot_bytes"),
           py::arg("max_consumers"), py::arg("max_pins"), py::arg("min_consumers"), py::arg("checksum"),
           py::arg("groups"), py::arg("max_patience"), py::arg("zone_bytes"), py::arg("zone_schema_text"),
           py::arg("spin"), py::arg("directory"))
      .def("write", &Producer::Write, py::arg("data"), py::arg("timeout") = py::none(),
           py::arg("checksum") = false,
           "Publishes a copy of `data` as a slot; its sequence number. Takes arrays of the channel's dtype, "
           "whole records as "
           "bytes, and what numpy makes records of. Raises Timeout, PayloadTooLarge, SchemaMismatch.")
      .def(
          "slot",
          [](const std::shared_ptr<Producer>& producer, std::optional<size_t> records,
             std::optional<double> timeout_s, bool with_checksum) {
            return std::make_unique<WriteSlot>(producer, records, timeout_s, with_checksum);
          },
          py::arg("records") = py::none(), py::arg("timeout") = py::none(), py::arg("checksum") = false,
          "Acquires a slot to be written in place: `with producer.slot() as array`. Committed at the end of "
          "the block, "
          "aborted by an exception.")
      .def("write_zone", &Producer::WriteZone, py::arg("data"), "Publishes the zone's next version.")
      .def("close", &Producer::Close,
           "Closes the channel: consumers read what is left. May be called from any thread.")
      .def_property_readonly("closed", &Producer::is_closed, "Whether it was closed.")
      .def_property_readonly(
          "channel", [](const Producer& producer) { return producer.config().channel; },
          "The channel's name.")
      .def_property_readonly(
          "schema_text", [](const Producer& producer) { return CanonicalText(producer.config().schema); },
          "The canonical text of the schema.")
      .def_property_readonly(
          "slot_bytes", [](const Producer& producer) { return producer.config().slot_bytes; },
          "The largest payload.")
      .def_property_readonly("records_per_slot", &Producer::records_per_slot,
                             "How many records a slot has room for.")
      .def_property_readonly(
          "capacity", [](const Producer& producer) { return producer.config().capacity_slots; },
          "Committed slots that are kept.")
      .def_property_readonly(
          "next_sequence", [](Producer& producer) { return producer.block().next_sequence(); },
          "The number that the next slot gets.")
      .def_property_readonly(
          "segment_id", [](Producer& producer) { return producer.block().segment_id().ToHex(); },
          "The segment's random name, in hexadecimal.")
      .def_property_readonly(
          "consumers", [](Producer& producer) { return producer.block().consumer_count(); },
          "Consumers that are attached and live.")
      .def_property_readonly("stats", &StatsOf, "What was done so far, by name.");
}

}  // namespace pylabhub::python
